"""Follows the files of the running program for a window's process (agent.program.replacement)."""

import time

from PySide6.QtCore import QFileSystemWatcher, QObject, QProcess, QTimer, Signal

from agent.program.process import ANSWER_S, Program
from agent.program.replacement import Act, Replacement, Step


class ProgramWatcher(QObject):
    """Says when the program was replaced by one that works, or removed. Nothing is polled."""

    replaced = Signal()
    removed = Signal()

    def __init__(self, program: Program, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._program = program
        self._replacement = Replacement(program.stamp())
        self._process: QProcess | None = None
        self._again = QTimer(self, singleShot=True)
        self._again.timeout.connect(self._look)
        self._files = QFileSystemWatcher(self)
        self._files.directoryChanged.connect(self._look)
        self._files.fileChanged.connect(self._look)
        self._watch()

    def _watch(self) -> None:
        """Watch what has the names now: a watch follows the file, not its name."""
        watched = {*self._files.directories(), *self._files.files()}
        for path in (self._program.file.parent, self._program.file):
            if str(path) not in watched and path.exists():
                self._files.addPath(str(path))

    def _look(self) -> None:
        self._watch()
        if self._process is None:
            self._do(self._replacement.next_step(self._program.stamp(), time.monotonic()))

    def _do(self, step: Step) -> None:
        self._again.stop()
        match step.act:
            case Act.WAIT:
                self._again.start(max(1, int(step.wait_s * 1000)))
            case Act.ASK:
                self._ask()
            case Act.RESTART:
                self.replaced.emit()
            case Act.END:
                self.removed.emit()

    def _ask(self) -> None:
        program, *words = self._program.question()
        self._process = QProcess(self)
        self._process.finished.connect(self._finished)
        self._process.errorOccurred.connect(self._finished)
        QTimer.singleShot(int(ANSWER_S * 1000), self._process, self._process.kill)
        self._process.start(program, words)

    def _finished(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        is_whole = (
            process.error() is QProcess.ProcessError.UnknownError
            and process.exitCode() == 0
            and bool(bytes(process.readAllStandardOutput().data()).strip())
        )
        process.deleteLater()
        self._do(self._replacement.answered(is_whole=is_whole, now=time.monotonic()))
