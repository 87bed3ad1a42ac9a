"""A worker that answers at once, or waits where a test tells it to. It computes nothing."""

import asyncio
import secrets
from pathlib import Path

import numpy as np

from agent.protocol.envelope import encode


class FakeWorker:
    def __init__(self):
        self.calls = []
        self.gates = {}
        """The asyncio.Event that a job waits for, by the job's name."""
        self.stopped = 0
        self.stopped_jobs = set()
        self.is_suspended = False
        self.payload_bytes = 464
        self.collects = []
        """The requests to look for samples; `collected` is the answer."""
        self.collected = None
        self.words = None
        """The last words that it sealed for a group."""
        self._running = set()

    async def _job(self, name):
        self.calls.append(name)
        if name in self.gates:
            task = asyncio.current_task()
            self._running.add(task)
            try:
                await self.gates[name].wait()
            finally:
                self._running.discard(task)

    async def train(self, task, model, rows, labels, scratch, job_key, *, job="train"):
        await self._job(job)
        from agent.protocol.jobs import TrainResult

        assert len(rows) == 29 * 8 * len(labels)
        assert len(job_key) == 32
        Path(scratch).write_bytes(b"encrypted")
        return TrainResult(rows_used=len(labels), seconds=0.1)

    async def seal(self, config, scratch, job_key, attempt):
        await self._job("seal")
        assert Path(scratch).exists()
        is_local = config.mode == "local"
        header = {
            "kind": "local-update" if is_local else "sealed-words",
            "task_id": config.task_id,
            "round_id": config.round_id,
            "config_digest": config.digest,
            "attempt": attempt,
            "d": config.d,
            "bits": config.bits,
        }
        if is_local:
            return encode(header, secrets.token_bytes(self.payload_bytes))
        from agent.privacy.zcdp import sent_words
        from agent.protocol.packing import pack

        self.words = np.frombuffer(
            secrets.token_bytes(4 * sent_words(config)), np.uint32
        ) & np.uint32((1 << config.bits) - 1)
        return encode(header, pack(self.words, config.bits))

    async def scan(self, paths, model, report=None):
        await self._job("scan")
        from agent.protocol.jobs import ScanResult, VerdictBounds

        return ScanResult((), VerdictBounds(0.5, 0.8, None))

    async def extract(self, paths):
        await self._job("extract")
        from agent.protocol.jobs import ExtractedRow, ExtractResult, RefusedInput

        rows = tuple(
            ExtractedRow(path, "00" * 32, tuple([0] * 29))
            for path in paths
            if path.endswith(".exe")
        )
        refused = tuple(
            RefusedInput(path, "NOT_PE", "not a PE file")
            for path in paths
            if not path.endswith(".exe")
        )
        return ExtractResult(rows, refused)

    async def collect(self, request, key):
        await self._job("collect")
        from agent.protocol.jobs import CollectResult, Searched

        self.collects.append(request)
        return self.collected or CollectResult((), (), Searched(3, 1), ())

    async def stop(self, jobs=("all",)):
        self.stopped += 1
        self.stopped_jobs.update(jobs)

    def suspend(self):
        self.is_suspended = True

    def resume(self):
        self.is_suspended = False
