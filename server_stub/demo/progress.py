"""What `aegis demo` shows while it runs, on stderr: a bar and a line for each round; plain lines
where that is no terminal.
"""

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from server_stub.demo.report import RoundLine


class DemoScreen:
    """Use it with `with`."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self._progress = Progress(
            *columns, console=self.console, transient=True, disable=not self.console.is_terminal
        )
        self._task = self._progress.add_task("", visible=False)

    def doing(self, text: str, total: int = 0) -> None:
        """A new step; `total` parts of it will be told by `part`."""
        self._progress.reset(self._task, description=text, total=total or None, visible=True)
        if not self.console.is_terminal:
            self.console.print(f"{text} …", highlight=False)

    def part(self) -> None:
        """A part of the step is done."""
        self._progress.advance(self._task)

    def round(self, line: RoundLine) -> None:
        """A round has ended."""
        self.console.print(
            f"round {line.number:>2}: accuracy {line.accuracy:.1%}, AUC {line.auc:.3f}, false"
            f" positives {line.fpr:.1%}, ε spent {line.epsilon:.2f}, {line.updates} updates,"
            f" {line.seconds:.1f} s",
            highlight=False,
        )

    def ask(self, notice_text: str, question: str) -> bool:
        """Put a question; only a plain yes is a yes.

        Enter, end of input and everything else are a no.
        """
        self._progress.stop()
        try:
            self.console.print(notice_text, highlight=False, markup=False)
            self.console.print(f"\n{question} \\[y/N] ", end="", highlight=False)
            return sys.stdin.readline().strip().lower() in ("y", "yes")
        finally:
            self._progress.start()

    def __enter__(self) -> "DemoScreen":
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()
