"""Native code inside a real worker of a real agent, as an ordinary user, gets nowhere.

The payload (payload.c) is loaded when Python starts, as a stand-in for a parser that was taken
over, and acts when the job loads its library, inside the sandbox.
"""

import json
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.ordinary_user import OrdinaryUser
from tests.fakes.timeouts import TIMEOUT_S

ROOT = Path(__file__).parents[2]
SOURCE = Path(__file__).with_name("payload.c")
ATTACKS = re.findall(r'TRY\("([^"]+)"|\{"(socket-[a-z0-9-]+)"', SOURCE.read_text())
NAMESPACES = ("user", "net", "mount", "pid", "ipc", "uts", "cgroup", "time")
NAMES = [first or second for first, second in ATTACKS] + [f"clone-new-{n}" for n in NAMESPACES]
LIBRARIES = {"scan": "agent.worker.pe_headers", "train": "sklearn", "seal": "agent.privacy.seal"}
"""By job: the library that it loads, and with it the payload."""

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(sys.platform != "linux", reason="the payload speaks to Linux"),
    pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler here"),
]

HOOK = """
import sys
if "agent.worker" in sys.orig_argv:
    import ctypes, os
    descriptors = sorted(os.listdir("/proc/self/fd"), key=int)[:-1]  # without the listing's own
    payload = ctypes.CDLL({payload!r})
    report = os.open({report!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    class Hook:
        def find_spec(self, name, path=None, target=None):
            job = {libraries!r}.get(name)
            if job is not None:
                sys.meta_path.remove(self)
                os.write(report, f"job\\t{{job}}\\t{{descriptors}}\\n".encode())
                {act}

    sys.meta_path.insert(0, Hook())
"""
EVERYTHING = "payload.run(report, {home!r}.encode(), {database!r}.encode(), {other!r}.encode())"
OTHER_ARCHITECTURE = "payload.other_architecture(report)"
GOVERNOR = """
import subprocess, sys, time
from agent.sandbox.private_memory import keep_private
from agent.supervisor.tree import tree_of

print("private" if keep_private() else "open")
work = "import sys; sum(range(10**7)); sys.stdout.write('x' * 10**6); sys.stdin.read()"
command = [sys.executable, "-c", work]
with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
    child.stdout.read(10**6)
    tree = tree_of(child.pid)
    used = tree.poll()
    print("spent" if tree.cpu_time_s() > 0.01 else "", "held" if used.rss_bytes > 10**6 else "")
    print("wrote" if used.written_bytes >= 10**6 else "")
    child.stdin.close()
"""
DRIVER = """
import json, os, subprocess, sys, time
from pathlib import Path
from agent.ipc.client import Channel, NoAgentError
from agent.ipc.places import socket_of
from agent.paths import Home

home = os.environ["AEGIS_HOME"]
agent = subprocess.Popen([sys.executable, "-P", "-m", "agent", "run"], stderr=subprocess.DEVNULL)
for _ in range(600):
    try:
        channel = Channel(socket_of(Home(Path(home))))
        break
    except NoAgentError:
        time.sleep(0.05)
answers = {}
for method, params in json.loads(sys.argv[1]):
    try:
        answers[method] = channel.call(method, params)
    except Exception as error:
        answers[method] = getattr(error, "code", repr(error))
answers["agent lives"] = agent.poll() is None
channel.call("quit", {})
agent.wait(30)
print(json.dumps(answers))
"""


