"""Whether a worker keeps to its processor limit, what enforcing it costs, and how fast it stops.

A process that neither works nor governs reads every figure from the kernel.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import numpy as np

from tests.bench.harness import CannotMeasure, Figure, bench
from tests.bench.process import children, is_ending, rate, usage
from tests.fakes import desktop_session
from tests.fakes.desktop_session import DesktopSession, state
from tests.fakes.training_session import run_now, training_session

SETTLE_S, WATCH_S, STEP_S = 3.0, 20.0, 0.02
LIMITS = (5, 10, 25, 50)
LOADS = ("numpy", "training", "two_threads", "bursts")
LIMIT = "the limit"
COST_TARGET = 0.006
SHARE = 100
"""Per cent of a core: the limit never stops the worker, so every stop is one that was requested."""
STOPPED_S = 0.15
STOP_TARGET_S = {"median": 0.05, "worst": 0.5}


@bench(
    *(f"governor.{what}.limit25" for what in ("mean", "worst1s", "worst10s")),
    "governor.cost_share",
    unit="% of a core",
)
def the_fixed_keys() -> Iterator[Figure]:
    """A numpy loop at 25 % on the machine as it is."""
    mean, second, ten, cost = measured("numpy", 25)
    yield Figure("governor.mean.limit25", mean, "% of a core", 25, LIMIT)
    yield Figure("governor.worst1s.limit25", second, "% of a core", 25, LIMIT)
    yield Figure("governor.worst10s.limit25", ten, "% of a core", 25, LIMIT)
    yield Figure("governor.cost_share", cost, "cores", COST_TARGET, "the target: 0.6 % of a core")


@bench(
    *(f"governor.table.{load}.limit{limit}.mean" for load in LOADS for limit in LIMITS),
    unit="% of a core",
)
def every_load_and_limit() -> Iterator[Figure]:
    for load in LOADS:
        for limit in LIMITS:
            yield from _row(f"governor.table.{load}.limit{limit}", load, limit)


@bench(*(f"governor.busy.{load}.limit25.mean" for load in LOADS), unit="% of a core")
def on_a_busy_machine() -> Iterator[Figure]:
    """While programs of normal priority keep every core busy."""
    with busy_cores():
        for load in LOADS:
            yield from _row(f"governor.busy.{load}.limit25", load, 25)


def _row(key: str, load: str, limit: int) -> Iterator[Figure]:
    mean, second, ten, cost = measured(load, limit)
    yield Figure(f"{key}.mean", mean, "% of a core", limit, LIMIT)
    yield Figure(f"{key}.worst1s", second, "% of a core", limit, LIMIT)
    yield Figure(f"{key}.worst10s", ten, "% of a core", limit, LIMIT)
    yield Figure(f"{key}.cost", cost, "cores", COST_TARGET, "the target: 0.6 % of a core")


def measured(load: str, limit: int) -> tuple[float, float, float, float]:
    """Return the worker's mean, highest second and highest ten seconds in per cent of a core, and
    what its governor takes, in cores.
    """
    host = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.governed", load, str(limit)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        worker = int(host.stdout.readline())
        # A real job loads its libraries first, and within its limit.
        time.sleep(SETTLE_S / min(1.0, limit / 25))
        own_before, started = usage(host.pid).cpu_s, time.monotonic()
        used = [(started, usage(worker).cpu_s)]
        while used[-1][0] < started + WATCH_S:
            time.sleep(STEP_S)
            used.append((time.monotonic(), usage(worker).cpu_s))
        cost = (usage(host.pid).cpu_s - own_before) / (used[-1][0] - started)
    except (FileNotFoundError, ProcessLookupError, KeyError) as error:
        raise CannotMeasure(f"the worker {load} ended") from error
    finally:
        host.stdin.close()
        host.wait(20)
        host.stdout.close()
    mean = (used[-1][1] - used[0][1]) / (used[-1][0] - used[0][0])
    return 100 * mean, 100 * highest(used, 1.0), 100 * highest(used, 10.0), cost


def highest(used: list[tuple[float, float]], window_s: float) -> float:
    """Return the highest share of any window; `used`: (monotonic seconds, processor seconds)."""
    times, spent = np.array(used).T
    ends = times[times > times[0] + window_s]
    return float(
        max((np.interp(ends, times, spent) - np.interp(ends - window_s, times, spent)) / window_s)
    )


@contextmanager
def busy_cores() -> Iterator[None]:
    spinning = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(os.cpu_count() or 1)
    ]
    try:
        yield
    finally:
        for one in spinning:
            one.kill()
            one.wait()


@bench("stop.latency_s.median", "stop.latency_s.worst", unit="s", needs=desktop_session.NEEDED)
def until_the_worker_stops() -> Iterator[Figure]:
    """An agent with a training under way, stopped by another person's session, a key, the plug, a
    pause and a withdrawal.
    """
    waits: list[float] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        training_session(Path(folder), share=SHARE, at_once=False) as session,
    ):
        # Key and plug come first, while the scheduler's own cycle trains: a request to train once
        # overrides both.
        for kind, stop_and_resume, times in (
            ("key", _key, 50),
            ("plug", _plug, 2),
            ("session", _session, 50),
        ):
            pairs = stop_and_resume(session, times)
            stops, again = [stop for stop, _ in pairs], [resume for _, resume in pairs]
            waits += stops
            yield from _latencies(f"stop.latency_s.{kind}", stops, "s")
            yield Figure(f"stop.resume_s.{kind}.median", statistics.median(again), "s")
        stops, gone, again = _pause(session, 25)
        waits += stops
        yield from _latencies("stop.latency_s.pause", stops, "s, from the request to the agent")
        yield from _latencies("stop.gone_s.pause", gone, "s, until its memory is free")
        yield Figure("stop.resume_s.pause.median", statistics.median(again), "s, to a new worker")
        yield Figure(
            "stop.latency_s.withdrawal",
            _withdrawal(session),
            "s",
            1.0,
            "the target: the worker is gone",
        )
    yield from _latencies("stop.latency_s", waits, "s")


def _latencies(key: str, seconds: list[float], unit: str) -> Iterator[Figure]:
    yield Figure(
        f"{key}.median", statistics.median(seconds), unit, STOP_TARGET_S["median"], "the target"
    )
    yield Figure(f"{key}.worst", max(seconds), unit, STOP_TARGET_S["worst"], "the target")


def _stopped(session: DesktopSession, stop, resume) -> tuple[float, float]:
    """Return the seconds from `stop` until the worker stops, and from `resume` until it runs."""
    worker = _training(session)
    started = time.monotonic()
    stop()
    stopped = _stopped_at(worker) - started
    again = time.monotonic()
    resume()
    _wait(lambda: state(worker) != "T")
    resumed = time.monotonic() - again
    time.sleep(0.3)
    return stopped, resumed


def _training(session: DesktopSession) -> int:
    """Return the worker that trains, or start the next if an update has been finished meanwhile."""
    return session.worker() or run_now(session)


def _stopped_at(worker: int) -> float:
    """Return when it stopped for good (monotonic seconds): the limit too stops it for moments."""
    since, until = None, time.monotonic() + 60
    while since is None or time.monotonic() - since < STOPPED_S:
        now = time.monotonic()
        since = (since or now) if _is_stopped(worker) else None
        if now > until:
            raise CannotMeasure("the worker did not stop")
        time.sleep(0.0005)
    return since


def _is_stopped(worker: int) -> bool:
    """Stopped by a signal, or gone."""
    return state(worker) in ("T", "", "Z")


def _wait(condition, seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise CannotMeasure("nothing happened")
        time.sleep(0.0005)


def _session(session: DesktopSession, times: int) -> list[tuple[float, float]]:
    def switch(active: bool) -> None:
        session.bus.do(lambda services: services.session.set(active=active))

    return [
        _stopped(session, lambda: switch(active=False), lambda: switch(active=True))
        for _ in range(times)
    ]


def _key(session: DesktopSession, times: int) -> list[tuple[float, float]]:
    """With "only when idle": Mutter's signals of the next key and of a minute without one."""

    def idle(milliseconds: int) -> None:
        session.bus.do(lambda services: services.idle.set(milliseconds))

    idle(61_000)
    session.set("idle.minutes", "1")
    session.set("idle.only", "on")
    _wait(lambda: not _is_stopped(session.worker()))
    pairs = []
    for _ in range(times):
        _wait(lambda: ("active", 0) in list(session.bus.services.idle.watches.values()))
        pairs.append(_stopped(session, lambda: idle(0), lambda: idle(61_000)))
    session.set("idle.only", "off")
    return pairs


