"""The models that a server stores, as the commands read them."""

from functools import partial

from agent.errors import OperatorActionError
from agent.protocol.jobs import ModelFiles
from server_stub.config.home import ServerHome
from server_stub.publishing import models
from server_stub.rounds.lifecycle import State
from server_stub.storage.records import Model
from server_stub.storage.store import Store


def files_of(home: ServerHome, model: Model) -> ModelFiles:
    """Return the files of a model of this server."""
    task = home.settings().task
    base = home.base_file.read_bytes() if task.base_sha256 else b""
    return ModelFiles(model.content, base, task.model, task.base_weight_milli)


def newest(store: Store) -> Model:
    """Return the newest model. Raises OperatorActionError NO_MODEL."""
    model = store.models.newest()
    if model is None:
        raise OperatorActionError(
            "NO_MODEL", "There is no model.", "Run `aegis-server model publish`."
        )
    return model


def better_version(home: ServerHome, store: Store) -> int | None:
    """Return the version that serves again because the newest model fails the canary on the
    operator's rows of today; None where it passes.

    Raises OperatorActionError NO_ROWS, BAD_ROWS, NO_BASE, PeerError MODEL_WRONG_SHAPE.
    """
    from server_stub.coordinator.canary_guard import CanaryGuard
    from server_stub.coordinator.reference import ReferenceReader

    task = home.settings().task
    known = ReferenceReader(home, task)()
    if known is None or not known.has_both_classes:
        raise OperatorActionError(
            "NO_ROWS",
            "There are no rows of the operator of both sorts to judge models on.",
            "Add them with `aegis-server rows add`.",
        )
    return CanaryGuard(store, partial(models.scoring_head, task=task)).replacement(known)


def refuse_in_a_round(store: Store) -> None:
    """Raise OperatorActionError ROUND_IN_PROGRESS where devices have paid for an open round."""
    newest = store.rounds.newest()
    if newest is None or newest.state is not State.OPEN or not newest.updates:
        return
    paid = "1 device has" if newest.updates == 1 else f"{newest.updates} devices have"
    raise OperatorActionError(
        "ROUND_IN_PROGRESS",
        f"Round {newest.round_id} is in progress, and {paid} paid for it from their privacy budget."
        " A new model ends it, and their updates are lost.",
        "Wait for its end (aegis-server rounds list), or add --end-round.",
    )