class Computer:
    """An ordinary user's home with things that are nobody's business."""

    def __init__(self):
        self.user = OrdinaryUser()
        self.user.write(".ssh/id_ed25519", "secret key")
        self.user.write(".ssh/known_hosts")
        self.user.write(".bashrc", "# mine\n")
        self.user.write(".config/autostart/mine.desktop")
        self.other = self.user.write("Documents/other.txt", "other")
        self.named = self.user.write("named.exe", "")
        shutil.copyfile(ROOT / "agent/detector/example.bin", self.named)
        self.environ = {
            "AEGIS_HOME": str(self.user.home / "aegis"),
            "XDG_RUNTIME_DIR": str(self.user.home / "run"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": f"{self.user.home / 'hook'}:{ROOT}",
        }
        self.report = self.user.home / "report"
        self.user.write("hook/payload.so")
        self.user.write("run/nothing")
        self.payload = self.user.home / "hook/payload.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", SOURCE, "-o", self.payload], check=True)

    def files(self):
        """What the person has, with its modes."""
        return {
            str(path.relative_to(self.user.home)): (path.read_bytes(), path.stat().st_mode)
            for path in self.user.home.rglob("*")
            if path.is_file() and not {"aegis", "run", "report", "hook"} & set(path.parts)
        }

    def attack(self, act, *calls):
        """Run these calls of a real agent, whose workers act; the answers and the report."""
        places = {
            "home": str(self.user.home),
            "database": f"{self.environ['AEGIS_HOME']}/agent.sqlite3",
            "other": str(self.other),
        }
        hook = HOOK.format(
            payload=str(self.payload),
            report=str(self.report),
            libraries={library: job for job, library in LIBRARIES.items()},
            act=act.format(**places),
        )
        self.user.write("hook/sitecustomize.py", hook)
        done = self.user.run(
            sys.executable, "-c", DRIVER, json.dumps(calls), environ=self.environ, timeout=TIMEOUT_S
        )
        assert done.returncode == 0, done.stderr
        job, results = "", {}
        for line in self.report.read_text().splitlines():
            name, outcome, detail = line.split("\t")
            if name == "job":
                job = outcome
                assert detail == "['0', '1', '2']", "a descriptor of the agent's was inherited"
            else:
                results[job, name] = (outcome, detail)
        self.report.unlink()
        return json.loads(done.stdout), results


@pytest.fixture(scope="module")
def computer():
    computer = Computer()
    yield computer
    computer.user.remove()


@pytest.fixture(scope="module")
def attacked(computer):
    """One agent whose workers scan, train and seal while native code does all it can."""
    before = computer.files()
    answers, results = computer.attack(
        EVERYTHING, ("scan", {"paths": [str(computer.named)]}), ("preview", {})
    )
    return answers, results, (before, computer.files())


@pytest.mark.parametrize("job", LIBRARIES)
@pytest.mark.parametrize("name", NAMES)
def test_p12_native_code_is_refused(attacked, job, name):
    _, results, _ = attacked
    assert results[job, name][0] == "refused", results[job, name][1]


def test_p12_the_attacked_jobs_do_their_work_and_nothing_else(attacked):
    answers, results, (before, after) = attacked
    assert {job for job, _ in results} == set(LIBRARIES)
    assert [result["verdict"] for result in answers["scan"]["results"]] == ["benign"]
    assert answers["preview"]["update"]["bytes"] > 0
    assert answers["agent lives"]
    assert after == before


def test_p9_the_governor_of_a_private_agent_reads_its_worker(computer):
    done = computer.user.run(
        sys.executable, "-c", GOVERNOR, environ=computer.environ, timeout=TIMEOUT_S
    )
    assert (done.stdout.split(), done.stderr) == (["private", "spent", "held", "wrote"], "")


def test_p12_doctor_finds_no_way_out_for_an_ordinary_user(computer):
    done = computer.user.run(
        sys.executable,
        *("-P", "-m", "agent", "doctor", "--json"),
        environ=computer.environ,
        timeout=TIMEOUT_S,
    )
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    tried = {name: check for name, check in checks.items() if name.startswith("escape: ")}
    assert len(tried) >= 12
    assert {check["value"] for check in tried.values()} == {"refused"}
    assert checks["worker sandbox"]["ok"]
    assert checks["files that nobody named"]["ok"]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the call is one of x86-64")
def test_p12_a_call_of_another_architecture_ends_the_worker(computer):
    answers, results = computer.attack(
        OTHER_ARCHITECTURE, ("scan", {"paths": [str(computer.named)]})
    )
    assert (answers["scan"], results) == ("WORKER_CRASHED", {})
    assert answers["agent lives"]