def _plug(session: DesktopSession, times: int) -> list[tuple[float, float]]:
    """Only a few times, because training resumes 30 s after the power is back."""

    def battery(on_battery: bool) -> None:
        session.bus.do(lambda services: services.power.set(on_battery=on_battery))

    return [
        _stopped(session, lambda: battery(on_battery=True), lambda: battery(on_battery=False))
        for _ in range(times)
    ]


def _pause(session: DesktopSession, times: int) -> tuple[list[float], list[float], list[float]]:
    """Return three lists of seconds: from the request on the agent's channel, as a click in the
    tray sends it, until the worker computes nothing more, and until it is gone; and from `resume`
    and `run_now` until another worker runs.

    A pause ends the worker: it is stopped, then killed, and then the kernel frees its memory.
    """
    stops, gone, again = [], [], []
    for _ in range(times):
        worker, channel = _training(session), session.channel()
        with closing(channel), ThreadPoolExecutor(1) as asking:
            started = time.monotonic()
            asked = asking.submit(channel.call, "pause", {}, 10)
            ran_at = started
            while state(worker) not in ("", "Z"):
                if not _is_stopped(worker) and not is_ending(worker):
                    ran_at = time.monotonic()
                time.sleep(0.0005)
            stops.append(ran_at - started)
            gone.append(time.monotonic() - started)
            asked.result()
            resumed = time.monotonic()
            channel.call("resume", {}, 10)
            run_now(session)
            again.append(time.monotonic() - resumed)
        time.sleep(0.5)
    return stops, gone, again


