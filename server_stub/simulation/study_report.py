"""A study as JSON (docs/schemas/simulate-study.schema.json) and as text."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from agent.status import epsilon_in_words
from server_stub.simulation import figures
from server_stub.simulation.compositions import Composition
from server_stub.simulation.figures import KEPT, Spread, percent, spread
from server_stub.simulation.report import SPENDING
from server_stub.simulation.study import Run, Study
from server_stub.simulation.world import DELTA

WHY = {
    Composition.DISJOINT: (
        "Disjoint: a file is on one device only, so its pull is one device's clipped share. On"
        " people's computers common software is on many."
    ),
    Composition.IID: (
        "IID: rows of every source. What is rare in the table is rare on each device, and gets"
        " lost in the mean."
    ),
    Composition.DIRICHLET: "Dirichlet: as IID, with shares of malware that differ by device.",
    Composition.ONE_SOURCE: "One source: each device has rows of one source only.",
}
"""Why a composition gives less than `real`."""


def cells(study: Study) -> list[tuple[Composition, float | None, list[Run]]]:
    """Return the runs of each composition and ε, over the seeds."""
    return [
        (
            composition,
            budget,
            [run for run in study.runs if (run.composition, run.epsilon) == (composition, budget)],
        )
        for composition in study.plan.compositions
        for budget in study.plan.epsilons
    ]


def to_json(study: Study) -> dict[str, Any]:
    options, recipe = study.plan.options, study.plan.recipe
    return {
        "data": study.origin,
        "family": "base+head/1",
        "devices": options.devices,
        "rounds": options.rounds,
        "group": study.group,
        "floor": study.device_limits,
        "spending": SPENDING,
        "combine": "mean",
        "drop": options.drop,
        "attack": options.attack.value,
        "attackers": options.attackers if options.attack.value != "none" else 0.0,
        "labels": "labelled" if study.plan.is_labelled else "benign-only",
        "rows_per_device": round(study.rows_each, 1),
        "public_rows": study.public_rows,
        "holdout_rows": study.holdout_rows,
        "malware_kept": KEPT,
        "delta": DELTA,
        "recipe": {**asdict(recipe.head), "d": recipe.base.laplacian + recipe.base.gaussian + 1},
        "seeds": [base.seed for base in study.bases],
        "bases": [
            {"seed": base.seed, "sha256": base.digest, "seconds": round(base.seconds, 1)}
            for base in study.bases
        ],
        "base_alone": figures.to_json(spread([base.alone for base in study.bases])),
        "control": figures.to_json(spread([base.control for base in study.bases])),
        "results": [_cell(*cell) for cell in cells(study)],
        "seconds": round(study.seconds, 1),
    }


def _cell(composition: Composition, budget: float | None, runs: Sequence[Run]) -> dict[str, Any]:
    ledgers = [run.epsilon_ledger for run in runs if run.epsilon_ledger is not None]
    return {
        "composition": composition.value,
        "epsilon": budget,
        "private": budget is not None,
        "epsilon_ledger": max(ledgers, default=None),
        **figures.to_json(spread([run.judgement for run in runs])),
        "runs": [
            {
                "seed": run.seed,
                "auc": round(run.judgement.auc, 4),
                "tpr_at_fpr_1": round(run.judgement.tpr_at_fpr_1, 4),
                "fpr_of": {name: round(rate, 4) for name, rate in run.judgement.fpr_of.items()},
                "devices_in_last_sum": run.survivors,
                "seconds": round(run.seconds, 1),
            }
            for run in runs
        ],
    }


def text(study: Study) -> str:
    """The study for a terminal."""
    options, plan = study.plan.options, study.plan
    names = list(study.bases[0].control.fpr_of)
    who = "labelled rows of both sorts" if plan.is_labelled else "benign rows only"
    seeds = len(study.bases)
    rows = [
        ("base alone", "", spread([base.alone for base in study.bases])),
        ("control: no devices", "", spread([base.control for base in study.bases])),
        *(
            (
                composition.value,
                "none" if budget is None else epsilon_in_words(budget),
                spread([run.judgement for run in runs]),
            )
            for composition, budget, runs in cells(study)
        ),
    ]
    lines = [
        (
            f"{options.devices} devices with {study.rows_each:.0f} rows on average ({who}),"
            f" {options.rounds} rounds, groups of {study.group}; {study.public_rows:,} public rows"
            f" of {study.origin}; judged on {study.holdout_rows:,} rows that nobody was trained on."
        ),
        f"Device limits: {study.device_limits}. Mean ± standard deviation of {_seeds(seeds)}.",
        (
            f"False alarms by source in percent, at the threshold that keeps {100 * KEPT:.0f} % of"
            " the malware."
        ),
        "",
        _row("composition", "ε", ["AUC", *names, "TPR at FPR 1 %"]),
        *(_row(title, budget, _columns(found, names)) for title, budget, found in rows),
        "",
        "The control makes the same rounds with the public rows alone. What it reaches is the"
        " base's merit, not the fleet's.",
        *(WHY[one] for one in plan.compositions if one in WHY),
    ]
    if None in plan.epsilons:
        lines.append("ε = none is NOT PRIVATE: no noise, no groups. For comparison only.")
    if any(budget is not None for budget in plan.epsilons):
        lines.append(f"ε is a device's ledger's, δ = {DELTA:g}. Spending: {SPENDING}")
    return "\n".join(lines)


def _seeds(count: int) -> str:
    return "one seed" if count == 1 else f"{count} seeds"


def _columns(found: dict[str, Spread], names: Sequence[str]) -> list[str]:
    auc = found["auc"]
    quality = f"{auc.mean:.4f}" + (f" ± {auc.sd:.4f}" if auc.sd else "")
    return [
        quality,
        *(percent(found[f"fpr {name}"]) for name in names),
        percent(found["tpr_at_fpr_1"]),
    ]


def _row(title: str, budget: str, columns: Sequence[str]) -> str:
    first, *middle = columns
    cells_ = "".join(f"{column:>13}" for column in middle)
    return f"{title:<20}{budget:>6}{first:>17}{cells_}"
