"""Renders the answers of commands as text for a terminal.

An answer holds names of files, texts of servers and values of the store. `shown` is the way to
print one: it escapes what a terminal would obey (agent.printable).
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from agent.printable import json_text, printable_values

Shown = dict[str, Any]
_BY_HAND = {"person": "you", "table": "tables that you imported"}
"""Sources without a switch, in words."""
MAX_NOT_PE_LISTED = 10
"""A folder may hold thousands of other files; beyond this number they are only counted."""


def shown(answer: Shown, text: Callable[[Shown], str] | None) -> str:
    """Return an answer as `text` renders it; as JSON where that is None."""
    return json_text(answer) if text is None else text(printable_values(answer))


def status_text(status: Shown) -> str:
    """State and reasons first, then budget, model and data."""
    from agent.status import epsilon_in_words

    consent, budget, model = status["consent"], status["budget"], status["model"]
    lines = [
        f"State:    {status['state']}" + (f" - {status['activity']}" if status["activity"] else "")
    ]
    lines.append(f"Consent:  {consent['state']} (notice {consent['notice_id']})")
    operator = status["operator"]
    joined = (
        f"{operator['name']}, {operator['server']}"
        + ("" if status["enrolled"] else " (not contacted yet)")
        if operator
        else "none"
    )
    lines.append(f"Operator: {joined}")
    lines.extend(f"Waits:    {_reason(reason)}" for reason in status["reasons"])
    lines.append(
        f"Budget:   ε {epsilon_in_words(budget['epsilon_ledger'])} of"
        f" {epsilon_in_words(budget['epsilon_period'])} spent in {budget['period_days']} days"
        f" (δ {budget['delta']:g});"
        f" {_other_epsilons(budget)}" + ("" if budget["verified"] else " (not verified)")
    )
    if budget["may_take_part_at"]:
        lines.append(f"          can take part again from {_time(budget['may_take_part_at'])}")
    kind = "demonstration model" if model["demonstration"] else f"version {model['version']}"
    lines.append(f"Model:    {kind}")
    lines.append(
        f"Samples:  {status['samples_benign']} benign, {status['samples_malicious']} malicious"
    )
    lines.extend(
        f"          {_count(one['rows'], 'row')} from"
        f" {_BY_HAND.get(one['source'], one['source'])}"
        + (" (looks by itself)" if one["on"] else "")
        for one in status["sources"]
    )
    sent = status["sent"]
    lines.append(
        f"Sent:     {_count(sent['count'], 'update')}, {sent['bytes_up']} bytes"
        + _until(sent["last_at"], ", last")
    )
    if status["next_at"]:
        lines.append(f"Next:    {_until(status['next_at'], '')}")
    if work := status["work"]:
        use = (
            f"; training uses {work['measured_text']} and {work['memory_mib']:.0f} MiB"
            if work["measured_text"]
            else ""
        )
        suspended = " (suspended)" if work["suspended"] else ""
        lines.append(f"Limit:    {work['limit_text']}{use}{suspended}")
    if stop := status["last_stop"]:
        lines.append(f"Stopped:  {stop['text']}")
    if policy := status["policy"]:
        refused = [line for line in policy["lines"] if line["verdict"] != "applied"]
        count = len(policy["lines"]) - len(refused)
        lines.append(f"Policy:   {policy['origin']}: {_count(count, 'line')} applied")
        lines.extend(f"          {policy_line(line)}" for line in refused)
    if status["group_floor"]:
        lines.append(f"Groups:   {status['group_floor']}")
    lines.extend(
        f"Reading:  {reading['name']}: {reading['value']} ({reading['source']})"
        for reading in status["readings"]
    )
    texts = {reason["text"] for reason in status["reasons"]}
    lines.extend(f"Note:     {note}" for note in status["notes"] if note not in texts)
    return "\n".join(lines)


def notice_text(notice: Shown) -> str:
    details = "\n\n".join(f"{heading}\n  {text}" for heading, text in notice["details"])
    first = "\n\n".join(notice["first_layer"])
    return (
        f"{notice['title']}\n\n{first}\n\n{notice['question']}\n\n"
        f"-- {notice['details_label']} --\n\n{details}\n\n"
        f"Now: {notice['state']}. Notice: {notice['notice_id']}\n"
        f"Yes: aegis consent grant --accept {notice['notice_id']}\n"
        "No: do nothing, or aegis consent withdraw"
    )


def withdrawn_by_mark_text(answer: Shown) -> str:
    """What holds after a withdrawal that the agent did not answer."""
    if answer["recorded"]:
        return "Consent is WITHDRAWN. Nothing runs; updates that waited to be sent were deleted."
    return (
        f"Consent is WITHDRAWN, also after a restart. The agent does not answer ({answer['code']}):"
        " it sends nothing more, and stops within a minute of going on."
    )


def withdrawn_text(status: Shown, ledger: Shown) -> str:
    """What stops, what is deleted, and what the ledger says cannot be undone (C12)."""
    states = {entry["state"] for entry in ledger["outbox"]}
    if "unsent" in states:
        waiting = (
            "updates that waited to be sent are not deleted yet, because the disk takes nothing."
            " They are never sent."
        )
    elif "withdrawn" in states:
        waiting = "updates that waited to be sent were deleted."
    else:  # none waited, or the ledger cannot be read
        waiting = "nothing more is sent."
    lines = [f"Consent is {status['consent']['state']}. Nothing runs; {waiting}"]
    acknowledged = {
        entry["charge_seq"] for entry in ledger["outbox"] if entry["state"] == "acknowledged"
    }
    versions = [
        charge["model_version"] + 1 for charge in ledger["charges"] if charge["seq"] in acknowledged
    ]
    if versions:
        span = (
            f"version {versions[0]}"
            if len(set(versions)) == 1
            else f"versions {min(versions)} to {max(versions)}"
        )
        is_one = len(versions) == 1
        lines.append(
            f"{_count(len(versions), 'update')} {'was' if is_one else 'were'} received before and"
            f" may be part of the model from {span} on; {'it' if is_one else 'they'} cannot be"
            " taken out again."
        )
    lines.append(
        "The samples that you added and the record of what was sent are still here. To remove"
        " everything, here and at the server: aegis erase"
    )
    return "\n".join(lines)


def enrolled_text(result: Shown) -> str:
    operator = result["operator"]
    return (
        f"Stored the invitation from {operator['name']} ({result['server']}). No server has been"
        " contacted yet;\nthat happens once you have agreed: aegis consent show"
    )


def settings_text(result: Shown) -> str:
    lines = [setting_text(entry) for entry in result["settings"]]
    policy = result["policy"] or {"lines": ()}
    lines.extend(
        f"Policy: {policy_line(line)}"
        for line in policy["lines"]
        if line["verdict"] not in ("applied", "looser")
    )
    return "\n".join(lines)


def setting_text(entry: Shown) -> str:
    managed = {
        "applied": f"; your organisation allows {_value(entry['bound'])}",
        "looser": f"; policy {_value(entry['bound'])} refused as looser",
    }.get(entry["verdict"], "")
    if entry["origin"] == "policy":
        managed = " (managed by your organisation)"
    return (
        f"{entry['key']} = {_value(entry['value'])} {entry['unit']}".rstrip()
        + f"  [{entry['origin']}]{managed}\n    {entry['help']}"
    )


def policy_line(line: Shown) -> str:
    """One line of the policy and what became of it."""
    return f"{line['key']} = {line['value']}: {line['verdict']}; {line['text']}"


def added_text(result: Shown) -> str:
    summary = f"{_count(result['added'], 'row')} added, {result['known']} already stored"
    return _with_refused(summary, result)


def marked_text(result: Shown) -> str:
    """A file that was known already now counts as the person says."""
    return _with_refused(f"{_count(result['added'] + result['known'], 'file')} marked", result)


def _with_refused(summary: str, result: Shown) -> str:
    lines = [f"{summary}, {len(result['refused'])} refused."]
    others = [item for item in result["refused"] if item["code"] == "NOT_PE"]
    shown = (
        result["refused"]
        if len(others) <= MAX_NOT_PE_LISTED
        else [item for item in result["refused"] if item["code"] != "NOT_PE"]
    )
    lines.extend(f"{item['path']}: {item['message']}" for item in shown)
    if len(others) > MAX_NOT_PE_LISTED:
        lines.append(f"{len(others)} files are not Windows executables (PE).")
    return "\n".join(lines)


def samples_text(result: Shown) -> str:
    lines = [
        f"{_count(result['total'], 'row')}: {result['benign']} benign,"
        f" {result['malicious']} malicious."
    ]
    lines.extend(
        f"{row['id']:>6}  {row['label']:<9}  {_day(row['added_at'])}  {row['source']}"
        for row in result["rows"]
    )
    return "\n".join(lines)


def sources_text(result: Shown) -> str:
    """Each source that exists here with what it does, then the folders and the last look."""
    lines = []
    for one in result["sources"]:
        state = "on " if one["on"] else "off"
        lines.append(
            f"{state} {one['source']}: {one['title']} ({one['label']},"
            f" {_count(one['rows'], 'row')})\n      {one['text']}"
        )
        if one["problem"]:
            lines.append(f"      The last look could not read all of it ({one['problem']}).")
    if not result["sources"]:
        lines.append("This computer has no source of samples that looks by itself.")
    lines.append("")
    lines.extend(f"Folder: {folder}" for folder in result["folders"])
    lines.extend(f"Log:    {log}" for log in result["logs"])
    if not any(one["on"] for one in result["sources"]):
        lines.append("No source is on, so nothing is opened: aegis sources on SOURCE")
    elif not result["folders"]:
        lines.append("No folder is chosen, so nothing is opened: aegis sources add FOLDER")
    if result["searched_at"]:
        lines.append(
            f"Last look: {_time(result['searched_at'])},"
            f" {_count(result['programs'], 'program')} among {_count(result['files'], 'file')}"
        )
    lines.append(
        f"Limits: {result['rows_per_day']} new rows a day, kept for {result['keep_days']} days"
    )
    return "\n".join(lines)


def searched_text(result: Shown) -> str:
    lines = [
        f"{_count(result['programs'], 'program')} among {_count(result['files'], 'file')};"
        f" {_count(result['added'], 'new row')}."
    ]
    lines.extend(
        f"{_count(rows, 'row')} from {_BY_HAND.get(source, source)}"
        for source, rows in result["rows"].items()
    )
    lines.extend(
        f"{one['source']} could not be read in full ({one['code']})." for one in result["unread"]
    )
    return "\n".join(lines)


def ledger_text(result: Shown) -> str:
    from agent.status import epsilon_in_words

    totals = result["totals"]
    states = {entry["charge_seq"]: entry for entry in result["outbox"]}
    lines = []
    for charge in result["charges"]:
        entry = states.get(charge["seq"], {})
        lines.append(
            f"{charge['seq']:>4}  {charge['time']}  round {charge['round_id']}  {charge['mode']}"
            f"  ε {epsilon_in_words(charge['epsilon'])}  {charge['body_bytes']} bytes"
            f"  {entry.get('state', '')}  {charge['body_sha256'][:16]}"
        )
    lines.append(
        f"{_count(totals['charges'], 'charge')}, {totals['sent']} acknowledged,"
        f" {totals['bytes_up']} bytes;"
        f" this period ε {epsilon_in_words(totals['epsilon_ledger'])} of"
        f" {epsilon_in_words(totals['epsilon_period'])} (δ {totals['delta']:g});"
        f" {_other_epsilons(totals)}"
    )
    lines.extend(f"PROBLEM: {problem}" for problem in result["problems"])
    if result["verified"]:
        lines.append(
            "Verified: the chain is complete, and stored bytes and signed receipts match it."
        )
    if result["verified"] is not None:
        lines.extend(_seal_lines(result["seal"], totals["charges"]))
    return "\n".join(lines)


def _seal_lines(seal: Shown, charges: int) -> list[str]:
    """What the check of the seals says about a ledger with this many charges."""
    if not seal["verified"]:
        return [f"Seals: not verified. {seal['note']}".rstrip()]
    lines = ["Seals: every one was made with this device's key."]
    if seal["unsealed"]:
        lines.append(
            f"The first {_count(seal['unsealed'], 'charge')} of {charges} are older than the seals"
            f" ({_time(seal['sealed_at'])}); nothing vouches for what was there before."
        )
    return lines


def quit_text(result: Shown) -> str:
    return "The agent is ending." if result["was_running"] else "No agent is running."


def erased_text(result: Shown) -> str:
    return (
        f"{_erased_where(result)} The lifetime ε starts at 0 again: if you take part again, add"
        " what this device spent before."
    )


def _erased_where(result: Shown) -> str:
    if result["server_cannot_be_told"]:
        return (
            "Everything on this computer is gone. The server's data stays, because the key that"
            " proves who asks could not be read. Ask the operator to delete it."
        )
    if result["pending"] and result["registered"]:
        return (
            "Everything on this computer is gone. The server has not confirmed yet; AegisAI keeps"
            " trying. To try now: aegis erase"
        )
    if result["pending"]:
        return (
            "Everything on this computer is gone but a key in the keyring that opens nothing any"
            " more. AegisAI keeps trying to delete it. To try now: aegis erase"
        )
    where = ", here and at the server" if result["registered"] else "; no server knew this device"
    return f"Everything is gone{where}. To take part again, you need a new invitation."


def doctor_text(result: Shown) -> str:
    lines = []
    for check in result["checks"]:
        mark = {True: "ok  ", False: "BAD ", None: "    "}[check["ok"]]
        lines.append(
            f"{mark} {check['name']}: {check['value']}"
            + (f"\n       {check['remedy']}" if check["remedy"] else "")
        )
    return "\n".join(lines)


def _reason(reason: Shown) -> str:
    code = reason["code"]
    if code == "CYCLE_FAILED":
        code = f"{code} ({reason['reading']})"
    seen = f" (seen {_time(reason['at'])})" if reason["at"] else ""
    return f"{code}: {reason['text']}{_until(reason['until'])}{seen}"


def _other_epsilons(epsilons: Shown) -> str:
    from agent.status import epsilon_in_words

    return (
        f"if the sums' protection failed: {epsilon_in_words(epsilons['epsilon_local'])};"
        f" lifetime: {epsilon_in_words(epsilons['epsilon_lifetime'])} of"
        f" {epsilon_in_words(epsilons['epsilon_lifetime_ceiling'])}, and"
        f" {epsilon_in_words(epsilons['epsilon_local_lifetime'])} if the sums' protection failed"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _value(value: object) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else f"{value}"


def _until(at: int | None, word: str = " until") -> str:
    return f"{word} {_time(at)}" if at else ""


def _day(at: int) -> str:
    """The day whose first second in UTC this is."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def _time(at: int) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M")
