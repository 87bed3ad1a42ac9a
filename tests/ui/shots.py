"""Pictures of every page: `python -m tests.ui.shots OUTDIR` renders each scene × light/dark × 1×/2× without a screen."""

import os
import subprocess
import sys
from pathlib import Path


def render(folder, scale):
    from PySide6.QtCore import QLocale

    from tests.ui import scenes
    from ui import i18n
    from ui.theme import Theme

    app = scenes.plain_application()
    i18n.install(app, QLocale())
    theme = Theme(app)
    for dark in (False, True):
        theme.use(dark=dark)
        for name, make in scenes.SCENES.items():
            shown = make(app, theme)
            scenes.settle()
            shown.grab().save(str(folder / f"{name}-{'dark' if dark else 'light'}-{scale}x.png"))
            shown.close()
            shown.deleteLater()


def main(argv):
    folder = Path(argv[0] if argv else "build/shots")
    folder.mkdir(parents=True, exist_ok=True)
    if len(argv) == 2:
        render(folder, int(argv[1]))
        return 0
    for scale in (1, 2):
        environ = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "QT_SCALE_FACTOR": str(scale), "LANG": "C.UTF-8"}
        subprocess.run([sys.executable, "-m", "tests.ui.shots", str(folder), str(scale)], env=environ, check=True)
    print(f"{len(list(folder.glob('*.png')))} pictures in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
