"""Runs one job: a request frame in, events out.

A worker process runs it, and so do devices that are simulated inside one process. The jobs' modules
are imported when their job runs: numpy and scikit-learn take a second to load.
"""

import importlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from agent.errors import AegisError, InternalError, PeerError, UserActionError
from agent.protocol.jobs import Attempted, Event, Job, ModelFiles, Sealed
from agent.protocol.pipe import Frame


def never() -> bool:
    """Return False: for jobs that are neither paced nor stopped."""
    return False


def run(request: Frame, after_step: Callable[[], bool] = never) -> Iterator[Event]:
    """Yield the job's events. An error is the last event, never an exception.

    `after_step` is called between small steps of training. It may sleep; True asks training to save
    a checkpoint and end.
    """
    try:
        yield from _JOBS[Job(str(request.header.get("job")))](
            request.header, request.parts, after_step
        )
    except AegisError as error:
        yield error
    except OSError as error:
        yield UserActionError(
            "SCRATCH_FAILED",
            f"The worker could not write its file: {error.strerror}.",
            "Free some space and try again.",
        )
    except MemoryError:
        yield UserActionError(
            "MEMORY_LIMIT",
            "The job needs more memory than it may use.",
            "Raise the memory limit or use fewer rows.",
        )
    except (KeyError, ValueError, IndexError, TypeError) as error:
        yield PeerError(
            "BAD_JOB",
            "The worker does not understand the job.",
            "Nothing was changed.",
            type(error).__name__,
        )
    except Exception as error:  # broad on purpose: the worker reports any fault as one event
        yield InternalError(
            "WORKER_FAULT",
            "The worker failed.",
            "Report this.",
            f"{type(error).__name__}: {error}"[:200],
        )


def load(announced: Frame) -> None:
    """Import what the announced job needs, before its request arrives."""
    if announced.header.get("job") == Job.SCAN:
        importlib.import_module("agent.worker.scan")


Header = Mapping[str, Any]  # JSON: each job checks what it reads
Parts = tuple[bytes, ...]
AfterStep = Callable[[], bool]


def _extract(header: Header, parts: Parts, _: AfterStep) -> Iterator[Event]:
    from agent.worker.samples import extract

    return extract(json.loads(parts[0]), header["skipped"])


def _collect(header: Header, parts: Parts, after_step: AfterStep) -> Iterator[Event]:
    from agent.worker.collect import collect, read_request

    return collect(read_request(json.loads(parts[0])), parts[1], header["skipped"], after_step)


def _import(header: Header, _: Parts, __: AfterStep) -> Iterator[Event]:
    from agent.worker.table import import_table

    return import_table(header["path"])


def _scan(header: Header, parts: Parts, _: AfterStep) -> Iterator[Event]:
    from agent.worker.scan import scan

    names, head, base = parts
    model = ModelFiles(head, base, header["family"], header["base_weight_milli"])
    careful = header.get("careful") is True
    return scan(json.loads(names), model, header["skipped"], careful=careful)


def _train(header: Header, parts: Parts, after_step: AfterStep) -> Iterator[Event]:
    from agent.protocol.messages import Task
    from agent.worker.train import train

    head, base, rows, labels, job_key = parts
    task = Task.from_json(header["task"])
    return train(
        task,
        ModelFiles(head, base, task.model, task.base_weight_milli),
        rows,
        labels,
        header["scratch"],
        job_key,
        after_step=after_step,
    )


def _seal(header: Header, parts: Parts, _: AfterStep) -> Iterator[Event]:
    from agent.privacy.seal import seal
    from agent.protocol.messages import RoundConfig
    from agent.worker.train import read_update

    config = RoundConfig.from_json(header["config"])
    yield Sealed(seal(read_update(header["scratch"], parts[0]), config, header["attempt"]))


def _escape(header: Header, _: Parts, __: AfterStep) -> Iterator[Event]:
    from agent.sandbox.escape import Targets, attempts

    targets = Targets(header["agent_pid"], header["person_home"], header["database"])
    for name, possible in attempts(targets):
        yield Attempted(name, possible)


_JOBS: dict[Job, Callable[[Header, Parts, AfterStep], Iterator[Event]]] = {
    Job.EXTRACT: _extract,
    Job.COLLECT: _collect,
    Job.IMPORT: _import,
    Job.SCAN: _scan,
    Job.TRAIN: _train,
    Job.EXAMPLE: _train,
    Job.SEAL: _seal,
    Job.ESCAPE: _escape,
}
