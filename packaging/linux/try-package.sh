#!/bin/sh
# Install the package in a clean, minimal Debian root beside a policy of IT, use it as an ordinary user, upgrade it under a running
# agent, purge it, and compare the files before and after.
# usage: packaging/linux/try-package.sh FILE.deb      needs root, debootstrap and this machine's package sources
set -eu
cd "$(dirname "$0")/../.."
deb=$1
root=$(mktemp -d /var/tmp/aegisai-root.XXXXXX)
chmod 755 "$root"
clean() {
    umount "$root/proc" 2>/dev/null || true
    rm -rf --one-file-system "$root"
}
trap clean EXIT
mirror=$(awk '/^URIs:/{print $2; exit}' /etc/apt/sources.list.d/debian.sources 2>/dev/null || true)
[ -n "$mirror" ] || mirror=$(awk '/^deb /{print $2; exit}' /etc/apt/sources.list)
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
debootstrap --variant=minbase --include=ca-certificates "$codename" "$root" "$mirror" >"$root.log" 2>&1 || { tail -5 "$root.log"; exit 1; }
rm -f "$root.log" "$root/etc/apt/sources.list"
for part in apt/sources.list.d apt/apt.conf.d apt/sources.list ssl/certs resolv.conf hosts; do
    [ ! -e "/etc/$part" ] || { rm -rf "$root/etc/$part"; cp -aL "/etc/$part" "$root/etc/$part"; }
done
cp -a /usr/share/keyrings/. "$root/usr/share/keyrings/"
mount -t proc proc "$root/proc"
inside() { chroot "$root" /usr/bin/env -i HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"; }
as_person() { inside runuser -u person -- env HOME=/home/person "$@"; }
files() { (cd "$root" && find etc usr opt var/lib home -xdev ! -path '*/var/lib/apt/*' ! -path 'var/lib/dpkg/*' | sort); }

inside apt-get update -qq >/dev/null
inside useradd --create-home person
cp "$deb" "$root/var/tmp/aegisai.deb"
# Install the dependencies first: then the two listings differ by the package alone.
needs=$(dpkg-deb -f "$deb" Depends | tr ',' '\n' | sed 's/([^)]*)//g; s/|.*//' | sed 's/libglib2.0-0t64/libglib2.0-0/' | sort -u)
# shellcheck disable=SC2086
inside apt-get install -y -qq --no-install-recommends $needs >/dev/null 2>&1
mkdir -p "$root/etc/aegisai"
printf '[settings]\n"cpu.share_idle" = 25\n' >"$root/etc/aegisai/policy.toml"
files >"$root.before"

inside apt-get install -y -qq --no-install-recommends /var/tmp/aegisai.deb </dev/null >"$root.log" 2>&1 || { tail -20 "$root.log"; exit 1; }
files >"$root.installed"
echo "installed: $(comm -13 "$root.before" "$root.installed" | wc -l) files and folders; outside /usr/lib/aegisai and /usr/share/doc:"
comm -13 "$root.before" "$root.installed" | grep -v -e '^usr/lib/aegisai/' -e '^usr/share/doc/aegisai/'
cp "$(.venv/bin/python -c 'import pathlib, setuptools; print(next(pathlib.Path(setuptools.__file__).parent.glob("cli-64.exe")))')" "$root/home/person/program.exe"
echo "--- aegis status"
as_person aegis status
echo "--- aegis doctor"
as_person aegis doctor | grep -e sandbox -e escape -e Landlock -e named | tee "$root.doctor"
grep -q '^ok   worker sandbox' "$root.doctor"
! grep -q 'possible:' "$root.doctor"
rm -f "$root.doctor"
echo "--- aegis scan"
as_person aegis scan /home/person/program.exe /bin/ls
as_person aegis scan --json /home/person/program.exe | grep -q '"probability": 0'
echo "--- window, off-screen"
as_person env QT_QPA_PLATFORM=offscreen timeout 5 aegis window >"$root.window" 2>&1 || [ $? = 124 ] || { cat "$root.window"; exit 1; }
as_person aegis quit
echo "--- upgrade under a running agent"
dpkg-deb -R "$deb" "$root.next"
sed -i 's/^Version: .*/&+next/' "$root.next/DEBIAN/control"
dpkg-deb -Znone --root-owner-group -b "$root.next" "$root/var/tmp/aegisai-next.deb" >/dev/null
rm -rf "$root.next"
as_person aegis run >"$root.agent" 2>&1 &
starts() { grep -c agent.started "$root.agent" || true; }
await() {
    tries=0
    until [ "$(starts)" = "$1" ]; do
        tries=$((tries + 1))
        [ $tries -lt 120 ] || { echo "the agent started $(starts) times, not $1"; cat "$root.agent"; exit 1; }
        sleep 0.5
    done
}
await 1
pid() { tr -d ' ' <"$root"/home/person/.local/share/aegisai/lock; }
before=$(pid)
began=$(date +%s)
inside apt-get install -y -qq --no-install-recommends /var/tmp/aegisai-next.deb </dev/null >/dev/null 2>&1
await 2
[ "$(pid)" = "$before" ] || { echo "another process took over"; exit 1; }
echo "the agent (process $before) executed the new program within $(($(date +%s) - began)) s of the start of apt-get"
as_person aegis status >/dev/null
as_person aegis quit
wait
rm -rf "$root/home/person/program.exe" "$root/home/person/.local" "$root/home/person/.cache"  # a purge leaves a person's own files

inside apt-get purge -y -qq aegisai >/dev/null 2>&1
files >"$root.after"
if ! diff "$root.before" "$root.after" >"$root.left"; then
    echo "left behind after the purge:"
    cat "$root.left"
    rm -f "$root".*
    exit 1
fi
rm -f "$root".*
grep -q share_idle "$root/etc/aegisai/policy.toml" || { echo "the policy was changed"; exit 1; }
echo "purged: the same files as before"
