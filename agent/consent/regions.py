"""Chooses the country whose rules the notice names beside the rights that everybody has.

The rights themselves do not differ by region.
"""

_EEA_CODES = (
    "AT BE BG HR CY CZ DK EE FI FR DE GR HU IE IS IT LI LV LT LU MT NL NO PL PT RO SK SI ES SE"
)
_EEA = frozenset(_EEA_CODES.split())
_OWN = frozenset({"GB", "CH", "US", "BR", "CA"})


def territory_of(locale: str) -> str:
    """Return the country of a locale ("de_AT.UTF-8", "en-GB") in upper case, or ""."""
    parts = locale.split(".")[0].split("@")[0].replace("-", "_").split("_")
    found = [part for part in parts[1:] if len(part) == 2 and part.isalpha()]
    return found[0].upper() if found else ""


def region_of(territory: str) -> str:
    """Return the key of the regional paragraph: a country, "EU" for the EEA, or "OTHER"."""
    if territory in _OWN:
        return territory
    return "EU" if territory in _EEA else "OTHER"
