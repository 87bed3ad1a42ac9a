"""The table of model families. A new family is one file beside this one and a row here."""

from agent.detector.families.base_head import BaseHead
from agent.detector.families.family import Family, unknown
from agent.detector.families.logistic import Logistic

FAMILIES: dict[str, Family] = {family.name: family for family in (Logistic(), BaseHead())}


def family(name: str) -> Family:
    """Return the family of that name. Raises OperatorActionError UNKNOWN_TASK."""
    if name not in FAMILIES:
        raise unknown(name)
    return FAMILIES[name]
