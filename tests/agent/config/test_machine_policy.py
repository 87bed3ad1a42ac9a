"""The machine's policy forbids and tightens, never consents, and forbids when it is in doubt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.definitions import DEFINITIONS, Tighter
from agent.config.machine_policy import IN_ERROR, Policy, Verdict, load, read, weighed
from agent.config.policy_file import MAX_POLICY_BYTES
from agent.config.settings import Settings
from tests.fakes.device import policy_of_tests

FULL = """
contribute = false
reason = "Build server."

[settings]
"cpu.share_idle" = 25
"battery.rule" = "never"
"idle.only" = true

[enrolment]
invitation = "aegis1.abc.def"
"""
DOUBT = {"models.update_without_consent": False}


def of(content):
    return read(content if isinstance(content, bytes) else content.encode("latin-1"), "policy.toml")


def verdicts(policy, chosen=None, proposed=None):
    settings = Settings(chosen or {}, policy.bounds, proposed)
    return {line.key: line.verdict.value for line in weighed(policy.lines, settings)}


def test_everything_that_a_policy_says_is_read():
    policy = of(FULL)
    assert (
        policy.denied
        == "Your organisation does not allow taking part on this computer. Build server."
    )
    assert policy.bounds == {"cpu.share_idle": 25, "battery.rule": "never", "idle.only": True}
    assert (policy.invitation, policy.origin) == ("aegis1.abc.def", "policy.toml")
    assert set(verdicts(policy).values()) == {"applied"}


def test_p3_a_policy_can_never_consent():
    for content in ("contribute = true", "", "[settings]"):
        policy = of(content)
        assert (policy.denied, policy.bounds, policy.invitation) == ("", {}, "")
    assert of("consent = true").denied
    assert set(vars(Policy())) == {
        "denied", "remedy", "bounds", "invitation", "origin", "lines",
    }  # fmt: skip


def test_a_reason_without_a_ban_forbids_nothing_and_a_long_one_is_cut():
    assert of('reason = "Why not."').denied == ""
    assert len(of(f'contribute = false\nreason = "{"x" * 999}"').denied) < 300


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("contribute = ", "Invalid value"),
        ("\xff\xfe", "decode"),
        ("a = " + "[" * 4000, ""),
    ],
)
def test_p3_a_policy_that_cannot_be_read_forbids_and_says_why(content, why):
    policy = of(content)
    assert policy.denied.startswith("The policy of this computer cannot be read (")
    assert why in policy.denied
    assert (policy.bounds, policy.invitation, policy.lines) == (DOUBT, "", ())


@pytest.mark.parametrize(
    ("content", "key", "verdict", "text"),
    [
        ("contribute = 1", "contribute", "invalid", "true or false"),
        ('contribute = "no"', "contribute", "invalid", "true or false"),
        ("reason = 5", "reason", "invalid", "text"),
        ("consent = true", "consent", "unknown", "no such entry"),
        ("settings = 3", "settings", "invalid", "a table"),
        ("enrolment = 3", "enrolment", "invalid", "a table"),
        ("[enrolment]\ntoken = 'x'", "enrolment.token", "unknown", "no such entry"),
        ("[enrolment]\ninvitation = 7", "enrolment.invitation", "invalid", "an invitation"),
        ('"cpu.share_idle" = 25', "cpu.share_idle", "unknown", "under [settings]"),
        ('[settings]\n"cpu.share_idle" = 1000', "cpu.share_idle", "invalid", "1 to 100"),
        ('[settings]\n"cpu.share_idle" = true', "cpu.share_idle", "invalid", "1 to 100"),
        ('[settings]\n"budget.epsilon" = nan', "budget.epsilon", "invalid", "0.05 to 10"),
        ('[settings]\n"idle.only" = []', "idle.only", "invalid", "on or off"),
        ('[settings]\n"no.such" = 1', "no.such", "unknown", "no such setting"),
        ('[settings]\n"key_store" = "passphrase"', "key_store", "personal", "the person"),
        ('[settings]\n"idle.only" = true\nidle.only = true', "idle.only", "invalid", "twice"),
    ],
)
def test_p3_a_line_in_error_forbids_and_is_named(content, key, verdict, text):
    policy = of(content)
    wrong = [line for line in policy.lines if line.key == key]
    assert wrong
    assert {line.verdict.value for line in wrong} == {verdict}
    assert text in wrong[0].text
    assert policy.denied.startswith(f"The policy of this computer has an error ({key}: ")
    assert policy.bounds == DOUBT


def test_p3_the_lines_without_an_error_hold_beside_one_with():
    policy = of('[settings]\n"no.such" = 1\n"budget.epsilon" = 0.25\n"idle.onyl" = true')
    assert policy.bounds == {**DOUBT, "budget.epsilon": 0.25}
    assert "and 1 more" in policy.denied
    assert verdicts(policy) == {
        "no.such": "unknown", "budget.epsilon": "applied", "idle.onyl": "unknown",
    }  # fmt: skip


def test_a_setting_needs_no_quotes():
    assert of("[settings]\nbudget.epsilon = 0.25").bounds == {"budget.epsilon": 0.25}


def test_p5_a_looser_budget_is_refused_and_never_raises_it():
    policy = of('[settings]\n"budget.epsilon" = 5')
    assert verdicts(policy) == {"budget.epsilon": "looser"}
    settings = Settings({}, policy.bounds)
    assert settings.number("budget.epsilon") == 1.0
    (line,) = weighed(policy.lines, settings)
    assert "1.0 holds (default)" in line.text
    assert policy.denied == ""
    # The person's own choice is bounded by it, and then it counts.
    assert verdicts(policy, {"budget.epsilon": 8.0}) == {"budget.epsilon": "applied"}
    # The invitation proposes more than the policy allows.
    assert verdicts(policy, proposed={"budget.epsilon": 6.0}) == {"budget.epsilon": "applied"}


@pytest.mark.parametrize(
    ("line", "chosen", "verdict"),
    [
        ('"cpu.share_idle" = 20', {}, "applied"),
        ('"cpu.share_idle" = 50', {}, "applied"),
        ('"cpu.share_idle" = 80', {}, "looser"),
        ('"cpu.share_idle" = 30', {"cpu.share_idle": 20}, "applied"),
        ('"idle.minutes" = 1', {}, "looser"),
        ('"idle.only" = false', {"idle.only": True}, "looser"),
        ('"idle.only" = true', {}, "applied"),
        ('"models.update_without_consent" = true', {}, "looser"),
        ('"battery.rule" = "always"', {}, "looser"),
        ('"battery.rule" = "above"', {"battery.rule": "always"}, "applied"),
        ('"hours.monday" = "always"', {}, "looser"),
        ('"hours.monday" = "09:00-17:00"', {}, "applied"),
        ('"network.proxy" = "http://proxy:3128"', {}, "applied"),
    ],
)
def test_p3_each_bound_is_weighed_against_what_holds_without_it(line, chosen, verdict):
    policy = of(f"[settings]\n{line}")
    assert list(verdicts(policy, chosen).values()) == [verdict]


@given(st.data())
def test_p3_a_bound_that_counts_as_looser_changes_no_value(data):
    d = data.draw(st.sampled_from([one for one in DEFINITIONS if one.minimum is not None]))
    whole = d.kind.value == "integer"
    values = (
        st.integers(int(d.minimum), int(d.maximum))
        if whole
        else st.floats(float(d.minimum), float(d.maximum))
    )
    chosen, bound = {d.key: data.draw(values)}, {d.key: data.draw(values)}
    entry = Settings(chosen, bound).entry(d.key)
    assert entry.verdict in ("applied", "looser")
    if entry.verdict == "looser":
        assert entry.value == chosen[d.key]
        assert d.tighter is not Tighter.NOT


@given(st.binary(max_size=120))
def test_p11_no_content_raises(content):
    policy = of(content)
    assert policy.origin == "policy.toml"
    wrong = any(line.verdict in IN_ERROR for line in policy.lines)
    assert policy.denied or not wrong


def test_an_invitation_is_not_quoted_whole():
    (line,) = of("[enrolment]\ninvitation = 'aegis1.secretsecretsecret'").lines
    assert (line.verdict, line.value) == (Verdict.APPLIED, "aegis1.secre…")


def test_a_missing_file_allows_and_an_unreadable_one_forbids(tmp_path):
    assert load(policy_of_tests(tmp_path / "none.toml")) == Policy()
    (tmp_path / "folder.toml").mkdir()
    assert load(policy_of_tests(tmp_path / "folder.toml")).denied


def test_the_largest_policy_is_still_read(tmp_path):
    path = tmp_path / "policy.toml"
    path.write_text(FULL + "#" * (MAX_POLICY_BYTES - len(FULL)))
    assert load(policy_of_tests(path)).invitation
    path.write_text(FULL + "#" * (MAX_POLICY_BYTES + 1 - len(FULL)))
    assert "larger than" in load(policy_of_tests(path)).denied
