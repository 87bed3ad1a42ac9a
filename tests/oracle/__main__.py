"""usage: python -m tests.oracle [--fewest N] [WHEEL…]

Compares the rows of every executable in some wheels for Windows with what pefile reads. Without
names it downloads the wheels of WHEELS with pip (250 MB) into build/oracle, once. Exit code 1 if a
row differs, or if there are fewer than N (default: 1,000) executables.
"""

import argparse
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pefile

from agent.detector.schema import FEATURE_NAMES
from agent.worker.pe_headers import HeaderError, feature_row

FOLDER = Path(__file__).parents[2] / "build" / "oracle"
WHEELS = (
    ("PySide6-Essentials", "311", "win_amd64"),
    ("numpy", "311", "win32"),
    ("numpy", "311", "win_amd64"),
    ("pywin32", "311", "win32"),
    ("pywin32", "311", "win_amd64"),
    *((name, version, "win_amd64")
      for name in ("scipy", "scikit-learn", "pandas") for version in ("311", "312", "313")),
)  # fmt: skip
"""(package, version of Python, platform); none of their code runs here."""
ENDINGS = (".exe", ".dll", ".pyd", ".sys")


def download() -> list[Path]:
    """Return the wheels of WHEELS, newly downloaded where they are missing."""
    for name, version, platform in WHEELS:
        folder = FOLDER / f"{name}-{version}-{platform}"
        if not list(folder.glob("*.whl")):
            command = (
                *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
                *("--only-binary=:all:", "--python-version", version, "--platform", platform),
                *("--dest", str(folder), name),
            )
            subprocess.run(command, check=True)
    return sorted(FOLDER.glob("*/*.whl"))


def executables(wheel: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of each executable in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.lower().endswith(ENDINGS):
                yield f"{wheel.name}: {name}", archive.read(name)


def compared(content: bytes) -> str:
    """Return "equal", "refused by both", or what differs."""
    try:
        row = feature_row(lambda start, count: content[start : start + count], len(content))
    except HeaderError as error:
        row = None
        refusal = error.code
    try:
        parsed = pefile.PE(data=content, fast_load=True)
    except pefile.PEFormatError as error:
        return "refused by both" if row is None else f"only pefile refuses: {error}"
    if row is None:
        return f"only we refuse: {refusal}"
    numbers = {**vars(parsed.FILE_HEADER), **vars(parsed.OPTIONAL_HEADER)}
    expected = tuple(numbers[name] for name in FEATURE_NAMES)
    return "equal" if row == expected else f"{row} is not {expected}"


def main() -> int:
    options = argparse.ArgumentParser(usage=__doc__)
    options.add_argument("wheels", nargs="*", type=Path, metavar="WHEEL")
    options.add_argument("--fewest", type=int, default=1000)
    chosen = options.parse_args()
    outcomes: Counter[str] = Counter()
    for wheel in chosen.wheels or download():
        for name, content in executables(wheel):
            outcome = compared(content)
            outcomes[outcome if outcome in ("equal", "refused by both") else "different"] += 1
            if outcome not in ("equal", "refused by both"):
                print(f"{name}: {outcome}")
    print(f"{outcomes.total()} executables: {dict(outcomes)}")
    return int(outcomes["different"] > 0 or outcomes.total() < chosen.fewest)


if __name__ == "__main__":
    sys.exit(main())
