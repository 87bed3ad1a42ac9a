"""`aegis demo`: a real aggregator, one full agent and many simulated devices on this machine make a
detector better; then a report.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.cli.render import notice_text
from agent.detector.model import LogisticModel, Metrics, to_safetensors
from agent.detector.synthetic import generate
from agent.errors import AegisError, UserActionError
from agent.paths import default_home
from agent.protocol.messages import Mode
from server_stub.demo import baselines
from server_stub.demo.device_fleet import Fleet
from server_stub.demo.full_agent import Ask, FullAgent, programs_here
from server_stub.demo.local_server import LocalServer
from server_stub.demo.plan import (
    GENERATED_ROWS,
    GROUP_ROWS,
    MAX_DEVICES,
    MAX_ROUNDS,
    ROWS_EACH,
    DemoPlan,
)
from server_stub.demo.progress import DemoScreen
from server_stub.demo.report import Report, draw, render
from server_stub.demo.rounds import Held, hold
from server_stub.demo.scratch import scratch_folder, socket_folder
from server_stub.simulation import data
from server_stub.simulation.data import Share, Table

QUESTION = (
    "Shall the full agent on this computer learn from the Windows programs in this Python"
    " environment, for this demonstration?"
)
MODES = (
    "secagg (default): only sums over groups can be read; local: each device adds all the noise"
    " itself"
)
INTERRUPTED = 130
SHUFFLES = 10
"""A single shuffle points somewhere; only the mean of many shows that nothing was learnt."""


def command(words: Sequence[str] | None = None) -> int:
    """Run `aegis demo`. 0 done, 1 failed, 2 usage, 130 interrupted. Raises AegisError."""
    options = _parser().parse_args(words)
    plan = DemoPlan(
        options.devices,
        options.rounds,
        options.epsilon,
        options.data,
        options.seed,
        options.drop,
        options.mode,
    )
    plan.check()
    try:
        with _terminated_like_interrupted(), DemoScreen() as screen:
            report = run(plan, screen, _ask(screen), _chart(options.chart))
    except KeyboardInterrupt:
        print("aegis demo: interrupted; everything it started has ended.", file=sys.stderr)  # noqa: T201
        return INTERRUPTED
    if options.json:
        print(json.dumps(report.to_json(), ensure_ascii=False))  # noqa: T201
    else:
        from rich.console import Console

        Console(highlight=False).print(render(report))
    return 0


def run(plan: DemoPlan, screen: DemoScreen, ask: Ask | None, chart: Path) -> Report:
    """The whole demonstration. Everything that it starts has ended, and all but chart, report and
    ledger is removed, when this returns.

    `ask` puts the consent question; without it the full agent's consent is simulated. Raises
    AegisError, KeyboardInterrupt.
    """
    screen.doing("Making the rows")
    table = make_table(plan)
    shares = data.deal(table, plan.devices, ROWS_EACH, plan.seed)
    with scratch_folder() as folder, contextlib.ExitStack() as stack:
        untrained = folder / "untrained.safetensors"
        untrained.write_bytes(to_safetensors(LogisticModel(np.zeros(116)), demonstration=True))
        screen.doing("Making the aggregator")
        server = stack.enter_context(
            LocalServer(folder / "server", plan.server_options(untrained, plan.devices - 1, 1))
        )
        screen.doing("Starting the full agent")
        agent, consent, said = _full_agent(stack, folder, server, plan, shares[-1], screen, ask)
        fleet = stack.enter_context(
            Fleet(
                folder / "devices",
                shares[:-1] if agent else shares,
                mode=Mode(plan.mode),
                floor=plan.floor,
            )
        )
        screen.doing("Starting the aggregator")
        server.start()
        held = hold(plan, server, fleet, agent, table, screen)
        ledger = agent.ledger() if agent else None
    screen.doing("Computing what it is compared with")
    report = _report(
        plan, table, shares, held, consent, said.format(sent=held.agent_sent, rounds=plan.rounds)
    )
    return _written(report, chart, ledger)


def _full_agent(
    stack: contextlib.ExitStack,
    folder: Path,
    server: LocalServer,
    plan: DemoPlan,
    share: Share,
    screen: DemoScreen,
    ask: Ask | None,
) -> tuple[FullAgent | None, str, str]:
    """The agent, where it takes part; how the yes came about; what it did ("{sent}" and "{rounds}"
    are known later).
    """
    simulated = "Consent: simulated for devices that exist only in this demonstration"
    agent = stack.enter_context(
        FullAgent(folder, stack.enter_context(socket_folder(folder)), floor=plan.floor)
    )
    agent.join(server.invitation(1))
    if not agent.decide(ask):
        agent.close()
        return (
            None,
            f"{simulated}. You said no, so the full agent took no part.",
            "No full agent took part.",
        )
    how = (
        f"{simulated}; the full agent took part after your yes."
        if ask
        else f"{simulated}, the full agent included: nobody was asked."
    )
    screen.doing("The full agent takes in its rows and real files")
    try:
        learnt = agent.learn(share, programs_here())
    except AegisError as error:  # e.g. a policy of this machine that denies
        agent.close()
        return None, f"{simulated}.", f"No full agent took part: {error.message}"
    return (
        agent,
        how,
        (
            "One of them is the full agent in processes of its own: it learned from"
            f" {learnt.generated} rows of the table and {learnt.real_files} real programs of this"
            " Python environment (as benign), and sent {sent} of {rounds} updates. For the"
            " demonstration it may use a whole processor core; on a person's computer it keeps to"
            " the limits set there."
        ),
    )


def make_table(plan: DemoPlan) -> Table:
    """The rows: a person's file, or the project's own generator's. Raises UserActionError."""
    if plan.data is not None:
        return data.from_file(plan.data, plan.seed)
    made = generate(np.random.default_rng(plan.seed), GENERATED_ROWS, group_rows=GROUP_ROWS)
    origin = (
        f"{GENERATED_ROWS} rows of the project's own generator; a fifth of the groups is held out"
    )
    return data.from_arrays(
        origin, made.rows, made.labels, data.held_out_groups(made.groups, plan.seed)
    )


