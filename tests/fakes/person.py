"""Runs the real program as an ordinary user, on a machine whose /etc is a copy. Needs root."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fakes.other_user import CLONE, as_user
from tests.fakes.timeouts import TIMEOUT_S

UID = 4242
NAMESPACE = """set -e
mount --make-rprivate /
mount --bind "$ETC" /etc
if [ -n "$READ_ONLY" ]; then
    mount --bind "$READ_ONLY" "$READ_ONLY"
    mount -o remount,ro,bind "$READ_ONLY"
fi
exec "$@"
"""


class Person:
    """A login of its own, with a home and a private /etc."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="aegis-p-"))
        self.folder.chmod(0o755)
        self.etc = self.folder / "etc"
        shutil.copytree("/etc", self.etc, symlinks=True, ignore_dangling_symlinks=True)
        self.policy = self.etc / "aegisai" / "policy.toml"
        self.login = self.folder / "login"
        for folder in (self.login, self.login / "run", self.login / "home"):
            folder.mkdir(mode=0o700)
            os.chown(folder, UID, UID)

    def set_policy(self, content, *, mode=0o644, owner=0, folder_mode=0o755):
        self.policy.parent.mkdir(exist_ok=True)
        self.policy.parent.chmod(folder_mode)
        self.policy.write_text(content)
        self.policy.chmod(mode)
        os.chown(self.policy, owner, owner)

    def run(self, *words, home=None, as_root=False, read_only="", program=(), **environ):
        """Run `aegis` with these words, or `program`; returns exit code, stdout and stderr."""
        aegis = (sys.executable, "-P", "-m", "agent", *words)
        command = [
            "unshare", "--mount", "sh", "-c", NAMESPACE, "sh",
            *(() if as_root else as_user(UID)), *(program or aegis),
        ]  # fmt: skip
        done = subprocess.run(
            command,
            cwd="/",
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(CLONE),
                "ETC": str(self.etc),
                "READ_ONLY": str(read_only),
                "HOME": str(self.login / "home"),
                "XDG_RUNTIME_DIR": str(self.login / "run"),
                "AEGIS_HOME": str(home or self.login / "home" / "aegis"),
                **environ,
            },
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=TIMEOUT_S,
        )
        return done.returncode, done.stdout, done.stderr

    def json(self, *words, **more):
        code, out, err = self.run(*words, "--json", **more)
        assert code == 0, err
        return json.loads(out)

    def close(self):
        shutil.rmtree(self.folder)
