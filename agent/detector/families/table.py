"""The table of model families. A new family is one file beside this one and a row here.

Each file is loaded when its family is asked for: a scan waits for one, not for all.
"""

from collections.abc import Callable

from agent.detector.families.family import Family, unknown


def _logistic() -> Family:
    from agent.detector.families.logistic import Logistic

    return Logistic()


def _base_head() -> Family:
    from agent.detector.families.base_head import BaseHead

    return BaseHead()


FAMILIES: dict[str, Callable[[], Family]] = {"logistic/1": _logistic, "base+head/1": _base_head}


OLDER_NAMES = {"logistic": "logistic/1"}
"""Names in tasks from before there were families."""


def family(name: str) -> Family:
    """Return the family of that name. Raises OperatorActionError UNKNOWN_TASK."""
    found = FAMILIES.get(OLDER_NAMES.get(name, name))
    if found is None:
        raise unknown(name)
    return found()
