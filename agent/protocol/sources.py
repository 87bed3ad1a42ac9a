"""Where a training row is from, what its source says about it, and how much that counts. Pure."""

from enum import StrEnum


class Source(StrEnum):
    """Who says what a program is. Each of the first five has a switch of its own, off at first."""

    PACKAGES = "packages"
    """The file matches the checksum that its Debian package lists for it."""
    WHEELS = "wheels"
    """The file matches the checksum that its Python package lists for it."""
    SIGNED = "signed"
    """The file has a valid signature under an authority that the task names."""
    CLAMAV = "clamav"
    """ClamAV has reported the file as malware."""
    DEFENDER = "defender"
    """Microsoft Defender has reported the file as malware."""
    PERSON = "person"
    """A person at this computer said so."""
    TABLE = "table"
    """It was imported with a table of rows."""


SWITCHED = (Source.PACKAGES, Source.WHEELS, Source.SIGNED, Source.CLAMAV, Source.DEFENDER)
"""The sources that read files which no person named one by one."""
SCANNERS = frozenset({Source.CLAMAV, Source.DEFENDER})
"""They say "malicious"; the other switched sources say "benign"."""
MAX_FOLDERS = 16
"""That a person may choose."""
ONE_IN = {Source.SIGNED: 4}
"""A valid signature is no proof that a program is benign: malware is signed too. Of these rows only
one in so many takes part in training."""


def label_of(source: Source) -> int:
    """Return what a switched source says: 0 benign, 1 malicious."""
    return int(source in SCANNERS)
