"""A real example before the decision: what would be read of a file and what would be sent, shown on
a bundled file labelled "example": a Windows program made for this, which returns at once.

Nothing of the person's is read and nothing is kept or sent: this is the one use of the training
jobs that needs no consent (P1).
"""

import os
import secrets
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.app import Agent

EXAMPLE = "example.bin"
DIMENSION = 116
"""115 columns of the transform fixed-v1 and a bias."""
ROUNDS_A_PERIOD = 10
"""The example update is noised as one of so many in a budget period."""


async def preview(agent: "Agent") -> dict[str, Any]:
    """The example's feature row and the bytes that an update made of it alone would send."""
    from agent.app import start_model
    from agent.detector.schema import FEATURE_NAMES, SCHEMA
    from agent.privacy.plan import plan_local
    from agent.privacy.zcdp import rho_for_epsilon
    from agent.protocol.envelope import decode
    from agent.protocol.jobs import Job, pack_rows
    from agent.protocol.messages import Mode, Task

    worker, model, budget = agent.worker(), start_model(), agent.effective.budget()
    with resources.as_file(resources.files("agent.detector").joinpath(EXAMPLE)) as path:
        row = (await worker.extract([os.fspath(path)])).rows[0]
    task = Task("example", SCHEMA, "logistic", DIMENSION, Mode.LOCAL, 20, 100, 1000, 1)
    config = plan_local(
        task, rho_units_per_round=rho_for_epsilon(budget.epsilon, budget.delta) // ROUNDS_A_PERIOD
    )
    scratch, key = agent.home.scratch / f"example-{secrets.token_hex(8)}", secrets.token_bytes(32)
    try:
        await worker.train(
            task,
            model.content,
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
            "path": os.fspath(agent.show_file("example.bin", body)),
        },
    }
