"""A job in a process of its own: whatever its child does, the call ends with one clear outcome.

The children are small programs that send the frames of a worker, well-formed or not.
"""

import asyncio
import contextlib
import json
import sys

import psutil
import pytest

from agent.errors import InternalError, PeerError, UserActionError
from agent.paths import RECORD_PREFIX
from agent.protocol.jobs import Attempted, EscapeResult, Job, ModelFiles, Progress
from agent.supervisor import process_worker
from agent.supervisor.process_worker import ProcessWorker
from agent.supervisor.supervision import Supervision
from agent.supervisor.tree import tree_of
from agent.supervisor.watchdog import Caps
from tests.fakes.aggregator import TASK
from tests.fakes.timeouts import TIMEOUT_S

CHILD = """
import json, os, signal, sys, time
from agent.protocol.jobs import Attempted, Confined
from agent.protocol.jobs import Done, ExtractedRow, Opening, Progress, RefusedInput, TrainResult
from agent.protocol.jobs import Scanned, ScannedFiles, Verdict, VerdictBounds, write_event
from agent.protocol.pipe import encode, read_frame

def send(*events):
    for event in events:
        sys.stdout.buffer.write(encode(write_event(event)))
    sys.stdout.flush()

def row(path):
    return ExtractedRow(path, "00" * 32, (0,) * 29)

request = read_frame(open(0, "rb", buffering=0, closefd=False))
skipped = request.header.get("skipped")
paths = json.loads(request.parts[0]) if request.header["job"] in ("extract", "scan") else []
"""
STALL_S = 3.0
"""Enough for a child to start on a busy machine, and short enough to wait for."""
SILENT = "time.sleep(3600)"
TRAINED = "send(TrainResult(7, 0.5), Done())"
EACH_FILE = """
for path in paths:
    send(Opening(path))
    if path in skipped:
        send(RefusedInput(path, skipped[path], "skipped"))
    elif "bad" in path:
        {fault}
    else:
        send(row(path))
send(Done())
"""


class Children:
    """Makes workers whose children run a program, and knows every child that was started."""

    def __init__(self, scratch):
        self.scratch = scratch
        self.started = []
        self.has_started = asyncio.Event()

    def worker(self, program, caps=Caps(None, 2**30), supervision=None, **options):  # noqa: B008 - frozen
        command = (sys.executable, "-c", CHILD + program)
        supervision = supervision or Supervision(caps, tree=self.tree)
        return ProcessWorker(self.scratch, supervision, command=command, **options)

    def tree(self, pid):
        self.started.append(psutil.Process(pid))
        self.has_started.set()
        tree = tree_of(pid)
        # At the lowest priority a child may not run for seconds while others keep the cores busy.
        tree.lower_priority = lambda: None
        return tree

    async def until_started(self, count):
        async with asyncio.timeout(TIMEOUT_S):
            while len(self.started) < count:
                self.has_started.clear()
                await self.has_started.wait()

    def running(self):
        return [child.pid for child in self.started if child.is_running()]


class CountedDeadlines(Supervision):
    """Notes each time that a call looks at its suspended worker because a deadline has passed."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.passed = asyncio.Queue()

    def watch(self, *arguments):
        return self.Watched(super().watch(*arguments), self.passed)

    class Watched:
        def __init__(self, governor, passed):
            self._governor, self._passed = governor, passed

        def __getattr__(self, name):
            if name == "is_suspended":
                self._passed.put_nowait("deadline")
            return getattr(self._governor, name)


@pytest.fixture
async def children(tmp_path):
    """Every test ends without a running child."""
    children = Children(tmp_path)
    yield children
    assert children.running() == []


def train(worker):
    return worker.train(TASK, ModelFiles(b""), b"", b"", "scratch", b"")


async def refusal(call, kind=UserActionError):
    with pytest.raises(kind) as raised:
        async with asyncio.timeout(TIMEOUT_S):
            await call
    return raised.value.code


async def test_an_attempt_to_escape_is_reported_as_the_child_saw_it(children):
    program = """
