"""`aegis demo`: devices on this machine train a detector together, and a report judges it.

A real aggregator, one full agent and many simulated devices take part.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from agent.cli.render import notice_text, shown
from agent.errors import AegisError, UserActionError
from agent.paths import default_home
from agent.printable import ArgumentParser, json_text
from agent.protocol.messages import Mode
from agent.sandbox import private_memory
from agent.status import epsilon_in_words
from server_stub.demo.chart import draw
from server_stub.demo.device_fleet import Fleet
from server_stub.demo.full_agent import Ask, FullAgent, Learnt, programs_here
from server_stub.demo.head_demo import headline
from server_stub.demo.local_server import LocalServer
from server_stub.demo.plan import (
    BASE_HEAD,
    EPSILONS,
    FAMILIES,
    LOGISTIC,
    MAX_DEVICES,
    MAX_ROUNDS,
    DemoPlan,
)
from server_stub.demo.progress import DemoScreen
from server_stub.demo.report import Report
from server_stub.demo.report_text import render
from server_stub.demo.rounds import AllRounds, run_rounds
from server_stub.demo.scratch import scratch_folder
from server_stub.demo.subject import Subject, make_subject
from server_stub.simulation.data import Share
from server_stub.simulation.report import SPENDING

QUESTION = (
    "May the full agent on this computer learn from the Windows programs in this Python environment"
    " for this demonstration?"
)
MODES = (
    "secagg (default): only sums over groups can be read; local: each device adds all of its own"
    " noise"
)
INTERRUPTED = 130


def command(words: Sequence[str] | None = None) -> int:
    """Run `aegis demo`. 0 done, 1 failed, 2 usage, 130 interrupted. Raises AegisError."""
    options = _parser().parse_args(words)
    plan = DemoPlan(
        options.devices,
        options.rounds,
        EPSILONS[options.family] if options.epsilon is None else options.epsilon,
        options.data,
        options.seed,
        options.drop,
        options.mode,
        options.family,
    )
    plan.check()
    private_memory.keep_private()
    try:
        with _terminated_like_interrupted(), DemoScreen() as screen:
            report = run(plan, screen, _ask(screen), _chart(options.chart))
    except KeyboardInterrupt:
        print("aegis demo: interrupted; everything that it started has ended.", file=sys.stderr)  # noqa: T201
        return INTERRUPTED
    if options.json:
        print(json_text(report.to_json()))  # noqa: T201
    else:
        from rich.console import Console

        Console(highlight=False).print(render(report))
    return 0


@dataclass(frozen=True)
class FullAgentPart:
    """The full agent, who gave its consent, and what it learned from."""

    agent: FullAgent | None
    """None where it takes no part."""
    consent: str
    learnt: Learnt | None = None
    obstacle: str = ""
    """Why it takes no part, where it is more than a no."""

    def sentence(self, sent: int, rounds: int) -> str:
        """What the full agent did, for the report."""
        if self.learnt is None:
            return f"No full agent took part{f': {self.obstacle}' if self.obstacle else '.'}"
        return (
            "One of them is the full agent in processes of its own: it learned from"
            f" {self.learnt.generated} rows of the table and {self.learnt.real_files} real programs"
            f" of this Python environment (as benign), and sent {sent} of {rounds} updates. For the"
            " demonstration it may use a whole processor core; on a person's computer it keeps to"
            " the limits set there."
        )


def run(plan: DemoPlan, screen: DemoScreen, ask: Ask | None, chart: Path) -> Report:
    """Run the whole demonstration. When this returns, everything that it started has ended, and all
    that is left are chart, report and ledger.

    `ask` puts the consent question; without it the full agent's consent is simulated. Raises
    AegisError, KeyboardInterrupt.
    """
    screen.start_step("Generating the rows" if plan.data is None else "Reading the rows")
    # The stack ends what it holds in reverse order: devices before the aggregator they talk to.
    with scratch_folder() as folder, contextlib.ExitStack() as stack:
        subject = make_subject(plan, folder)
        shares = subject.shares
        screen.start_step("Setting up the aggregator")
        server = stack.enter_context(
            LocalServer(folder / "server", plan.server_options(subject.model, plan.devices - 1, 1))
        )
        for words in subject.after_init:
            server.command(*words)
        screen.start_step("Starting the full agent")
        part = _full_agent(stack, folder, server, plan, shares[-1], screen, ask)
        fleet = stack.enter_context(
            Fleet(
                folder / "devices",
                shares[:-1] if part.agent else shares,
                mode=Mode(plan.mode),
                limits=plan.device_limits,
            )
        )
        screen.start_step("Starting the aggregator")
        server.start()
        rounds = run_rounds(plan, server, fleet, part.agent, subject.judge, screen)
        ledger = part.agent.ledger() if part.agent else None
    # Only now: it takes every core, and devices that miss a deadline would spoil the rounds.
    screen.start_step("Training the models for comparison")
    return _written(_report(plan, subject, rounds, part), chart, ledger)


def _full_agent(
    stack: contextlib.ExitStack,
    folder: Path,
    server: LocalServer,
    plan: DemoPlan,
    share: Share,
    screen: DemoScreen,
    ask: Ask | None,
) -> FullAgentPart:
    """Start the full agent, put the question and let it learn. It ends with `stack`, or at once
    where it takes no part.
    """
    simulated = "Consent: simulated for devices that exist only in this demonstration"
    agent = stack.enter_context(FullAgent(folder, limits=plan.device_limits))
    agent.join(server.invitation(1))
    # The question comes before anything about the person's files is read.
    if not agent.decide(ask):
        agent.close()
        return FullAgentPart(None, f"{simulated}. You said no, so the full agent took no part.")
    screen.start_step("The full agent adds its rows and real files")
    try:
        learnt = agent.learn(share, programs_here())
    except AegisError as error:  # for example a policy of this machine that denies it
        agent.close()
        return FullAgentPart(None, f"{simulated}.", obstacle=error.message)
    consent = (
        f"{simulated}; the full agent took part after your yes."
        if ask
        else f"{simulated}, the full agent included: nobody was asked."
    )
    return FullAgentPart(agent, consent, learnt)


def _report(plan: DemoPlan, subject: Subject, rounds: AllRounds, part: FullAgentPart) -> Report:
    labels, compared = subject.holdout_labels, subject.compare()
    return Report(
        consent=part.consent,
        data=subject.origin,
        are_rows_generated=plan.data is None,
        holdout_rows=len(labels),
        devices=plan.devices,
        full_agent=part.sentence(rounds.agent_sent, plan.rounds),
        mode=plan.mode,
        epsilon=plan.epsilon,
        delta=plan.delta,
        before=rounds.before,
        after=rounds.after,
        without_noise=compared.without_noise,
        shuffled=compared.shuffled,
        central=compared.central,
        majority=float(max(np.mean(labels), 1 - np.mean(labels))),
        rounds=rounds.results,
        bytes_up=rounds.bytes_up,
        bytes_down=rounds.bytes_down,
        epsilon_local=rounds.spending.epsilon_local,
        epsilon_between=rounds.spending.epsilon_between,
        colluders=plan.colluders_text,
        dropped=rounds.dropped,
        group_floor=plan.limits_text,
        spending=SPENDING,
        notes=rounds.notes,
        family=plan.family,
        control=compared.control,
        headline=headline(rounds.before, rounds.after, compared.control),
    )


def _written(report: Report, chart: Path, ledger: dict[str, Any] | None) -> Report:
    """Write chart, report and ledger, and return the report with their names.

    Raises UserActionError CANNOT_WRITE.
    """
    document, book = chart.with_suffix(".json"), chart.with_name(f"{chart.stem}-ledger.json")
    files = {"chart": str(chart), "report": str(document)}
    complete = replace(report, files=files if ledger is None else {**files, "ledger": str(book)})
    try:
        chart.parent.mkdir(parents=True, exist_ok=True)
        draw(complete, chart)
        _write(document, complete.to_json())
        if ledger is not None:
            _write(book, ledger)
    except OSError as error:
        raise UserActionError(
            "CANNOT_WRITE",
            f"The report could not be written ({error.strerror}).",
            "Choose another place with --chart.",
        ) from error
    return complete


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def _ask(screen: DemoScreen) -> Ask | None:
    """A question at the terminal; None where there is no terminal."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None

    def ask(notice: dict[str, Any]) -> bool:
        # Its last lines name the commands to answer with; here the answer is typed.
        text = shown(notice, notice_text).rsplit("\nNow: ", 1)[0]
        return screen.ask(text, QUESTION)

    return ask


