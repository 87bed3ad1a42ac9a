"""A real KeePassXC with an open database, on a private bus and a display of its own.

Its Secret Service plug-in is on, and every other setting is as KeePassXC ships it: it asks before a
program may use an entry.
"""

import os
import shutil
import subprocess

from tests.fakes.made_keyring import PrivateBus
from tests.fakes.timeouts import until

NEEDED = ("keepassxc", "keepassxc-cli", "Xvfb", "openbox", "xdotool", "dbus-daemon")
PASSWORD = "pw"
START_S = 30
ACCESS, UNLOCK, MAIN = "Access Request", "Unlock Database", "d - KeePassXC$"
_EXPOSED = "{00112233-4455-6677-8899-aabbccddeeff}"
_DATABASE = f"""<?xml version="1.0" encoding="UTF-8"?>
<KeePassFile><Meta><DatabaseName>d</DatabaseName><CustomData><Item>
<Key>FDO_SECRETS_EXPOSED_GROUP</Key><Value>{_EXPOSED}</Value>
</Item></CustomData></Meta><Root><Group><UUID>ABEiM0RVZneImaq7zN3u/w==</UUID><Name>Root</Name>
</Group></Root></KeePassFile>"""
_SETTINGS = """[General]
ConfigVersion=2
UpdateCheckMessageShown=true
[GUI]
CheckForUpdates=false
[FdoSecrets]
Enabled=true
"""


def missing():
    """Names of the programs that are not installed, or ""."""
    return " ".join(name for name in NEEDED if not shutil.which(name))


class KeePassXC:
    """The program, and the person who sits before it."""

    def __init__(self, folder):
        self.bus = PrivateBus()
        display = self._start_display()
        config = folder / "config" / "keepassxc"
        config.mkdir(parents=True)
        (config / "keepassxc.ini").write_text(_SETTINGS)
        (folder / "d.xml").write_text(_DATABASE)
        (folder / "runtime").mkdir(mode=0o700)
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_RUNTIME_DIR": str(folder / "runtime"),
            "DBUS_SESSION_BUS_ADDRESS": self.bus.address,
            "DISPLAY": display,
            "QT_QPA_PLATFORM": "xcb",
        }
        database = folder / "d.kdbx"
        self._run("keepassxc-cli", "import", "-q", "-p", folder / "d.xml", database, typed=2)
        self._others = [self._start("openbox")]
        self._program = self._start("keepassxc", "--pw-stdin", database, stdin=subprocess.PIPE)
        self._program.stdin.write(f"{PASSWORD}\n".encode())
        self._program.stdin.close()
        try:
            until(lambda: self.window(MAIN), START_S)
        except AssertionError:
            self.close()
            raise

    def window(self, title):
        """The number of a visible window, or ""."""
        return self._run("xdotool", "search", "--onlyvisible", "--name", title).stdout.strip()

    def press(self, title, *keys):
        """Press keys in the window with this title, once it is there."""
        until(lambda: self.window(title))
        self._press(title, keys)

    def open_database(self):
        """Type the password at the question for it, again if the window was not ready."""
        until(lambda: self.window(UNLOCK))
        until(lambda: not self._press(UNLOCK, ("ctrl+a", *PASSWORD, "Return")), poll_s=0.5)

    def _press(self, title, keys):
        number = self.window(title)
        if number:
            self._run("xdotool", "windowactivate", "--sync", number.split()[0])
            self._run("xdotool", "key", *keys)
        return number

    def lock(self):
        self.press(MAIN, "ctrl+l")
        until(lambda: self.window("Locked"))

    def close(self):
        for process in (self._program, *self._others, self._display):
            process.terminate()
            process.wait()
        self.bus.close()

    def _start_display(self):
        read, write = os.pipe()
        self._display = subprocess.Popen(
            ["Xvfb", "-displayfd", str(write), "-screen", "0", "1000x800x24", "-nolisten", "tcp"],
            pass_fds=(write,),
            stderr=subprocess.DEVNULL,
        )
        os.close(write)
        with os.fdopen(read) as number:
            return f":{number.readline().strip()}"

    def _start(self, *words, **options):
        return subprocess.Popen(
            [str(word) for word in words],
            env=self.environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **options,
        )

    def _run(self, *words, typed=0):
        return subprocess.run(
            [str(word) for word in words],
            env=self.environ,
            input=f"{PASSWORD}\n" * typed,
            capture_output=True,
            text=True,
            check=False,
        )
