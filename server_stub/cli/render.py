"""Renders the answers of `aegis-server` for a terminal. Values in, text out."""

import json
from typing import Any

from agent.clock import utc
from agent.protocol.messages import Mode
from agent.status import epsilon_in_words
from server_stub.config.settings import ServerSettings

Answer = dict[str, Any]


def created_text(answer: Answer) -> str:
    return "\n".join(
        (
            f"Created a server in {answer['home']}: {answer['mode']} mode, {answer['group_floor']}."
            " Next: aegis-server run",
            *(f"Warning: {warning}" for warning in answer["warnings"]),
        )
    )


def group_text(settings: ServerSettings) -> str:
    """Describe the smallest group that rounds allow."""
    if settings.task.mode is not Mode.SECAGG:
        return "no groups: each device adds all the noise to its update"
    plan = settings.rounds
    kind = "test floor" if plan.is_test_floor else "floor"
    return f"{kind}: groups of {plan.min_group} devices or more, sums of {plan.min_sum} or more"


def invitation_text(answer: Answer) -> str:
    return str(answer["invitation"])


def revoked_text(answer: Answer) -> str:
    return f"Revoked {answer['revoked']}."


def pairs_text(answer: Answer) -> str:
    """One line for each value."""
    return "\n".join(
        f"{name}: {json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value}"
        for name, value in _with_epsilon_in_words(answer).items()
    )


def _with_epsilon_in_words(answer: Answer) -> Answer:
    """Figures of ε as every page writes them; JSON keeps the exact ones."""
    return {
        name: _with_epsilon_in_words(value)
        if isinstance(value, dict)
        else epsilon_in_words(value)
        if name.startswith("epsilon_") and isinstance(value, float)
        else value
        for name, value in answer.items()
    }


def released_text(answer: Answer) -> str:
    if not answer["released"]:
        return f"{answer['device_id']} was not excluded."
    return f"Released {answer['device_id']}."


def devices_text(answer: Answer) -> str:
    lines = [
        f"{row['device_id']}  enrolled {utc(row['enrolled_at'])}  certificate until"
        f" {utc(row['certificate_until'] or 0)}  updates"
        f" {row['updates']}{_state(row)}{_excluded(row['exclusion'])}{_copies(row)}"
        for row in answer["devices"]
    ]
    return "\n".join(lines) or "No device is enrolled."


def _state(row: Answer) -> str:
    """The state in a word; an exclusion says more by itself."""
    state = str(row["state"])
    if state == "excluded":
        return ""
    return f"  {state if state == 'active' else state.upper()}"


def _copies(row: Answer) -> str:
    times = row["copies_refused"]
    if not times:
        return ""
    return (
        f"  a copy was refused {times} time{'s' if times > 1 else ''}, last"
        f" {utc(row['copy_refused_at'])}"
    )


def _excluded(exclusion: Answer | None) -> str:
    if exclusion is None:
        return ""
    return (
        f"  EXCLUDED through round {exclusion['until_round']}, at the latest until"
        f" {utc(exclusion['until'])} ({exclusion['code']} in round {exclusion['round_id']})"
    )


def device_text(answer: Answer) -> str:
    """The proofs against a device, each with what its judge says today."""
    lines = [f"{answer['device_id']}{_excluded(answer['exclusion']) or '  not excluded'}"]
    for proof in answer["proofs"]:
        released = f", released {utc(proof['released_at'])}" if proof["released_at"] else ""
        lines.append(
            f"round {proof['round_id']}: {proof['code']}, found {utc(proof['found_at'])}, excluded"
            f" from {proof['rounds']} round{'s' if proof['rounds'] > 1 else ''}{released};"
            f" evidence {proof['verified']}"
        )
    return "\n".join(lines)


def plan_text(answer: Answer) -> str:
    """The groups and the odds as a table."""
    head = (
        f"groups of {answer['min_group']} to {answer['g_max']} devices, sums of"
        f" {answer['min_sum']} or more, {answer['colluders']} of them may collude"
    )
    drops = "".join(f"{f'{percent} %':>9}" for percent in answer["drop_percent"])
    lines = [head, "", "a group ends without a sum, where so many devices drop out:"]
    lines.append(f"{'devices':>8}{'groups':>8}{'of':>6}{'needs':>7}{drops}")
    for row in answer["devices"]:
        aborts = "".join(f"{one:>9.0e}" for one in row["aborts"])
        lines.append(
            f"{row['devices']:>8}{row['groups']:>8}{row['size']:>6}{row['needed']:>7}{aborts}"
        )
    return "\n".join(lines)


def rounds_text(answer: Answer) -> str:
    lines = [
        f"{row['round_id']:>5}  {row['state']:<10} updates {row['updates']}/{row['target']}  model"
        f" {row['base_version']} → {row['model_version'] or '–'}"
        f"  ε {epsilon_in_words(row['epsilon_ledger'])}"
        for row in answer["rounds"]
    ]
    return "\n".join(lines) or "No round has been opened yet."


