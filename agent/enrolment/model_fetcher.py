"""Fetches the models that the operator signs: the one a round names, and newer ones for scanning.

Every model is verified before it is installed (P8): against the pinned repository if the invitation
names one, else against the operator's signing key.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from agent.config.effective import EffectiveConfig, Enrolment
from agent.consent.gate import Permit
from agent.errors import PeerError
from agent.models.store import ModelStore
from agent.protocol.limits import MAX_BASE_BYTES
from agent.transport.blocking import Blocking

if TYPE_CHECKING:
    from agent.models.repository import ModelRepository
    from agent.models.verify import VerifiedModel
    from agent.protocol.messages import Task
    from agent.transport.client import AggregatorClient
    from agent.transport.statements import Offer


class ModelFetcher:
    """Fetches verified models into the model store."""

    def __init__(
        self,
        effective: EffectiveConfig,
        models: ModelStore,
        repository: "Callable[[str, AggregatorClient], ModelRepository]",
        blocking: Blocking,
        changed: Callable[[], None],
    ) -> None:
        """`repository` takes the SHA-256 of the pinned root, and a client."""
        self._effective = effective
        self._models = models
        self._repository = repository
        self._blocking = blocking
        self._changed = changed

    async def model_of(
        self,
        permit: Permit,
        client: "AggregatorClient",
        enrolment: Enrolment,
        offer: "Offer",
        task: "Task",
    ) -> "tuple[VerifiedModel, int]":
        """Return the verified model that an offer names, and the bytes fetched for it.

        0 bytes: the model was already installed. A base is fetched once and kept by its digest.
        Raises PeerError MODEL_NOT_THE_ROUNDS, and what server and verification raise.
        """
        store = self._models
        current = await self._blocking(lambda: store.current(enrolment.signing_key, task))
        named = (offer.model_digest, offer.model_version)
        if current is not None and (current.sha256, current.version) == named:
            return current, 0
        permit.check()
        base = await self._blocking(lambda: self._base(enrolment.root_sha256, client, task))
        permit.check()
        model = await self._blocking(lambda: self._fetch(enrolment, store, client, task))
        if (model.sha256, model.version) != named:
            raise PeerError(
                "MODEL_NOT_THE_ROUNDS",
                "The server sent a model other than the one its round names.",
                "Nothing was sent. Tell the operator.",
            )
        await self._blocking(lambda: store.install(model))
        self._changed()
        return replace(model, base=base), len(model.content)

    async def update(self, client: "AggregatorClient", root_sha256: str) -> bool:
        """Install a newer model from the pinned repository; return whether there was one.

        Raises what server and repository raise.
        """
        store = self._models
        repository = self._repository(root_sha256, client)
        task = await self._blocking(repository.task)
        minimum = store.min_version()
        model = await self._blocking(lambda: repository.model(task, minimum, minimum.sha256))
        await self._blocking(lambda: self._base(root_sha256, client, task))
        self._effective.keep_task(task.to_json())
        if model is None:
            return False
        await self._blocking(lambda: store.install(model))
        self._changed()
        return True

    def _base(self, root_sha256: str, client: "AggregatorClient", task: "Task") -> bytes:
        """Return the task's base, from the store or from the server, which then keeps it.

        A task without a base has b"". Raises what server and verification raise.
        """
        from agent.models.verify import check_base

        known = self._models.base(task)
        if known is not None:
            return known
        if root_sha256:
            base = self._repository(root_sha256, client).base(task)
        else:
            # The signed task names its digest: nothing else is needed to trust it.
            fetched = client.public_file(base_path(task.base_sha256), MAX_BASE_BYTES)
            if fetched is None:
                raise _no_model()
            base = fetched
            check_base(base, task)
        self._models.keep_base(base, task)
        return base

    def _fetch(
        self, enrolment: Enrolment, store: ModelStore, client: "AggregatorClient", task: "Task"
    ) -> "VerifiedModel":
        from agent.models.verify import verify_model

        if enrolment.root_sha256:
            model = self._repository(enrolment.root_sha256, client).model(task, store.min_version())
            if model is None:
                raise _no_model()
            return model
        download = client.model()
        if download is None:
            raise _no_model()
        return verify_model(
            download.metadata,
            download.signature,
            download.model,
            signing_key=enrolment.signing_key,
            task=task,
            minimum=store.min_version(),
        )


def base_path(sha256: str) -> str:
    """Return where the server keeps the base of this digest, below /api/v1/."""
    return f"targets/{sha256}.base.safetensors"


def _no_model() -> PeerError:
    return PeerError(
        "BAD_ANSWER", "The server sent no model.", "AegisAI tries again automatically."
    )
