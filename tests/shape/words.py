"""The vocabulary: home-made words that the program no longer uses, and the field's own words in
their place.

A line that needs one of the words says why in a comment at its end: `# word: reason`.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from tests.shape.source import FunctionNode, SourceFile

WORDS = (
    "Wall",
    "Terms",
    "Standing",
    "Turns",
    "Door",
    "Gathering",
    "Conductor",
    "Farewell",
    "mend",
    "held",
    "told",
    "came",
)
"""These appear nowhere: not in names, comments or messages."""
JUSTIFIED = re.compile(r"#\s*word: \S+")
REPLACED = {
    "Abort": "GroupFailure",
    "AskedProbes": "PollingProbes",
    "Caller": "Principal",
    "Child": "ManagedProcess",
    "Do": "DeviceAction or GroupAction",
    "Drafts": "CheckpointStore",
    "Entry": "RoundEvent",
    "Grouping": "GroupPlan",
    "Heard": "DeviceEvent",
    "Holder": "RegisteredCertificate",
    "Join": "JoinPhase",
    "LiveRound": "ReplayableRound",
    "LocalWay": "LocalRound",
    "Meeting": "JoinWindow",
    "Membership": "EnrolmentClient",
    "Memory": "Hysteresis",
    "Met": "GroupEvent",
    "NeedsOperator": "OperatorActionError",
    "NeedsUser": "UserActionError",
    "Part": "DeviceResult",
    "Participation": "RoundRunner",
    "PeerFault": "PeerError",
    "Say": "DeviceAction",
    "SecaggWay": "SecaggRound",
    "Sum": "GroupSum",
    "Tally": "AdmissionMetrics",
    "Turn": "ActiveRound",
    "Waiting": "ReadyPool",
    "Words": "LocaleFormatter",
    "_Alarm": "RequestDeadline",
    "_Wires": "OpenSockets",
    "accompany": "follow_rounds",
    "bent": "poison",
    "blame": "record_fault",
    "ending": "quit_signals",
    "fence_check": "probe",
    "fences": "sandbox rules",
    "floor": "device_limits, min_group_size or min_model_version",
    "fold": "update",
    "gathering": "group coordinator",
    "give": "submit",
    "last_words": "exit_error",
    "look": "poll",
    "mend": "remedy",
    "own_reasons": "blocking_reasons",
    "play": "apply",
    "problems_of": "verify_ledger",
    "reading_words": "reading_labels",
    "rendezvous": "join_window",
    "setting_words": "setting_labels",
    "standing": "status or consent_status",
    "told": "snapshot",
    "vanish": "drop_out",
    "wanted": "required_readings",
    "way_local": "local_round",
    "way_secagg": "secagg_round",
}
"""Names of files, classes, functions, parameters and fields that the program defines nowhere, and
what to use instead.
"""
VARIABLES = {
    "came": "received",
    "floor": "minimum",
    "held": "stored",
    "made": "result",
    "said": "declared",
    "told": "received",
}
"""The same for local variables, where the other words are ordinary English."""
WORD = re.compile(rf"\b(?:{'|'.join(WORDS)})\b")


def unjustified(files: list[SourceFile]) -> list[str]:
    """Lines that hold one of the words without saying why."""
    return [
        f"{file.path}:{number}: {line.strip()}"
        for file in files
        for number, line in enumerate(file.lines, 1)
        if WORD.search(line) and not JUSTIFIED.search(line)
    ]


def replaced(files: list[SourceFile]) -> list[str]:
    """Definitions under a name that was replaced. A mere use is not looked at: `math.floor()` is
    another library's name.
    """
    found = [
        (file, line, name, table[name])
        for file in files
        for table, definitions in ((REPLACED, _definitions(file)), (VARIABLES, _variables(file)))
        for name, line in definitions
        if name in table
    ]
    return [
        f"{file.path}:{line}: {name}, say {new}"
        for file, line, name, new in found
        if not JUSTIFIED.search(file.lines[line - 1])
    ]


def _variables(file: SourceFile) -> Iterator[tuple[str, int]]:
    return (
        (node.id, node.lineno)
        for node in file.nodes
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    )


def _definitions(file: SourceFile) -> Iterator[tuple[str, int]]:
    if file.lines:
        yield PurePosixPath(file.path).stem, 1
    for node in file.nodes:
        if isinstance(node, FunctionNode | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno
