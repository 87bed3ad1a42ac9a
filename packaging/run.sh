#!/bin/sh
# `make run`: with a display the tray and the window, with an aggregator and neighbours on this machine; without one the demonstration with
# its report. Everything it writes lies in .run/ of this clone. VIEW=window or VIEW=terminal chooses.
set -eu
cd "$(dirname "$0")/.."
mkdir -p .run

# True when Qt really connects to a display. Qt ends the process when it cannot.
display_answers() {
    [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] &&
        .venv/bin/python -c 'from PySide6.QtGui import QGuiApplication; QGuiApplication(["look"])' >/dev/null 2>&1
}

case "${VIEW:-}" in
    "") if display_answers; then view=window; else view=terminal; fi ;;
    window) display_answers || { echo "There is no display that Qt can use. VIEW=terminal runs the demonstration without one." >&2; exit 2; }
        view=window ;;
    terminal) view=terminal ;;
    *) echo "VIEW is window or terminal, not '$VIEW'." >&2; exit 2 ;;
esac
if [ "$view" = window ]; then
    exec .venv/bin/python -P -m server_stub.demo.desktop .run/desk
fi
export AEGIS_HOME="$PWD/.run/home"
exec .venv/bin/aegis demo --chart .run/demo.png