def round_text(answer: Answer) -> str:
    rest = {
        name: value for name, value in answer.items() if name not in ("groups", "defence", "canary")
    }
    lines = [
        f"group {number}: {group['state']}{', ' + group['failure'] if group['failure'] else ''};"
        f" {group['size']} advertised, {group['dealers']} shared, {group['survivors']} in the sum,"
        f" {group['signed']} signed, {group['unmasked']} unmasked; m {group['m']}, c {group['c']},"
        f" noise {group['noise_sd_units_planned']} units{_judged(group)}{_blamed(group)}"
        for number, group in enumerate(answer["groups"])
    ]
    return "\n".join([pairs_text(rest), *_defence_lines(answer), *lines])


def _defence_lines(answer: Answer) -> list[str]:
    """The rule of a round, what the gate refused, and what the canary says."""
    defence, canary, lines = answer.get("defence"), answer.get("canary"), []
    if defence:
        refused = ", ".join(f"{count} {reason}" for reason, count in defence["refused"].items())
        lines.append(
            f"rule: {defence['rule']}; {defence['judged']} judged, refused: {refused or 'none'}"
            f" ({defence['false_refusals_expected']:g} honest ones to expect)"
        )
        lines.append(defence["sentence"])
    if canary:
        for name in ("start", "best", "candidate"):
            figures = canary[name]
            lines.append(
                f"canary, {name} model: loss {figures['loss']:.4f}, false positives"
                f" {figures['fpr']:.2%}, true positives {figures['tpr']:.2%}"
            )
        lines.append(f"canary: {', '.join(canary['reasons']) or 'passed'}")
    return lines


def _judged(group: Answer) -> str:
    """What the gate found in a group, and what it counted for."""
    gate = group.get("gate")
    if not gate:
        return ""
    along = (
        ""
        if gate["projection"] is None
        else f", projection {gate['projection']:.1f} in"
        f" [{gate['projection_low']:.1f}, {gate['projection_high']:.1f}]"
    )
    refusal = f"; REFUSED: {group['refusal']}" if group["refusal"] and not group["weight"] else ""
    return (
        f"; energy {gate['energy']:.0f} of {gate['energy_limit']:.0f} at most{along}, weight"
        f" {group['weight']:.3f}{refusal}"
    )


def _blamed(group: Answer) -> str:
    """Who was at fault, with a proof or without one."""
    proven = group.get("proven", {})
    return "".join(
        f"; {device_id} {code} ({'proven' if device_id in proven else 'seen, not proven'})"
        for device_id, code in group.get("blamed", {}).items()
    )


def models_text(answer: Answer) -> str:
    return "\n".join(
        f"{row['version']:>5}  {utc(row['published_at'])}  {row['sha256'][:16]}…  {row['origin']}"
        f"{'  demonstration model' if row['demonstration'] else ''}"
        for row in answer["models"]
    )


def keys_text(answer: Answer) -> str:
    lines = [f"{role:<10} until {utc(end)}" for role, end in answer["ends"].items()]
    if answer["renew_soon"]:
        lines.append(
            f"Signatures that end soon: {', '.join(answer['renew_soon'])}. Bring the offline keys"
            " and run `aegis-server keys renew --offline DIR`."
        )
    if answer["offline_keys_here"]:
        lines.append(
            "The offline keys are on this machine. Move them to disconnected media, each root key"
            " to a different person."
        )
    return "\n".join(lines)


def training_text(answer: Answer) -> str:
    """What was trained, and what to do next."""
    lines = [f"Warning: {text}" for text in answer["warnings"]]
    known, unseen = answer["out_of_fold"], answer["hold_out"]
    lines += [
        f"Base and head of {answer['family']} in {answer['folder']}:"
        f" {answer['rows']:,} rows, {answer['malicious']:,} of them malicious,"
        f" {answer['base_bytes'] / 1024:.0f} KiB, seed {answer['seed']}, {answer['seconds']} s.",
        f"AUC {known['auc']:.4f} out of fold.",
    ]
    if unseen is not None:
        lines.append(
            f"AUC {unseen['auc']:.4f} on the hold-out, where {unseen['tpr_at_fpr_1']:.1%} of the"
            " malware is found at a false-positive rate of 1 %."
        )
    lines.append(
        f"Next: aegis-server init --detector {answer['folder']} --operator-name NAME --contact TEXT"
    )
    return "\n".join(lines)


def calibration_text(answer: Answer) -> str:
    """The thresholds, and how sure they are."""
    low, high = answer["fpr_interval"]
    lines = [f"Warning: {text}" for text in answer["warnings"]]
    lines += [
        f"Version {answer['version']} calls a file malicious from {answer['malicious_from']:.4f} on"
        f" and benign below {answer['benign_below']:.4f}.",
        f"False positives {answer['fpr']:.2%} of the rows (95 % interval {low:.2%} to {high:.2%}),"
        f" true positives {answer['tpr']:.1%}.",
    ]
    lines += [
        f"  {name}: {rate:.2%} false positives" for name, rate in answer["fpr_by_source"].items()
    ]
    return "\n".join(lines)


def evaluation_text(answer: Answer) -> str:
    """One line for each figure, then one for each source."""
    more = ("sources", "reliability")
    lines = [pairs_text({name: value for name, value in answer.items() if name not in more})]
    lines += [f"source {name}: {pairs_line(rates)}" for name, rates in answer["sources"].items()]
    lines += [f"reliability: {pairs_line(point)}" for point in answer["reliability"]]
    return "\n".join(lines)


def pairs_line(values: Answer) -> str:
    """All values on one line; what is missing is left out."""
    return ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)
