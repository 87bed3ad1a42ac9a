"""What the Scan page says of a scan: counts, reasons, and what the verdicts are worth. The same
facts as `aegis scan` prints.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ui.presentation.locale_formatter import LocaleFormatter, counted

MOST_LISTED = 300
"""Rows of the table; the command lists them all."""
ORDER = ("malicious", "unsure", "error", "benign")
"""What deserves a look comes first. Other files are only counted."""
FEW_FILES = 10
"""A scan of so few files lists the other files too."""


def listed(results: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rows of the table, at most MOST_LISTED."""
    order = (*ORDER, "not_pe") if len(results) <= FEW_FILES else ORDER
    shown = [one for one in results if one["verdict"] in order]
    shown.sort(key=lambda one: (order.index(one["verdict"]), -(one["probability"] or 0)))
    return shown[:MOST_LISTED]


def counts_text(counts: Mapping[str, int], formatter: LocaleFormatter) -> str:
    """Return the summary of a scan in one line."""

    def say(text: str) -> str:
        return formatter.translate("ScanReport", text)

    programs = counts["benign"] + counts["unsure"] + counts["malicious"]
    parts = [counted(programs, say("1 program"), say("{count} programs"))]
    if programs:
        verdicts = say("{benign} look benign, {unsure} unsure, {malicious} suspicious")
        if counts["benign"] == 1:
            verdicts = say("1 looks benign, {unsure} unsure, {malicious} suspicious")
        parts[0] = f"{parts[0]}: {verdicts.format_map(counts)}"
    parts.append(counted(counts["not_pe"], say("1 other file"), say("{count} other files")))
    if counts["error"]:
        parts.append(
            counted(counts["error"], say("1 file not read"), say("{count} files not read"))
        )
    return "; ".join(parts) + "."


def why_text(result: Mapping[str, Any], formatter: LocaleFormatter) -> str:
    """Return why a file got its verdict, one reason a line; for a file without a score, why not."""
    if result["probability"] is None:
        return str(result["message"])
    raises = formatter.translate("ScanReport", "Raises it: {reason}")
    lowers = formatter.translate("ScanReport", "Lowers it: {reason}")
    lines = [str(result["provenance"])] if result["provenance"] else []
    lines += [
        (raises if reason["weight"] > 0 else lowers).format(reason=reason["text"])
        for reason in result["reasons"]
    ]
    return "\n".join(lines)


def added_text(answer: Mapping[str, Any], formatter: LocaleFormatter) -> str:
    """Return what became of files that a person added."""

    def say(text: str) -> str:
        return formatter.translate("ScanReport", text)

    summary = counted(int(answer["added"]), say("1 file added."), say("{count} files added."))
    if answer["known"]:
        summary += " " + counted(
            int(answer["known"]),
            say("1 file was known already."),
            say("{count} files were known already."),
        )
    return _with_refused(summary, answer)


def marked_text(answer: Mapping[str, Any], formatter: LocaleFormatter) -> str:
    """Return what became of files of which a person said what they are."""
    summary = counted(
        int(answer["added"]) + int(answer["known"]),
        formatter.translate("ScanReport", "Noted for 1 file."),
        formatter.translate("ScanReport", "Noted for {count} files."),
    )
    return _with_refused(summary, answer)


def _with_refused(summary: str, answer: Mapping[str, Any]) -> str:
    refused = (f"{Path(one['path']).name}: {one['message']}" for one in answer["refused"][:5])
    return "\n".join((summary, *refused))


def worth_text(answer: Mapping[str, Any], formatter: LocaleFormatter) -> str:
    """Return which model gave the verdicts, and how far they can be trusted."""

    def say(text: str) -> str:
        return formatter.translate("ScanReport", text)

    if answer["demonstration"]:
        return say(
            "Scored by the demonstration model, made from invented files: this is no protection."
        )
    lines = [say("Scored by model version {version}.").format(version=answer["model_version"])]
    if answer["model_too_old"]:
        lines.append(say("It is too old: newer programs may be misjudged."))
    if answer["false_positive_rate"] is None:
        lines.append(say("How many benign programs it calls suspicious has not been measured."))
    else:
        percent = formatter.number(100 * answer["false_positive_rate"], 1)
        lines.append(
            say(
                "By its operator's measurement it calls {percent} % of benign programs suspicious."
            ).format(percent=percent)
        )
    return " ".join(lines)
