#!/bin/sh
# `make run`: with a display it starts tray and window, beside an aggregator and simulated devices on this machine; without one it runs the
# demonstration and prints its report. It writes to .run/ in this clone only. VIEW=window or VIEW=terminal overrides the choice.
set -eu
cd "$(dirname "$0")/.."
mkdir -p .run

# True if Qt can connect to a display. If it cannot, Qt ends the process.
display_works() {
    [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] &&
        .venv/bin/python -c 'from PySide6.QtGui import QGuiApplication; QGuiApplication(["probe"])' >/dev/null 2>&1
}

case "${VIEW:-}" in
    "") if display_works; then view=window; else view=terminal; fi ;;
    window) display_works || { echo "Qt cannot connect to a display. VIEW=terminal runs the demonstration without one." >&2; exit 2; }
        view=window ;;
    terminal) view=terminal ;;
    *) echo "VIEW must be window or terminal, not '$VIEW'." >&2; exit 2 ;;
esac
if [ "$view" = window ]; then
    exec .venv/bin/python -P -m server_stub.demo.desktop .run/desk
fi
export AEGIS_HOME="$PWD/.run/home"
exec .venv/bin/aegis demo --chart .run/demo.png
