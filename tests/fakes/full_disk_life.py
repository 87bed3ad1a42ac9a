"""A device's life on a disk that is full before its k-th durable write, for every k.

usage: python -m tests.fakes.full_disk_life FOLDER      prints a JSON list, one entry for each k

It runs where FOLDER is a small disk. Store, ledger, consent and key file are real; aggregator and
worker are fakes. After a failure the disk has room again, and every second device restarts as after
a crash.
"""

import asyncio
import json
import sys
from contextlib import contextmanager
from pathlib import Path

from agent.errors import AegisError, InternalError
from agent.files import atomic_file
from agent.store.database import Database
from tests.fakes.device import Device
from tests.fakes.small_disk import fill
from tests.fakes.worker import FakeWorker

LEASE_S = 120
MAX_TRIES = 3


class Writes:
    """Counts durable writes, and fills the disk before the one numbered `last`."""

    def __init__(self, folder, last):
        self.folder = folder
        self.last = last
        self.count = 0

    def before(self):
        self.count += 1
        if self.count == self.last:
            fill(self.folder)

    def free(self):
        (self.folder / "filler").unlink(missing_ok=True)


class DiskWorker(FakeWorker):
    """Reports a full disk as the real worker's process does: its job fails."""

    async def train(self, *args, **options):
        try:
            return await super().train(*args, **options)
        except OSError as error:
            raise InternalError("WORKER_FAILED", "The worker failed.", "", str(error)) from error


@contextmanager
def counted(writes):
    transaction, write = Database.transaction, atomic_file.write

    @contextmanager
    def counted_transaction(database):
        writes.before()
        with transaction(database):
            yield

    def counted_write(path, content):
        writes.before()
        write(path, content)

    Database.transaction, atomic_file.write = counted_transaction, counted_write
    try:
        yield
    finally:
        Database.transaction, atomic_file.write = transaction, write


async def live(folder, last):
    """Run one life; returns what happened."""
    writes, codes = Writes(folder, last), []
    device = Device(folder / str(last), worker=lambda _: DiskWorker())
    steps = (
        lambda: device.call("enroll", invitation=device.server.invitation()),
        device.grant,
        lambda: device.call("settings.set", key="cpu.share_idle", value="20"),
        lambda: _add(device),
        device.run_cycle,
    )
    with counted(writes):
        for step in steps:
            for _ in range(MAX_TRIES):
                try:
                    await step()
                    break
                except AegisError as error:
                    codes.append(error.code)
                    writes.free()
                    if last % 2:
                        device.restart()
            else:
                raise AssertionError(f"write {last}: {codes}")
        writes.free()
        if last % 2:
            device.restart()
    device.clock.advance(LEASE_S)  # a process that was restarted waits for its own admission
    await device.run_cycle()
    totals, charges = device.agent.ledger.totals(), device.agent.ledger.charges()
    found = {
        "write": last,
        "writes": writes.count,
        "codes": codes,
        "charges": len(charges),
        "sent": totals.sent,
        "received": len(device.server.updates),
        "rows": device.agent.samples.counts().total,
        "problems": device.agent.ledger.problems(),
        "consent": device.agent.gate.consent_status().state.value,
    }
    device.close()
    return found


async def _add(device):
    device.add_rows(20)


def main(folder):
    lives = [asyncio.run(live(folder, 0))]
    for last in range(1, lives[0]["writes"] + 1):
        lives.append(asyncio.run(live(folder, last)))
    json.dump(lives, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
