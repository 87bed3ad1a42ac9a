#!/bin/sh
# Prepare this clone: .venv, the locked packages, the program itself, and the system libraries that Qt needs.
# usage: packaging/setup.sh [system]      "system" adds what `make test-system` needs (Xvfb, a real keyring, ...).
# It does nothing twice: a stamp records what is installed, by a checksum of lock file, pyproject.toml and this script.
set -eu
cd "$(dirname "$0")/.."

QT_PACKAGES="libgl1 libegl1 libxkbcommon0 libdbus-1-3 libfontconfig1 libglib2.0-0 fonts-dejavu-core
 libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 libxcb-shape0 libxcb-xkb1 libxkbcommon-x11-0"
SYSTEM_PACKAGES="xvfb openbox xdotool imagemagick x11-utils dbus dbus-x11 gnome-keyring trayer strace desktop-file-utils at-spi2-core debootstrap gcc libc6-dev faketime bindfs keepassxc clamav clamav-testfiles"

say() { printf '%s\n' "$*" >&2; }

need_python() {
    for candidate in python3.11 python3.12 python3.13 python3; do
        command -v "$candidate" >/dev/null 2>&1 || continue
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s\n' "$candidate"; return
        fi
    done
    say "AegisAI needs Python 3.11 or newer with venv. On Debian or Ubuntu: apt-get install python3 python3-venv"
    exit 2
}

# True if every library that Qt's platform plugins link against can be loaded.
qt_libraries_present() {
    .venv/bin/python - <<'PY'
import ctypes, sys
names = ("libGL.so.1", "libEGL.so.1", "libxkbcommon.so.0", "libdbus-1.so.3", "libfontconfig.so.1", "libglib-2.0.so.0",
         "libxcb-cursor.so.0", "libxcb-icccm.so.4", "libxcb-keysyms.so.1", "libxcb-shape.so.0", "libxcb-xkb.so.1", "libxkbcommon-x11.so.0")
missing = []
for name in names:
    try:
        ctypes.CDLL(name)
    except OSError:
        missing.append(name)
if missing:
    print("missing: " + " ".join(missing), file=sys.stderr)
sys.exit(bool(missing))
PY
}

apt_install() {
    # A display means that somebody works on this machine: print the command instead of changing their system.
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 && [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
        export DEBIAN_FRONTEND=noninteractive
        say "Installing system libraries ..."
        log=.venv/apt.log
        # shellcheck disable=SC2086
        if apt-get update -qq >"$log" 2>&1 && apt-get install -y -qq --no-install-recommends $1 >>"$log" 2>&1; then
            return 0
        fi
        tail -5 "$log" >&2
    fi
    say "Some system packages are missing. Install them with:"
    say "  apt-get install --no-install-recommends" $1
    return 1
}

if [ ! -x .venv/bin/python ]; then
    python=$(need_python)
    "$python" -m venv .venv
fi
stamp=.venv/.installed-$(cat requirements/lock.txt pyproject.toml packaging/setup.sh | cksum | cut -d' ' -f1)
if [ ! -f "$stamp" ]; then
    say "Installing the locked packages into .venv ..."
    if command -v uv >/dev/null 2>&1; then
        uv pip install -q --python .venv/bin/python --require-hashes --no-deps -r requirements/lock.txt
        uv pip install -q --python .venv/bin/python --no-deps --no-build-isolation -e .
    else
        .venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r requirements/lock.txt
        .venv/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
    fi
    .venv/bin/python -m compileall -q agent ui server_stub
    rm -f .venv/.installed-*
    : >"$stamp"
fi
if ! qt_libraries_present; then
    if [ "${AEGIS_WITHOUT_UI:-}" != 1 ]; then
        apt_install "$QT_PACKAGES" || { say "Or set AEGIS_WITHOUT_UI=1 to continue without tray and windows."; exit 2; }
    fi
fi
if [ "${1:-}" = system ]; then
    missing=
    for pair in Xvfb:xvfb openbox:openbox xdotool:xdotool import:imagemagick xprop:x11-utils dbus-run-session:dbus \
                gnome-keyring-daemon:gnome-keyring trayer:trayer strace:strace bindfs:bindfs cc:gcc faketime:faketime desktop-file-validate:desktop-file-utils debootstrap:debootstrap keepassxc:keepassxc clamscan:clamav; do
        command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair##*:}"
    done
    [ -d /usr/share/clamav-testfiles ] || missing="$missing clamav-testfiles"
    [ -z "$missing" ] || apt_install "$SYSTEM_PACKAGES" || exit 2
    # Programs with a real signature (1.9 MB); tests read them and run none.
    ls .venv/test-wheels/msvc_runtime-*.whl >/dev/null 2>&1 ||
        .venv/bin/python -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: \
            --platform win_amd64 --python-version 3.11 -d .venv/test-wheels msvc-runtime==14.44.35112 >/dev/null || exit 2
fi
