"""Shows the progress of `aegis demo` on stderr.

A terminal gets a bar and a line for each round, anything else plain lines.
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

from agent.status import epsilon_in_words
from server_stub.demo.report import RoundResult


class DemoScreen:
    """A context manager: the bar is visible inside of it."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self._progress = Progress(
            *columns, console=self.console, transient=True, disable=not self.console.is_terminal
        )
        self._task = self._progress.add_task("", visible=False)

    def start_step(self, text: str, parts: int = 0) -> None:
        """Begin a step; `advance` is called for each of its `parts`."""
        self._progress.reset(self._task, description=text, total=parts or None, visible=True)
        if not self.console.is_terminal:
            self.console.print(f"{text} …", highlight=False, markup=False)

    def advance(self) -> None:
        """Count one part of the step as done."""
        self._progress.advance(self._task)

    def show_round(self, result: RoundResult, rounds: int) -> None:
        """Print a finished round as one line of at most 80 columns."""
        seen = result.evaluation.metrics
        self.console.print(
            f"round {result.number} of {rounds}: AUC {seen.auc:.3f}, accuracy {seen.accuracy:.1%},"
            f" ε spent {epsilon_in_words(result.epsilon)}, {result.updates} updates,"
            f" {result.seconds:.1f} s",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )

    def ask(self, notice_text: str, question: str) -> bool:
        """Ask a yes-or-no question. Only "y" and "yes" count as a yes: Enter, end of input and
        everything else are a no.
        """
        self._progress.stop()
        try:
            self.console.print(notice_text, highlight=False, markup=False)
            self.console.print(f"\n{question} [y/N] ", end="", highlight=False, markup=False)
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
