"""What a running agent depends on besides its own work, and may lose while it runs.

1. Its home: when the lock file was removed or replaced, the home is no longer this agent's, so it
   ends.
2. Its socket: when somebody removed it (a logout empties the runtime folder), it makes a new one.
3. A mark of a withdrawal (agent.consent.mark): it stops at once and writes it into the record.
4. Its program: agent.program.replacement says when to start anew and when to end.

The system reports changes in the folders concerned (file_events). Where it cannot, the agent looks
every LOOK_S. It also looks at each wake of its loop.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from agent.container import Agent
from agent.daemon.file_events import FileEvents
from agent.errors import AegisError
from agent.ipc.server import ChannelServer
from agent.program.process import Program
from agent.program.replacement import Act, Replacement, Step

log = logging.getLogger(__name__)

LOOK_S = 30.0
"""How often the agent looks where the system reports no changes."""
BURST_S = 0.05
"""Changes within this time are looked at together."""
FINISH_S = 180.0
"""How long a sending that has begun may delay the start of a new program."""


class Upkeep:
    """Looks after one running agent. Close it when done."""

    def __init__(
        self,
        agent: Agent,
        channel: ChannelServer,
        program: Program | None,
        end: Callable[[Act], None],
    ) -> None:
        """`program`: None where nothing replaces the files (a simulated device).

        `end` ends the agent, to start anew (Act.RESTART) or not (Act.END).
        """
        self._agent = agent
        self._channel = channel
        self._program = program
        self._end = end
        self._events = FileEvents(self._changed)
        self._replacement = Replacement(program.stamp() if program else None)
        self._looking: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None
        self._nudged = asyncio.Event()
        """Something happened while a change of the program is followed."""
        self._polling: asyncio.Task[None] | None = None
        self._lock_inode = _inode(agent.home.lock)

    def start(self) -> None:
        """Watch what there is now; the channel is open."""
        folders = [self._agent.home.root]
        if self._channel.folder is not None:
            folders.append(self._channel.folder)
        if self._program is not None:
            folders.append(self._program.file.parent)
        is_watched = self._events.watch(folders)
        if is_watched and self._polling is not None:
            self._polling.cancel()
            self._polling = None
        elif not is_watched and self._polling is None:
            self._polling = asyncio.create_task(self._poll())

    async def close(self) -> None:
        self._events.close()
        for task in (self._looking, self._following, self._polling):
            if task is not None:
                task.cancel()

    async def check(self) -> None:
        """Look at everything once."""
        if self._lock_inode is not None and _inode(self._agent.home.lock) != self._lock_inode:
            log.warning("home.lost")
            self._end(Act.END)
            return
        if self._agent.record.is_behind:
            await self._withdraw()
        if not self._channel.is_reachable:
            await self._listen_anew()
        self._follow_program()

    def program_was_replaced(self) -> None:
        """A signal says so. The new program is asked, whatever its files look like."""
        self._replacement.force()
        self._follow_program()

    async def _withdraw(self) -> None:
        """Somebody withdrew without reaching this agent: stop at once, then record it."""
        await self._agent.runner.withdraw()
        try:
            self._agent.record.catch_up()
        except (AegisError, OSError) as error:
            log.warning("consent.not_recorded error=%s", error)  # the mark stays
        self._agent.signals.user_changed()

    async def _listen_anew(self) -> None:
        try:
            self._agent.home.prepare()
            await self._channel.open()
        except (AegisError, OSError) as error:
            log.warning("channel.not_reopened error=%s", error)
            return
        log.info("channel.reopened")
        self.start()

    def _changed(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_soon())

    async def _look_soon(self) -> None:
        await asyncio.sleep(BURST_S)
        # What happens from now on is another burst.
        self._looking = None
        await self.check()

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            await self.check()

    def _follow_program(self) -> None:
        """Follow a change of the program's files to its end."""
        self._nudged.set()
        if self._program is None or (self._following and not self._following.done()):
            return
        if self._step(self._program).act is not Act.REST:
            self._following = asyncio.create_task(self._follow(self._program))

    async def _follow(self, program: Program) -> None:
        clock = self._agent.clock
        while (step := self._step(program)).act is not Act.REST:
            if step.act is Act.ASK:
                is_whole = await asyncio.to_thread(program.answers)
                log.info("program.replaced whole=%s", is_whole)
                step = self._replacement.answered(is_whole=is_whole, now=clock.monotonic())
            if step.act is Act.RESTART:
                await self._agent.runner.finish_sending(FINISH_S)
            if step.act in (Act.RESTART, Act.END):
                self._end(step.act)
                return
            self.start()  # the folder may have been replaced
            self._nudged.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(step.wait_s):
                    await self._nudged.wait()
        self.start()

    def _step(self, program: Program) -> Step:
        return self._replacement.next_step(program.stamp(), self._agent.clock.monotonic())


def _inode(path: Path) -> tuple[int, int] | None:
    with suppress(OSError):
        facts = path.lstat()
        return facts.st_dev, facts.st_ino
    return None
