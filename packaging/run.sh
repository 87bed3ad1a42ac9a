#!/bin/sh
# `make run`: the demonstration with its report. Everything it writes lies in .run/ of this clone.
set -eu
cd "$(dirname "$0")/.."
mkdir -p .run
export AEGIS_HOME="$PWD/.run/home"

case "${VIEW:-}" in
    "" | terminal) ;;
    window) echo "A run with tray and window is not built yet; this is the demonstration in the terminal." >&2 ;;
    *) echo "VIEW is window or terminal, not '$VIEW'." >&2; exit 2 ;;
esac
exec .venv/bin/aegis demo --chart .run/demo.png