def _chart(given: Path | None) -> Path:
    return (given or default_home(os.environ) / "reports" / "demo.png").absolute()


@contextlib.contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Make SIGTERM end the demonstration in order, as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _parser() -> argparse.ArgumentParser:
    parser = ArgumentParser(
        prog="aegis demo",
        description=(
            "An aggregator and many devices on this machine train a detector together. It ends with"
            " a report."
        ),
        allow_abbrev=False,
    )
    # `--he` used to be read as short for --help, and it still is.
    parser.add_argument("--he", action="help", help=argparse.SUPPRESS)
    plan = DemoPlan()
    parser.add_argument(
        "--devices",
        type=int,
        default=plan.devices,
        metavar="N",
        help=f"3 to {MAX_DEVICES}; default {plan.devices}",
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=plan.rounds,
        metavar="R",
        help=f"1 to {MAX_ROUNDS}; default {plan.rounds}",
    )
    parser.add_argument(
        "--epsilon",
        type=float,
        metavar="E",
        help=(
            "privacy budget ε of each device for all rounds; default"
            f" {epsilon_in_words(EPSILONS[BASE_HEAD])}, with {LOGISTIC}"
            f" {epsilon_in_words(EPSILONS[LOGISTIC])}"
        ),
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FILE.npz",
        help="a table with rows X (n, 29) and labels y (n) instead of generated rows",
    )
    parser.add_argument(
        "--family",
        choices=FAMILIES,
        default=plan.family,
        help=(
            "model family: devices train a head on an operator's base (default), or a whole"
            " logistic model"
        ),
    )
    parser.add_argument("--mode", choices=("secagg", "local"), default=plan.mode, help=MODES)
    parser.add_argument(
        "--drop",
        type=float,
        default=plan.drop,
        metavar="P",
        help="share of the simulated devices that drop out of each round; default 0",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=plan.seed,
        metavar="N",
        help=f"seed of rows and shares, never of noise; default {plan.seed}",
    )
    parser.add_argument(
        "--chart",
        type=Path,
        metavar="FILE.png",
        help="where to write the chart, with the report as JSON beside it",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser
