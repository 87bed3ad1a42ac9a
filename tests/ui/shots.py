"""Pictures of every page: `python -m tests.ui.shots OUTDIR` renders each example in light and dark,
at scale 1 and 2, without a screen.

It checks each picture; exit code 1 when text is cut off or pale, or a page is empty.
"""

import os
import subprocess
import sys
from pathlib import Path

PNG_QUALITY = 80
"""Larger files, but written in a quarter of the time."""
OK_LINE = "{count} pictures; nothing is cut off, pale or empty"


def render(folder, scale):
    """Render all examples at one scale; return the problems found, one line each."""
    from PySide6.QtCore import QLocale

    from tests.ui import measure, windows
    from ui import i18n
    from ui.theme import Theme

    app = windows.plain_application()
    i18n.install(app, QLocale())
    theme = Theme(app)
    found = []
    for dark in (False, True):
        theme.use(dark=dark)
        for name, make in windows.EXAMPLES.items():
            shown = make(app, theme)
            windows.settle()
            file = f"{name}-{'dark' if dark else 'light'}-{scale}x.png"
            image = shown.grab().toImage()
            image.save(str(folder / file), quality=PNG_QUALITY)
            found += [f"{file}: {problem}" for problem in measure.problems(shown, image)]
            windows.clear()
    return found


def main(argv):
    folder = Path(argv[0] if argv else "build/shots")
    folder.mkdir(parents=True, exist_ok=True)
    if len(argv) == 2:
        found = render(folder, int(argv[1]))
        print("\n".join(found), end="")
        return int(bool(found))
    running = []
    for scale in (1, 2):
        environ = {
            **os.environ,
            "QT_QPA_PLATFORM": "offscreen",
            "QT_SCALE_FACTOR": str(scale),
            "LANG": "C.UTF-8",
        }
        running.append(
            subprocess.Popen(
                [sys.executable, "-m", "tests.ui.shots", str(folder), str(scale)], env=environ
            )
        )
    if any([process.wait() for process in running]):
        return 1
    print(OK_LINE.format(count=len(list(folder.glob("*.png")))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
