"""Reports what training may use of this computer, and what it uses."""

import os
from dataclasses import dataclass

from agent.rounds.activity import ActivityTracker
from agent.status import StopView, WorkView, share_in_words
from agent.supervisor.worker_host import WorkerHost


@dataclass(frozen=True)
class WorkReport:
    """Reads the limits and the measured use of the worker."""

    worker_host: WorkerHost
    activity: ActivityTracker

    def view(self) -> WorkView:
        limits, measured = self.worker_host.limits(), self.worker_host.measured()
        cores = os.cpu_count() or 1
        return WorkView(
            limit_percent=limits.cpu_percent,
            limit_text=share_in_words(limits.cpu_percent, cores),
            memory_limit_mib=limits.memory_mib,
            measured_percent=measured.cpu_percent if measured else None,
            measured_text=share_in_words(measured.cpu_percent, cores) if measured else "",
            memory_mib=measured.rss_bytes / 2**20 if measured else None,
            suspended=self.activity.is_suspended,
        )

    def last_stop(self) -> StopView | None:
        """Return the last time that a limit ended a worker, or None."""
        return self.worker_host.last_stop
