"""`aegis simulate`: many devices in one process, with the real codec and ledger and, in small
fleets, the real protocol.

The devices share the rows of a table. Each round draws new groups of equal size, whereas a server's
draw varies their sizes. No process is started, no message leaves this one, and nothing is stored.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from agent.detector.model import Metrics
from agent.printable import ArgumentParser, printable
from agent.privacy.policy import check_config
from agent.privacy.zcdp import epsilon, rho_local_units, sent_words
from agent.protocol.packing import packed_bytes
from server_stub.simulation import data, study, study_chart, study_report
from server_stub.simulation.attacks import Attack
from server_stub.simulation.compositions import Composition
from server_stub.simulation.groups import PHASES, OpenGroup, open_directly
from server_stub.simulation.machines import Authority, open_with_machines
from server_stub.simulation.report import SPENDING, Report, Round, text
from server_stub.simulation.training import RECIPES, Fleet, Inputs, evaluate
from server_stub.simulation.unprotected import PlainWorld
from server_stub.simulation.world import ANY, DELTA, Options, World, planned
from server_stub.training.recipe import recipe_for

MACHINES_UP_TO = 64
"""With up to this many devices the protocol itself is run, unless asked otherwise: every pair of a
group shares a mask, so its work grows with the square of the size."""
MAX_ROWS = 10_000
"""On a device."""
ROUNDS, GROUP = 20, 100
BASE_HEAD, HEAD_GROUP = "base+head", 32
"""The family that a fleet trains, and the size of its groups: the product's."""
STUDY_DEFAULTS: dict[str, Any] = {
    "composition": (Composition.REAL,),
    "labelled": False,
    "seeds": 1,
    "packages": None,
    "bases": None,
    "png": None,
}
NOT_OF_A_RUN = ("json", "home", *STUDY_DEFAULTS)
Progress = Callable[[Round], None]


def command(words: list[str]) -> int:
    """Run `aegis simulate`. 0 done; raises AegisError, or SystemExit 2 for a wrong command line."""
    parser = _parser()
    parsed = parser.parse_args(words)
    if parsed.top_k and not parsed.plain:
        parser.error("--top-k goes with --plain")
    if parsed.plain and (parsed.machines or parsed.coordinates):
        parser.error("--plain goes with neither --machines nor --coordinates")
    if parsed.family == BASE_HEAD:
        return _study(parser, parsed)
    foreign = [name for name, default in STUDY_DEFAULTS.items() if getattr(parsed, name) != default]
    if foreign or len(parsed.epsilon) > 1 or parsed.epsilon == (None,):
        parser.error(f"several values of ε, and {_options(STUDY_DEFAULTS)}, go with {BASE_HEAD}")
    report = run(_run_options(parsed), partial(_progress, parsed.rounds or ROUNDS))
    _print(report.to_json() if parsed.json else text(report))
    return 0


def _study(parser: argparse.ArgumentParser, parsed: argparse.Namespace) -> int:
    if parsed.plain or parsed.machines:
        parser.error(f"--plain and --machines do not go with {BASE_HEAD}")
    options, recipe = _run_options(parsed), recipe_for(parsed.devices)
    plan = study.Plan(
        options=options,
        recipe=replace(recipe, head=replace(recipe.head, rounds=options.rounds)),
        epsilons=parsed.epsilon,
        compositions=parsed.composition,
        seeds=parsed.seeds,
        is_labelled=parsed.labelled,
        packages=parsed.packages,
        bases=parsed.bases,
    )
    result = study.run(plan, lambda line: print(line, file=sys.stderr))  # noqa: T201
    if parsed.png:
        study_chart.draw(result, parsed.png)
    _print(study_report.to_json(result) if parsed.json else study_report.text(result))
    return 0


def _run_options(parsed: argparse.Namespace) -> Options:
    """Every other option of the command line is a field of Options of the same name."""
    own = {name: value for name, value in vars(parsed).items() if name not in NOT_OF_A_RUN}
    own["epsilon"] = parsed.epsilon[0] or 1.0
    recipe = recipe_for(parsed.devices).head
    of_family = (recipe.rounds, HEAD_GROUP) if parsed.family == BASE_HEAD else (ROUNDS, GROUP)
    for name, value in zip(("rounds", "group"), of_family, strict=True):
        own[name] = own[name] or value
    return Options(**own)


def _print(answer: dict[str, Any] | str) -> None:
    lines = answer.split("\n") if isinstance(answer, str) else [json.dumps(answer)]
    print("\n".join(map(printable, lines)))  # noqa: T201


def _options(names: Iterable[str]) -> str:
    return ", ".join(f"--{name}" for name in names)


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
        metavar="R",
        help=f"rounds that share the budget equally; default {ROUNDS}, or the recipe's",
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
        type=_budgets,
        default=(1.0,),
        metavar="E",
        help=(
            "privacy budget ε of a device over all rounds; default 1. With base+head several,"
            " such as none,8,4,1"
        ),
    )
    parser.add_argument(
        "--group",
        type=_whole(3, 1024),
        metavar="G",
        help=f"devices in a group; default {GROUP}, with base+head {HEAD_GROUP}",
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
        choices=sorted([*RECIPES, BASE_HEAD]),
        default="fourier",
        help="model family; default fourier",
    )
    _add_study(parser)
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


def _add_study(parser: argparse.ArgumentParser) -> None:
    """Add the options that go with base+head only."""
    group = parser.add_argument_group(
        f"with --model {BASE_HEAD}",
        "A base is trained on the sources that have malware; devices train its head. A control"
        " without devices stands beside every result.",
    )
    group.add_argument(
        "--composition",
        type=_compositions,
        default=STUDY_DEFAULTS["composition"],
        metavar="NAME",
        help=f"which rows a device has: {', '.join(Composition)}, or several; default real",
    )
    group.add_argument(
        "--labelled",
        action="store_true",
        help="devices have labelled rows of both sorts and all sources; default: benign rows only",
    )
    group.add_argument(
        "--seeds",
        type=_whole(1, 100),
        default=STUDY_DEFAULTS["seeds"],
        metavar="N",
        help="repeat with N seeds, from --seed on; default 1",
    )
    group.add_argument(
        "--packages",
        type=Path,
        metavar="FILE.csv",
        help="which package each benign row belongs to, for the composition real",
    )
    group.add_argument(
        "--bases", type=Path, metavar="DIR", help="keep trained bases here, and use those found"
    )
    group.add_argument("--png", type=Path, metavar="FILE.png", help="draw the result")


def _compositions(text: str) -> tuple[Composition, ...]:
    try:
        return tuple(Composition(name) for name in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected some of {', '.join(Composition)}") from error


def _budgets(text: str) -> tuple[float | None, ...]:
    one = _number(0.01, 100)
    return tuple(None if part == "none" else one(part) for part in text.split(","))


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
