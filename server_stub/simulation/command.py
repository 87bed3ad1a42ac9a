"""`aegis simulate`: many devices in one process, with the real codec and ledger and, in small
fleets, the real protocol.

The devices share the rows of a table. Each round draws new groups of equal size, whereas a server's
draw varies their sizes. No process is started, no message leaves this one, and nothing is stored.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from agent.detector.model import Metrics
from agent.printable import ArgumentParser, printable
from agent.privacy.policy import check_config
from agent.privacy.zcdp import epsilon, rho_local_units, sent_words
from agent.protocol.packing import packed_bytes
from server_stub.simulation import data
from server_stub.simulation.attacks import Attack
from server_stub.simulation.groups import PHASES, OpenGroup, open_directly
from server_stub.simulation.machines import Authority, open_with_machines
from server_stub.simulation.report import SPENDING, Report, Round, text
from server_stub.simulation.training import RECIPES, Fleet, Inputs, evaluate
from server_stub.simulation.unprotected import PlainWorld
from server_stub.simulation.world import ANY, DELTA, Options, World, planned

MACHINES_UP_TO = 64
"""With up to this many devices the protocol itself is run, unless asked otherwise: every pair of a
group shares a mask, so its work grows with the square of the size."""
MAX_ROWS = 10_000
"""On a device."""
Progress = Callable[[Round], None]


def command(words: list[str]) -> int:
    """Run `aegis simulate`. 0 done; raises AegisError, or SystemExit 2 for a wrong command line."""
    parser = _parser()
    parsed = parser.parse_args(words)
    if parsed.top_k and not parsed.plain:
        parser.error("--top-k goes with --plain")
    if parsed.plain and (parsed.machines or parsed.coordinates):
        parser.error("--plain goes with neither --machines nor --coordinates")
    # Every option of the command line but the two below is a field of Options of the same name.
    options = Options(
        **{name: value for name, value in vars(parsed).items() if name not in ("json", "home")}
    )
    report = run(options, partial(_progress, options.rounds))
    lines = [json.dumps(report.to_json())] if parsed.json else text(report).split("\n")
    print("\n".join(map(printable, lines)))  # noqa: T201
    return 0


def run(options: Options, progress: Progress = lambda _: None) -> Report:
    """Run all rounds.

    Raises UserActionError BAD_TABLE, TOO_FEW_ROWS, PRICE_TOO_HIGH; OperatorActionError
    PRICE_TOO_LOW, GROUP_PLAN.
    """
    started, draw, recipe = (
        time.monotonic(),
        np.random.default_rng(options.seed),
        RECIPES[options.family],
    )
    table = data.from_file(options.data, options.seed)
    shares = data.deal(table, options.devices, MAX_ROWS, options.seed)
    rows, labels = (
        (table.holdout, table.holdout_labels)
        if options.holdout is None
        else data.rows_of(options.holdout)
    )
    config, limits, task = planned(options, recipe)
    # What a real device does with an offer: a simulation of rounds that it refuses shows nothing.
    check_config(config, task, limits)
    attacking = np.zeros(options.devices, bool)
    if options.attack is not Attack.NONE:
        attacking[
            draw.permutation(options.devices)[: round(options.attackers * options.devices)]
        ] = True
    fleet = Fleet(shares, recipe, attacking & (options.attack is Attack.LABEL_FLIP))
    machines = not options.plain and (
        options.machines if options.machines is not None else options.devices <= MACHINES_UP_TO
    )
    open_group: OpenGroup = (
        partial(open_with_machines, Authority(), limits) if machines else open_directly
    )
    kind = PlainWorld if options.plain else World
    world = kind(options, fleet, attacking, config, draw, open_group)
    holdout = Inputs(rows, recipe)

    def metrics() -> Metrics:
        return evaluate(world.weights, holdout, labels)

    before, results = metrics(), []
    for number in range(1, options.rounds + 1):
        result = world.run_round(number, metrics)
        results.append(result)
        progress(result)
    up, down = np.mean(world.traffic, axis=0) if world.traffic else (None, None)
    return Report(
        origin=table.origin,
        rows=fleet.rows_each,
        holdout=(
            f"{len(labels)} rows that no device had"
            if options.holdout is None
            else options.holdout.name
        ),
        family=recipe.family,
        devices=options.devices,
        group=config.g_max,
        min_sum=config.min_sum,
        colluders=config.colluders,
        device_limits=(
            "product"
            if not limits.are_for_tests
            else f"test floor: groups of {limits.min_group}, sums of {limits.min_sum}"
        ),
        spending=SPENDING,
        machines=machines,
        private=not options.plain,
        drop=options.drop,
        drop_phase=options.drop_phase,
        attack=options.attack.value,
        attackers=int(attacking.sum()),
        budget=options.epsilon,
        delta=DELTA,
        epsilon_ledger=max(
            epsilon(sum(charge.units for charge in charges), DELTA) for charges in world.charges
        ),
        epsilon_central=epsilon(world.central_units, DELTA),
        epsilon_local=max(
            epsilon(rho_local_units(config) * len(charges), DELTA) for charges in world.charges
        ),
        noise_units=config.noise_var**0.5,
        bits=config.bits,
        coordinates=sent_words(config),
        vector_bytes=(
            round(up or 0) if options.plain else packed_bytes(sent_words(config), config.bits)
        ),
        bytes_up=None if options.plain else up,
        bytes_down=None if options.plain else down,
        before=before,
        majority=float(max(np.mean(labels), 1 - np.mean(labels))),
        rounds=tuple(results),
        seconds=time.monotonic() - started,
    )


def _progress(rounds: int, result: Round) -> None:
    quality = f"AUC {result.metrics.auc:.4f}, accuracy {result.metrics.accuracy:.4f}"
    print(  # noqa: T201
        f"round {result.number} of {rounds}: {result.opened} of {result.groups} groups opened,"
        f" {result.survivors} devices in the sum, {quality}",
        file=sys.stderr,
    )


def _parser() -> argparse.ArgumentParser:
    parser = ArgumentParser(
        prog="aegis simulate",
        description=(__doc__ or "").split("\n\n")[0],
        allow_abbrev=False,
    )
    parser.add_argument(
        "--devices", type=_whole(3, 100_000), default=1000, metavar="N", help="default 1000"
    )
    parser.add_argument(
        "--rounds",
        type=_whole(1, 1000),
        default=20,
        metavar="R",
        help="rounds that share the budget equally; default 20",
    )
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="FILE.npz",
        help="a table with X (n, 29) and y (n; 1 = malicious); rows with split 1 are the hold-out",
    )
    parser.add_argument(
        "--holdout",
        type=Path,
        metavar="FILE.npz",
        help="evaluate on all rows of this table instead",
    )
    parser.add_argument(
        "--epsilon",
        type=_number(0.01, 100),
        default=1.0,
        metavar="E",
        help="privacy budget ε of a device over all rounds; default 1",
    )
    parser.add_argument(
        "--group",
        type=_whole(3, 1024),
        default=100,
        metavar="G",
        help="devices in a group; default 100",
    )
    parser.add_argument(
        "--drop",
        type=_number(0, 0.9),
        default=0.0,
        metavar="P",
        help="probability that a device drops out of a round; default 0",
    )
    parser.add_argument(
        "--drop-phase",
        choices=[*PHASES, ANY],
        default=ANY,
        help="the phase from which on it is silent; default any",
    )
    parser.add_argument(
        "--attack",
        type=Attack,
        choices=list(Attack),
        default=Attack.NONE,
        metavar="NAME",
        help=", ".join(Attack),
    )
    parser.add_argument(
        "--attackers",
        type=_number(0, 1),
        default=0.1,
        metavar="F",
        help="share of the devices that attack; default 0.1",
    )
    parser.add_argument(
        "--model",
        dest="family",
        choices=sorted(RECIPES),
        default="fourier",
        help="model family; default fourier",
    )
    parser.add_argument(
        "--machines",
        action=argparse.BooleanOptionalAction,
        help=(
            "run the protocol itself, with every message, mask and share, or only its arithmetic;"
            f" default: the protocol with up to {MACHINES_UP_TO} devices"
        ),
    )
    parser.add_argument(
        "--coordinates",
        type=_whole(1, 2**20),
        metavar="K",
        help="coordinates that each device sends, drawn anew for each round; default all",
    )
    parser.add_argument(
        "--plain",
        action="store_true",
        help="NOT PRIVATE, for comparison: compressed updates in the clear, no noise, no groups",
    )
    parser.add_argument(
        "--top-k",
        type=_whole(1, 2**20),
        metavar="K",
        help="with --plain: send the K largest coordinates; default a twentieth",
    )
    parser.add_argument(
        "--seed",
        type=_whole(0, 2**32),
        default=0,
        metavar="S",
        help="seed of shares, groups and drop-outs, never of noise; default 0",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--home", help=argparse.SUPPRESS)
    return parser


def _whole(low: int, high: int) -> Callable[[str], int]:
    def whole_number(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"expected {low} to {high}")
        return value

    return whole_number


def _number(low: float, high: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"expected {low} to {high}")
        return value

    return number
