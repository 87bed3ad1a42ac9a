"""Shows before the decision what would be read from a file, and what would be sent.

It uses a bundled file labelled "example", a Windows program made for this purpose that exits at
once. It reads nothing of the person's, and stores and sends nothing; so this is the only use of the
training jobs that needs no consent (P1).
"""

import os
import secrets
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.reports.viewing_copies import ViewingCopies

if TYPE_CHECKING:
    from agent.privacy.budget import Budget
    from agent.supervisor.worker import Worker

EXAMPLE = "example.bin"
DIMENSION = 116
"""115 columns of the transform fixed-v1 and a bias."""
ROUNDS_PER_PERIOD = 10
"""The example update carries the noise of a round that gets 1/10 of a period's budget."""


async def preview(
    worker: "Worker", budget: "Budget", scratch_folder: Path, copies: ViewingCopies
) -> dict[str, Any]:
    """Return the example's feature row and the update that it alone would lead to."""
    from agent.detector.schema import FEATURE_NAMES, SCHEMA
    from agent.models.bundled import bundled_model
    from agent.privacy.plan import RoundIdentity, plan_local
    from agent.privacy.zcdp import rho_for_epsilon
    from agent.protocol.envelope import decode
    from agent.protocol.jobs import Job, pack_rows
    from agent.protocol.messages import Mode, Task

    model = bundled_model()
    with resources.as_file(resources.files("agent.detector").joinpath(EXAMPLE)) as path:
        row = (await worker.extract([os.fspath(path)])).rows[0]
    task = Task("example", SCHEMA, "logistic", DIMENSION, Mode.LOCAL, 20, 100, 1000, 1)
    identity = RoundIdentity(
        round_id=1,
        model_version=model.version,
        model_digest=model.sha256,
        opens_at=0,
        closes_at=1,
        rotation_seed=secrets.token_hex(32),
    )
    config = plan_local(
        task,
        identity,
        rho_units_per_round=rho_for_epsilon(budget.epsilon, budget.delta) // ROUNDS_PER_PERIOD,
    )
    scratch, key = scratch_folder / f"example-{secrets.token_hex(8)}", secrets.token_bytes(32)
    try:
        await worker.train(
            task,
            model.files,
            pack_rows([row.features]),
            b"\0",
            os.fspath(scratch),
            key,
            job=Job.EXAMPLE,
        )
        body = await worker.seal(config, os.fspath(scratch), key, secrets.token_hex(16))
    finally:
        scratch.unlink(missing_ok=True)
    return {
        "label": "example",
        "features": dict(zip(FEATURE_NAMES, row.features, strict=True)),
        "update": {
            "bytes": len(body),
            "header": decode(body).header,
            "path": os.fspath(copies.write("example.bin", body)),
        },
    }
