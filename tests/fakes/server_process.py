"""Runs the aggregator as its operator does: `aegis-server` in processes that a test can kill.

Devices enrol as with LiveServer.
"""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from agent.protocol.signing import public_hex
from agent.transport.client import AggregatorClient
from server_stub.config.home import ServerHome
from server_stub.storage.store import Store
from tests.fakes.live_server import Enrolled
from tests.fakes.server_commands import COMMAND, INIT, end_server, start_server
from tests.fakes.timeouts import TIMEOUT_S


class ServerProcess:
    """`with ServerProcess(folder, "--group-floor", "3") as server:`: options of `init`.

    `descriptors` is what `ulimit -n` gives the server; `environ` comes on top of this process's.
    """

    def __init__(self, folder, *init_options, disk=None, descriptors=None, environ=None):
        """`disk`: the SmallDisk on which the server lives; else it is in `folder`."""
        self.folder = folder
        self._disk = disk
        self.home = ServerHome((disk.inside if disk else folder) / "server")
        self.place = (disk.folder if disk else folder) / "server"
        """The server's folder, as its own processes name it."""
        self._environ = {**os.environ, **(environ or {}), "AEGIS_SERVER_HOME": str(self.place)}
        self._clients = []
        self._view = None
        self._launcher = (
            ("sh", "-c", f'ulimit -n {descriptors}; exec "$0" "$@"') if descriptors else ()
        )
        self.created = self.command(*INIT, "--port", "0", "--operator-port", "0", *init_options)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        for client in self._clients:
            client.close()
        if self._view is not None:
            self._view.close()
        end_server(self.process)

    def moved(self, *, environ):
        """The same server under other variables, for a new `with`."""
        self._environ = {**os.environ, **environ, "AEGIS_SERVER_HOME": str(self.place)}
        self._clients.clear()
        self._view = None
        return self

    def command(self, *words):
        done = subprocess.run(
            self.words(*words, "--json"),
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def words(self, *words):
        """The words of a command of this server."""
        command = (*COMMAND, *words)
        return self._disk.command(*command) if self._disk else command

    def start(self):
        self.process = start_server(self._environ, (*self._launcher, *self.words("run")))
        ready = json.loads((self.home.folder / "ready.json").read_bytes())
        self.url, self.port = ready["url"], ready["port"]
        self.operator_port = ready["operator_port"]
        self.signing_key = public_hex(self.home.signing_key())

    def kill(self):
        """End at once, as in a power cut: without another message or write."""
        self.process.kill()
        self.process.wait(TIMEOUT_S)
        self.process.stdout.close()

    def token(self, uses=1):
        return self.command("token", "create", "--uses", str(uses))["token"]

    def client(self, identity=None):
        client = AggregatorClient(self.url, self.home.ca_pem, self.signing_key, identity)
        self._clients.append(client)
        return client

    def enrol(self, token=None):
        return Enrolled(self, token or self.token())

    @property
    def view(self):
        """The database, as another process sees it; of a server on a disk, what a copy has now."""
        if self._disk is None:
            self._view = self._view or Store(self.home.database_url)
            return self._view
        # SQLite resolves the path to the disk, which leads nowhere in this process.
        if self._view is not None:
            self._view.close()
        copies = Path(tempfile.mkdtemp(dir=self.folder))
        for file in self.home.folder.glob("aggregator.sqlite3*"):
            shutil.copy(file, copies)
        self._view = Store(f"sqlite:///{copies / 'aggregator.sqlite3'}")
        return self._view

    def cpu_s(self):
        """Processor time of the aggregator so far, in seconds."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
