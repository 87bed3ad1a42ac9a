"""A disk of a few megabytes that a test can fill, empty and make read-only.

It is mounted where no other process sees it, so nothing is left behind when its holder ends. Needs
root. The commands on it run without root's power over files, so that modes bind them.
"""

import os
import subprocess
from pathlib import Path

from tests.fakes.timeouts import TIMEOUT_S

CHUNK = 64 * 1024


class SmallDisk:
    """`with SmallDisk(folder, "2m") as disk:`; `folder` is its place for the commands on it.

    `image`: an image file to put a real file system into, for a disk that fails while it is used.
    """

    def __init__(self, folder, size, image=None):
        self.folder = folder
        self._size = size
        self._image = image

    def __enter__(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        mount = f"mount -t tmpfs -o size={self._size},mode=700 none {self.folder}"
        if self._image is not None:
            _run("truncate", "-s", self._size, os.fspath(self._image))
            _run("mkfs.ext4", "-q", "-O", "^has_journal", "-m", "0", os.fspath(self._image))
            mount = f"mount -o loop {self._image} {self.folder}"
        self._holder = subprocess.Popen(
            [
                *("unshare", "-m", "--propagation", "private"),
                *("sh", "-c", f"{mount} && echo mounted && exec cat"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout.readline() == "mounted\n"
        self.inside = Path(f"/proc/{self._holder.pid}/root{self.folder}")
        """The same place for the test's own process."""
        return self

    def __exit__(self, *_):
        self._holder.stdin.close()
        self._holder.wait(TIMEOUT_S)
        self._holder.stdout.close()

    def command(self, *words):
        """The words that run a command on the disk."""
        return [*self._enter(), "setpriv", "--bounding-set=-all", "--inh-caps=-all", "--", *words]

    def fill(self):
        """Leave no free byte. What is there already stays."""
        fill(self.inside)

    def free(self):
        (self.inside / "filler").unlink()

    def remount(self, mode):
        """Make an unused disk read-only ("ro") or writable ("rw")."""
        _run(*self._enter(), "mount", "-o", f"remount,{mode}", os.fspath(self.folder))

    def fail(self):
        """Make a disk read-only under those who use it, as the kernel does after an error.

        For a disk with an image.
        """
        _run(*self._enter(), "mount", "-o", "remount,abort", os.fspath(self.folder))

    def repair(self):
        """Undo `fail`; nobody may use the disk."""
        _run(*self._enter(), "umount", os.fspath(self.folder))
        _run("fsck.ext4", "-y", os.fspath(self._image), ok=(0, 1))
        _run(*self._enter(), "mount", "-o", "loop", os.fspath(self._image), os.fspath(self.folder))

    def _enter(self):
        return ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", "--"]


def fill(folder):
    """Leave no free byte on the disk of a folder."""
    with (folder / "filler").open("ab", buffering=0) as file:
        for size in (CHUNK, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


def _run(*words, ok=(0,)):
    done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode in ok, done.stderr