def _report(
    plan: DemoPlan, table: Table, shares: tuple[Share, ...], held: Held, consent: str, said: str
) -> Report:
    start, training = np.zeros(116), plan.training
    labels = table.holdout_labels

    def compared(weights: NDArray[np.float64]) -> Metrics:
        return baselines.evaluate(weights, table)

    return Report(
        consent=consent,
        data=table.origin,
        devices=plan.devices,
        full_agent=said,
        mode=plan.mode,
        epsilon=plan.epsilon,
        delta=plan.delta,
        before=held.before,
        after=held.after,
        without_noise=compared(baselines.federated(shares, start, training)),
        shuffled=baselines.mean_of(
            [
                compared(baselines.federated(baselines.shuffled(shares, seed), start, training))
                for seed in range(SHUFFLES)
            ]
        ),
        central=compared(baselines.central(shares)),
        majority=float(max(np.mean(labels), 1 - np.mean(labels))),
        rounds=held.lines,
        bytes_up=held.bytes_up,
        bytes_down=held.bytes_down,
        epsilon_local=held.epsilon_local,
        dropped=held.dropped,
        group_floor=plan.floor_words,
        notes=held.notes,
    )


def _written(report: Report, chart: Path, ledger: dict[str, Any] | None) -> Report:
    """Draw the chart, write report and ledger beside it; the report with the names of all.

    Raises UserActionError CANNOT_WRITE.
    """
    from dataclasses import replace

    document, book = chart.with_suffix(".json"), chart.with_name(f"{chart.stem}-ledger.json")
    files = {"chart": str(chart), "report": str(document)}
    whole = replace(report, files=files if ledger is None else {**files, "ledger": str(book)})
    try:
        chart.parent.mkdir(parents=True, exist_ok=True)
        draw(whole, chart)
        _write(document, whole.to_json())
        if ledger is not None:
            _write(book, ledger)
    except OSError as error:
        raise UserActionError(
            "CANNOT_WRITE",
            f"The report could not be written ({error.strerror}).",
            "Choose another place: --chart.",
        ) from error
    return whole


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def _ask(screen: DemoScreen) -> Ask | None:
    """Asks at the terminal; None where there is none."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None

    def ask(notice: dict[str, Any]) -> bool:
        text = notice_text(notice).rsplit("\nNow: ", 1)[0]
        return screen.ask(text, QUESTION)

    return ask


def _chart(given: Path | None) -> Path:
    return (given or default_home(os.environ) / "reports" / "demo.png").absolute()


@contextlib.contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM ends it as Ctrl-C does: in order."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aegis demo",
        description=(
            "An aggregator and many devices on this machine make a detector better; a report at the"
            " end."
        ),
    )
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
        default=plan.epsilon,
        metavar="E",
        help=f"privacy budget; default {plan.epsilon:g}",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FILE.npz",
        help="rows X (n, 29) and labels y (n) instead of generated ones",
    )
    parser.add_argument("--mode", choices=("secagg", "local"), default=plan.mode, help=MODES)
    parser.add_argument(
        "--drop",
        type=float,
        default=plan.drop,
        metavar="P",
        help="share of the simulated devices that vanish in each round",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=plan.seed,
        metavar="N",
        help="of rows and shares; noise is never seeded",
    )
    parser.add_argument(
        "--chart",
        type=Path,
        metavar="FILE.png",
        help="where the chart goes (the report as JSON beside it)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser
