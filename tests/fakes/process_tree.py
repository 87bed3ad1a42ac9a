"""A process tree that uses what a test sets and records what happens to it."""

import threading

from agent.supervisor.tree import TreeUsage


class FakeTree:
    def __init__(self, pid=1):
        self.pid = pid
        self.cpu_s = 0.0
        self.spends_s = 0.0
        """Processor seconds that every reading of the clock finds used."""
        self.usage = TreeUsage(0, 0)
        self.is_alive = True
        self.calls = []
        """Names of the calls that changed something, in order."""
        self.is_stopped = False
        self.changed = threading.Condition()
        """Notified after every call."""
        self.has_unlisted_child = False
        """Until the next `discover`, signals do not reach that child."""
        self.child_is_stopped = False

    def lower_priority(self):
        self._note("lower_priority")

    def cpu_time_s(self):
        self.cpu_s += self.spends_s
        return self.cpu_s

    def discover(self):
        self.has_unlisted_child = False
        self._note("discover")

    def poll(self):
        return self.usage if self.is_alive else None

    def suspend(self):
        self.is_stopped = True
        self.child_is_stopped = not self.has_unlisted_child
        self._note("suspend")

    def resume(self):
        self.is_stopped = self.child_is_stopped = False
        self._note("resume")

    def terminate(self):
        self._note("terminate")

    def kill(self):
        self.is_alive = False
        self._note("kill")

    def _note(self, call):
        with self.changed:
            self.calls.append(call)
            self.changed.notify_all()
