"""The commands with which an operator makes a detector: train, calibrate, evaluate, add rows."""

import sys
import time
from argparse import ArgumentTypeError, Namespace
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from agent.clock import SystemClock
from server_stub.cli import render
from server_stub.cli.parser import Answer, Argument, Command, argument
from server_stub.cli.stored_models import files_of, newest
from server_stub.cli.values import positive
from server_stub.config.home import ServerHome
from server_stub.storage.store import Store

DEVICES = 1000
FPR, UNSURE_FPR = 0.01, 0.05


def share(text: str) -> float:
    """Read a share between 0 and 1."""
    try:
        value = float(text)
    except ValueError as error:
        raise ArgumentTypeError(f"expected a share such as 0.01, got {text!r}") from error
    if not 0 < value < 1:
        raise ArgumentTypeError(f"expected a share between 0 and 1, got {text}")
    return value


def names(text: str) -> tuple[str, ...]:
    """Read names with commas between them."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _train(options: Namespace) -> Answer:
    from server_stub.cli import model_training
    from server_stub.cli.operator_table import read_table
    from server_stub.training.recipe import recipe_for

    started, recipe = time.monotonic(), recipe_for(options.devices)
    if options.rounds is not None:
        recipe = replace(recipe, head=replace(recipe.head, rounds=options.rounds))
    table = read_table(options.data).of_sources(options.sources)
    warnings = model_training.warnings_of(table)
    trained, rows, head = model_training.train(table, recipe, options.seed, _progress)
    report = model_training.report_of(table, recipe, options.seed, started, trained, head)
    report |= {"devices": options.devices, "warnings": warnings}
    model_training.write(options.out, trained, rows, head, report)
    return {**report, "folder": str(options.out)}


def _progress(step: str) -> None:
    sys.stderr.write(f"Training: {step}.\n")
    sys.stderr.flush()


def _calibrate(options: Namespace) -> Answer:
    from server_stub.cli.calibration import calibrate

    home = ServerHome(options.home)
    with closing(_store(home)) as store:
        return calibrate(home, store, options, SystemClock().now())


def _evaluate(options: Namespace) -> Answer:
    from server_stub.cli.evaluation import evaluate

    home = ServerHome(options.home)
    with closing(_store(home)) as store:
        model = newest(store)
    return evaluate(model, files_of(home, model), options.data, chart=options.chart)


def _rows_add(options: Namespace) -> Answer:
    from server_stub.cli.row_store import add_rows

    return add_rows(ServerHome(options.home), options.file)


def _rows_show(options: Namespace) -> Answer:
    from server_stub.cli.row_store import show_rows

    return show_rows(ServerHome(options.home))


def _store(home: ServerHome) -> Store:
    home.settings()
    return Store(home.database_url)


def _data(help_text: str) -> Argument:
    return argument("--data", type=Path, required=True, metavar="FILE.npz", help=help_text)


TABLE_HELP = "a table with X (n, 29) and y (n,) of 0 and 1; `split`, `source` where it has them"
EVALUATION = (
    _data(TABLE_HELP),
    argument("--chart", type=Path, metavar="FILE.png", help="draw the reliability curve"),
)

END_ROUND = argument(
    "--end-round",
    action="store_true",
    help="end a round in progress for it; the updates of devices that have paid are lost",
)

MODEL_COMMANDS = (
    Command(
        "model train",
        "train the base of a detector on labelled rows",
        _train,
        render.training_text,
        (
            _data(TABLE_HELP + ". Rows with split 1 are in the hold-out"),
            argument(
                "--out", type=Path, required=True, metavar="DIR", help="where the detector goes"
            ),
            argument(
                "--devices",
                type=positive,
                default=DEVICES,
                metavar="N",
                help=f"size of the fleet, which decides the recipe (default: {DEVICES})",
            ),
            argument(
                "--rounds",
                type=positive,
                metavar="R",
                help="rounds of a course (default: the recipe's)",
            ),
            argument(
                "--sources",
                type=names,
                default=(),
                metavar="A,B",
                help="train on rows of these sources only (default: all)",
            ),
            argument("--seed", type=int, default=0, metavar="N", help="seed of the training"),
        ),
    ),
    Command(
        "model calibrate",
        "set from which probabilities on files are unsure and malicious",
        _calibrate,
        render.calibration_text,
        (
            _data("the operator's mixed rows, which no model was trained on"),
            argument(
                "--fpr",
                type=share,
                default=FPR,
                metavar="P",
                help=f"share of benign files that may be called malicious (default: {FPR})",
            ),
            argument(
                "--unsure-fpr",
                type=share,
                default=UNSURE_FPR,
                metavar="P",
                help=f"share that may be called unsure or malicious (default: {UNSURE_FPR})",
            ),
            END_ROUND,
        ),
    ),
    Command(
        "model evaluate",
        "score the current model on labelled rows",
        _evaluate,
        render.evaluation_text,
        EVALUATION,
    ),
    Command(
        "evaluate", "the same as `model evaluate`", _evaluate, render.evaluation_text, EVALUATION
    ),
    Command(
        "rows add",
        "add labelled rows to the operator's own",
        _rows_add,
        render.pairs_text,
        (argument("file", type=Path, metavar="FILE.npz", help=TABLE_HELP),),
    ),
    Command("rows show", "count the operator's own rows", _rows_show, render.pairs_text),
)
