"""What becomes of each line of the machine's policy, as status and doctor show it."""

from agent.config.effective import EffectiveConfig
from agent.config.machine_policy import IN_ERROR, Policy, PolicyLine, Verdict
from agent.reports.check import Check
from agent.status import PolicyLineView, PolicyView

_OK = {Verdict.APPLIED: True, Verdict.LOOSER: None}
_REMEDIES = {
    Verdict.LOOSER: "Remove the line, or give it a stricter value.",
    Verdict.UNKNOWN: "Correct or remove the line: until then nobody takes part.",
    Verdict.INVALID: "Correct or remove the line: until then nobody takes part.",
    Verdict.PERSONAL: "Remove the line: until then nobody takes part.",
}


def policy_view(effective: EffectiveConfig) -> PolicyView | None:
    """Return the policy of this computer; None without one."""
    policy = effective.policy()
    if not policy.origin:
        return None
    lines = tuple(
        PolicyLineView(line.key, line.value, line.verdict.value, line.text)
        for line in effective.policy_lines()
    )
    return PolicyView(policy.origin, policy.denied, lines)


def policy_checks(policy: Policy, lines: tuple[PolicyLine, ...]) -> list[Check]:
    """Return one check for the policy and one for each of its lines."""
    if not policy.origin:
        return [Check("policy", True, "none")]
    if policy.denied:
        summary = Check("policy", False, policy.denied, policy.remedy)
    else:
        managed = [line.key for line in lines if line.verdict is Verdict.APPLIED]
        summary = Check("policy", True, f"{policy.origin} sets {', '.join(managed) or 'nothing'}")
    return [summary, *(_check(line) for line in lines)]


def is_faulty(policy: Policy, lines: tuple[PolicyLine, ...]) -> bool:
    """Whether somebody should correct the policy before it is rolled out."""
    unread = bool(policy.denied) and not lines
    return unread or any(line.verdict in IN_ERROR | {Verdict.LOOSER} for line in lines)


def _check(line: PolicyLine) -> Check:
    value = f"{line.value}: {line.verdict.value}; {line.text}"
    name = f"policy {line.key}"
    return Check(name, _OK.get(line.verdict, False), value, _REMEDIES.get(line.verdict, ""))