def _withdrawal(session: DesktopSession) -> float:
    worker = _training(session)
    with closing(session.channel()) as channel:
        started = time.monotonic()
        channel.call("consent.withdraw", {"surface": "tray"}, 10)
        _wait(lambda: state(worker) in ("", "Z"))
        return time.monotonic() - started


@bench(
    "agent.rest.rss_mib",
    "agent.rest.pss_mib",
    "agent.rest.cpu_share",
    "agent.rest.wakeups_per_s",
    unit="MiB",
    needs=desktop_session.NEEDED,
)
def an_agent_at_rest() -> Iterator[Figure]:
    """With consent, every service of a desktop and nothing to do; over 60 s."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as after:
        session = DesktopSession(Path(folder), "power", "network", "login")
        after.callback(session.close)
        session.grant()
        session.start()
        time.sleep(20)
        rest, memory = rate(session.agent.pid, 60), usage(session.agent.pid)
        assert children(session.agent.pid) == []
    yield Figure("agent.rest.rss_mib", memory.rss_mib, "MiB", 55, "the target")
    yield Figure("agent.rest.pss_mib", memory.pss_mib, "MiB")
    yield Figure("agent.rest.cpu_share", rest.cpu_share, "cores", 0.001, "the target")
    yield Figure("agent.rest.wakeups_per_s", rest.wakeups_per_s, "1/s", 0.5, "the target")