assert request.header["agent_pid"] == os.getppid()
assert request.header["scratch"].endswith("escape")
send(Confined(("no network",)), Attempted("network", ""), Attempted("database", "reading"), Done())
"""
    result = await children.worker(program).attempt_escape("/home/ada", "/db")
    assert result == EscapeResult(
        ("no network",), (Attempted("network", ""), Attempted("database", "reading"))
    )


async def test_the_events_of_a_child_are_the_result_of_the_call(children):
    result = await children.worker(EACH_FILE).extract(["/a", "/b"])
    assert [row.path for row in result.rows] == ["/a", "/b"]
    assert result.refused == ()
    assert len(children.started) == 1


async def test_progress_is_passed_on(children):
    seen = []
    program = f"send(Progress(1, 2), Progress(2, 2))\n{TRAINED}"
    result = await train(children.worker(program, progress=seen.append))
    assert (result.rows_used, seen) == (7, [Progress(1, 2), Progress(2, 2)])


@pytest.mark.parametrize(
    ("fault", "code"),
    [("os.abort()", "PARSER_CRASHED"), ("time.sleep(3600)", "TOO_SLOW")],
    ids=["crashes", "stalls"],
)
async def test_p11_a_file_that_takes_its_process_down_costs_that_file_alone(children, fault, code):
    silence_s = STALL_S if code == "TOO_SLOW" else TIMEOUT_S
    worker = children.worker(EACH_FILE.format(fault=fault), silence_s=silence_s)
    result = await worker.extract(["/a", "/bad", "/b"])
    assert [row.path for row in result.rows] == ["/a", "/b"]
    assert [(refused.path, refused.code) for refused in result.refused] == [("/bad", code)]
    assert len(children.started) == 2


async def test_p11_a_job_fails_when_too_many_files_take_their_process_down(children, monkeypatch):
    monkeypatch.setattr(process_worker, "MAX_RESTARTS", 2)
    worker = children.worker(EACH_FILE.format(fault="os.abort()"))
    assert await refusal(worker.extract(["/bad1", "/bad2", "/bad3"]), InternalError) == (
        "WORKER_CRASHED"
    )
    assert len(children.started) == 3


async def test_p11_a_child_that_dies_without_a_file_is_not_started_again(children):
    assert await refusal(train(children.worker("os.abort()")), InternalError) == "WORKER_CRASHED"
    assert len(children.started) == 1


async def test_p11_a_child_that_floods_is_ended(children, monkeypatch):
    monkeypatch.setattr(process_worker, "MAX_RECEIVED_BYTES", 2**20)
    flood = "while True: send(Progress(1, 2))"
    assert await refusal(train(children.worker(flood)), InternalError) == "WORKER_FLOODED"


async def test_p11_a_child_that_stays_silent_is_ended(children):
    silent = children.worker(SILENT, silence_s=0.2)
    assert await refusal(train(silent), InternalError) == "WORKER_SILENT"


@pytest.mark.parametrize(
    "content",
    ["b'no frame at all' * 100", "encode(write_event(Done()))[:-1] + b'x' * 70000"],
    ids=["text", "wrong length"],
)
async def test_p11_a_child_that_sends_nonsense_is_at_fault(children, content):
    program = f"sys.stdout.buffer.write({content}); sys.stdout.flush(); {SILENT}"
    assert await refusal(train(children.worker(program)), PeerError) == "BAD_FRAME"


async def test_an_error_of_the_job_is_raised_as_it_is(children):
    program = (
        "from agent.errors import PeerError\n"
        "send(PeerError('BAD_TABLE', 'The table is unreadable.', 'Use another one.'))"
    )
    assert await refusal(children.worker(program).import_table("/t"), PeerError) == "BAD_TABLE"


async def test_p9_the_limit_that_ended_a_worker_is_the_error_of_its_call(children):
    program = f"block = bytearray(b'x') * (64 * 2**20)\n{SILENT}"
    worker = children.worker(program, Caps(None, 32 * 2**20))
    assert await refusal(train(worker)) == "WORKER_LIMIT"


async def test_p9_a_worker_that_was_asked_to_end_has_interrupted_its_training(children):
    worker = children.worker(SILENT, Caps(None, 2**30, running_s=0.0))
    assert await refusal(train(worker)) == "TRAINING_INTERRUPTED"


async def test_silence_while_suspended_is_not_counted(children):
    supervision = CountedDeadlines(Caps(None, 2**30), tree=children.tree)
    worker = children.worker(SILENT, supervision=supervision, silence_s=0.05)
    worker.suspend()
    training = asyncio.create_task(train(worker))
    async with asyncio.timeout(TIMEOUT_S):
        for _ in range(3):
            await supervision.passed.get()
    await worker.stop()
    assert await refusal(training) == "WORKER_STOPPED"


async def test_p2_stopping_training_leaves_a_scan_alone(children):
    worker = children.worker(SILENT)
    scan = asyncio.create_task(worker.scan(["/nothing"], ModelFiles(b"")))
    training = asyncio.create_task(train(worker))
    await children.until_started(2)
    await worker.stop((Job.TRAIN, Job.SEAL))
    assert len(children.running()) == 1
    assert await refusal(training) == "WORKER_STOPPED"
    assert not scan.done()
    await worker.stop()
    assert await refusal(scan) == "WORKER_STOPPED"


async def test_p2_a_cancelled_call_leaves_no_child(children):
    call = asyncio.create_task(train(children.worker(SILENT)))
    await children.until_started(1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert children.running() == []


async def test_only_training_takes_the_slot_of_the_machine(children):
    entered = []

    @contextlib.asynccontextmanager
    async def slot():
        entered.append("slot")
        yield

    await children.worker(EACH_FILE, slot=slot).extract(["/a"])
    assert entered == []
    await train(children.worker(TRAINED, slot=slot))
    assert entered == ["slot"]


async def test_p10_only_a_running_training_is_on_record(children, tmp_path):
    records = tmp_path / "records"
    records.mkdir()
    worker = children.worker(SILENT, records=records)
    scan = asyncio.create_task(worker.scan(["/nothing"], ModelFiles(b"")))
    training = asyncio.create_task(train(worker))
    await children.until_started(2)
    recorded = [int(path.name.removeprefix(RECORD_PREFIX)) for path in records.iterdir()]
    (pid,) = recorded
    assert pid in children.running()
    await worker.stop()
    for call in (scan, training):
        assert await refusal(call) == "WORKER_STOPPED"
    assert list(records.iterdir()) == []


async def test_a_new_limit_reaches_the_child_as_one_byte(children):
    program = "limit = os.read(0, 1)[0]\nsend(TrainResult(limit, 0.5), Done())"
    supervision = Supervision(Caps(50, 2**30), tree=children.tree)
    training = asyncio.create_task(train(children.worker(program, supervision=supervision)))
    await children.until_started(1)
    supervision.set_caps(Caps(33, 2**30))
    async with asyncio.timeout(TIMEOUT_S):
        assert (await training).rows_used == 33


async def test_a_child_is_told_its_parent_its_memory_and_its_share(children, tmp_path):
    seen = tmp_path / "arguments"
    program = f"open({str(seen)!r}, 'w').write(json.dumps(sys.argv[1:]))\n{TRAINED}"
    await train(children.worker(program, Caps(25, 2**30)))
    parent, memory_mib, percent = json.loads(seen.read_text())
    assert int(parent) == psutil.Process().pid
    assert (int(memory_mib), int(percent)) == (process_worker.MEMORY_MIB[Job.TRAIN], 25)


async def test_a_child_that_was_started_early_runs_the_next_request_of_its_job_only(children):
    worker = children.worker(EACH_FILE)
    others = set(psutil.Process().children())  # of other tests, such as multiprocessing's own
    await worker.start_early(Job.EXTRACT)
    (early,) = set(psutil.Process().children()) - others
    for path in ("/a", "/b"):
        assert [row.path for row in (await worker.extract([path])).rows] == [path]
    first, second = (child.pid for child in children.started)
    assert first == early.pid != second


async def test_p2_stopping_ends_a_child_that_still_waits_for_its_request(children):
    worker = children.worker(SILENT)
    others = set(psutil.Process().children())
    await worker.start_early(Job.SCAN)
    (child,) = set(psutil.Process().children()) - others
    await worker.stop()
    assert not child.is_running()


async def test_p11_a_scan_that_is_lost_runs_again_and_names_its_files_then(children):
    program = """
send(VerdictBounds(0.5, 0.8, None))
if not request.header["careful"]:
    os.kill(os.getpid(), signal.SIGSEGV)
for path in paths:
    if path in skipped:
        send(ScannedFiles((Scanned(path, Verdict.ERROR, None, skipped[path], "skipped"),)))
        continue
    send(Opening(path))
    if "bad" in path:
        os.kill(os.getpid(), signal.SIGSEGV)
    send(ScannedFiles((Scanned(path, Verdict.BENIGN, 0.1),)), Progress(1, 2))
send(Done())
"""
    steps = []
    result = await children.worker(program).scan(["/a", "/bad"], ModelFiles(b""), steps.append)
    assert [(one.path, one.code) for one in result.results] == [
        ("/a", ""),
        ("/bad", "PARSER_CRASHED"),
    ]
    assert len(children.started) == 3
    assert steps[-1] == Progress(1, 2)
