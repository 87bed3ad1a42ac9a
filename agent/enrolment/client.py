"""Belonging to an operator: the identity, made by the first pass after the yes, and the model that
the operator signs.

Registration is idempotent: the key is made once, and the server gives the same answer to the same
key and token, so a crash at any point is made good by the next pass.
"""

import hashlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agent.clock import Clock
from agent.config.effective import EffectiveConfig, Enrolment
from agent.consent.gate import Permit
from agent.errors import AegisError, PeerError, UserActionError
from agent.store.values import Values
from agent.transport.blocking import Blocking
from agent.transport.connections import ClientFactory

if TYPE_CHECKING:
    from agent.identity.identity import Identity, IdentityFile
    from agent.models.repository import ModelRepository
    from agent.models.store import ModelStore
    from agent.models.verify import VerifiedModel
    from agent.protocol.messages import Task
    from agent.transport.client import AggregatorClient
    from agent.transport.statements import Offer

log = logging.getLogger(__name__)

ISSUANCE_LOG = "issuance_log"
"""Value: the head of the authority's log when this device last looked."""


class EnrolmentClient:
    """Opens the connection of an enrolled device and fetches what comes signed over it."""

    def __init__(
        self,
        *,
        clock: Clock,
        effective: EffectiveConfig,
        values: Values,
        identity_file: "Callable[[], IdentityFile]",
        models: "Callable[[], ModelStore]",
        repository: "Callable[[str, AggregatorClient], ModelRepository]",
        client_factory: ClientFactory,
        blocking: Blocking,
        changed: Callable[[], None],
    ) -> None:
        """`repository` takes the root's SHA-256 and a client."""
        self._clock = clock
        self._effective = effective
        self._values = values
        self._identity_file = identity_file
        self._models = models
        self._repository = repository
        self._client_factory = client_factory
        self._blocking = blocking
        self._changed = changed

    def check_joined(self) -> None:
        """Raise UserActionError NOT_ENROLLED when no invitation was taken."""
        self._enrolment()

    async def connect(self, permit: Permit) -> "AggregatorClient":
        """A connection with this device's certificate; registers first when that was not done yet.
        The caller closes it.

        Raises UserActionError NOT_ENROLLED, PeerError ISSUANCE_LOG, and what keyring and server
        raise.
        """
        enrolment = self._enrolment()
        if not enrolment.is_registered:
            await self._register(permit, enrolment)
            enrolment = self._enrolment()
        permit.check()
        identity = await self._blocking(self._identity_file().load)
        permit.check()
        client = self._client_factory(
            enrolment.server, enrolment.ca_pem, enrolment.signing_key, identity
        )
        try:
            if await self._renewed(permit, enrolment, client, identity):
                client.close()
                identity = await self._blocking(self._identity_file().load)
                client = self._client_factory(
                    enrolment.server, enrolment.ca_pem, enrolment.signing_key, identity
                )
            await self._audit(permit, enrolment, client, identity)
            permit.check()
        except (
            BaseException
        ):  # cancelled, too: a request under way in its thread must not be followed by another
            client.close()
            raise
        return client

    async def update_model(self) -> bool:
        """Fetch a newer model for scanning without certificate or consent, over public signed
        paths; whether one came.

        Only for `models.update_without_consent`, and only where the invitation pins a repository.
        Raises what server and repository raise.
        """
        enrolment, store = self._enrolment(), self._models()
        if not enrolment.root_sha256:
            return False
        client = self._client_factory(
            enrolment.server, enrolment.ca_pem, enrolment.signing_key, None
        )
        try:
            repository = self._repository(enrolment.root_sha256, client)
            task = await self._blocking(repository.task)
            floor = store.floor()
            model = await self._blocking(lambda: repository.model(task, floor, floor.sha256))
        finally:
            client.close()
        self._effective.keep_task(task.to_json())
        if model is None:
            return False
        await self._blocking(lambda: store.install(model))
        self._changed()
        return True

    @property
    def task(self) -> "Task":
        """The task of the enrolment."""
        from agent.protocol.messages import Task

        return Task.from_json(self._enrolment().task)

    @property
    def ca_pem(self) -> str:
        """The pinned authority."""
        return self._enrolment().ca_pem

    def revoked(self, crl_pem: str) -> frozenset[int]:
        """Serial numbers of the certificates that the authority has taken back, from its signed
        list.

        Raises PeerError REVOCATIONS_BAD, REVOCATIONS_EXPIRED, REVOCATIONS_OLDER (than another that
        was seen).
        """
        from agent.protocol.revocations import read_revocations

        newest = int(self._values.get("revocations_seen") or 0)
        listed = read_revocations(crl_pem, self._enrolment().ca_pem, self._clock.now(), newest)
        if listed.number > newest:
            self._values.put("revocations_seen", listed.number)
        return listed.serials

    async def held_by_server(self, permit: Permit) -> dict[str, Any]:
        """All that the aggregator holds about this device.

        Raises UserActionError NOT_ENROLLED where nothing was ever registered.
        """
        if not self._enrolment().is_registered:
            raise UserActionError(
                "NOT_ENROLLED",
                "The server does not know this device yet.",
                "There is nothing to be had from it.",
            )
        client = await self.connect(permit)
        try:
            return await self._blocking(client.device)
        finally:
            client.close()

    def connect_as(self, identity: "Identity") -> "AggregatorClient":
        """A connection under an identity that is open already: for the `leave` of a round that it
        began. The caller closes it.
        """
        enrolment = self._enrolment()
        return self._client_factory(
            enrolment.server, enrolment.ca_pem, enrolment.signing_key, identity
        )

    async def model(
        self, permit: Permit, client: "AggregatorClient", named: "Offer", task: "Task"
    ) -> "tuple[VerifiedModel, int]":
        """The verified model that an offer names, and the bytes that came over the network for it
        (0 when it was here).
        """
        enrolment, store = self._enrolment(), self._models()
        held = await self._blocking(lambda: store.current(enrolment.signing_key, task))
        if held is not None and held.sha256 == named.model_digest:
            return held, 0
        permit.check()
        model = await self._blocking(lambda: self._fetch(enrolment, store, client, task))
        if (model.sha256, model.version) != (named.model_digest, named.model_version):
            raise PeerError(
                "MODEL_NOT_THE_ROUNDS",
                "The server sent another model than the round names.",
                "Nothing was sent. Tell the operator.",
            )
        await self._blocking(lambda: store.install(model))
        self._changed()
        return model, len(model.content)

    def _fetch(
        self, enrolment: Enrolment, store: "ModelStore", client: "AggregatorClient", task: "Task"
    ) -> "VerifiedModel":
        from agent.models.verify import verify_model

        no_model = PeerError(
            "BAD_ANSWER", "The server sent no model.", "AegisAI asks again by itself."
        )
        if enrolment.root_sha256:
            model = self._repository(enrolment.root_sha256, client).model(task, store.floor())
            if model is None:
                raise no_model
            return model
        came = client.model()
        if came is None:
            raise no_model
        return verify_model(
            came.metadata,
            came.signature,
            came.model,
            signing_key=enrolment.signing_key,
            task=task,
            floor=store.floor(),
        )

    async def _register(self, permit: Permit, enrolment: Enrolment) -> None:
        file = self._identity_file()
        permit.check()
        try:
            await self._blocking(file.create)
        except UserActionError as error:
            if error.code != "ALREADY_ENROLLED":
                raise
        csr_pem = await self._blocking(file.csr_pem)
        permit.check()
        client = self._client_factory(
            enrolment.server, enrolment.ca_pem, enrolment.signing_key, None
        )
        try:
            answer = await self._blocking(lambda: client.register(enrolment.token, csr_pem))
        finally:
            client.close()
        await self._blocking(
            lambda: file.set_certificate(
                answer.device_id,
                answer.certificate_pem,
                answer.ca_pem,
                answer.erase_secret,
                answer.signing_key,
            )
        )
        self._effective.registered(answer.task.to_json(), answer.signing_key)
        self._changed()

    async def _renewed(
        self, permit: Permit, enrolment: Enrolment, client: "AggregatorClient", identity: "Identity"
    ) -> bool:
        """Renew the certificate at two thirds of its life.

        A failure matters only once it has ended.
        """
        from agent.enrolment.renewal import renew, renewal_due

        now = self._clock.now()
        if not renewal_due(identity, now):
            return False
        permit.check()
        try:
            await self._blocking(lambda: renew(self._identity_file(), client, enrolment.ca_pem))
        except AegisError as error:
            if now >= identity.not_after:
                raise
            log.warning("certificate.renewal_failed code=%s", error.code)
            return False
        return True

    async def _audit(
        self, permit: Permit, enrolment: Enrolment, client: "AggregatorClient", identity: "Identity"
    ) -> None:
        """Look the authority over, once a day and for every new certificate.

        What cannot be fetched now is looked at the next time.
        """
        from agent.enrolment.log_audit import AUDIT_PERIOD_S, audit
        from agent.protocol.issuance import LogHead

        held, now = self._values.get(ISSUANCE_LOG) or {}, self._clock.now()
        authority = hashlib.sha256(enrolment.ca_pem.encode()).hexdigest()
        seen = LogHead(held["size"], held["root"]) if held.get("authority") == authority else None
        if (
            seen is not None
            and held["certificate"] == identity.fingerprint
            and 0 <= now - held["at"] < AUDIT_PERIOD_S
        ):
            return

        async def ask(request: Callable[[], dict[str, Any]]) -> dict[str, Any]:
            permit.check()
            return await self._blocking(request)

        try:
            head = await audit(ask, client, enrolment.ca_pem, identity.fingerprint, seen)
        except AegisError as error:
            if error.code == "ISSUANCE_LOG":
                raise
            permit.check()
            log.warning("issuance_log.not_checked code=%s", error.code)
            return
        noted = {
            "size": head.size,
            "root": head.root,
            "authority": authority,
            "certificate": identity.fingerprint,
            "at": now,
        }
        self._values.put(ISSUANCE_LOG, noted)

    def _enrolment(self) -> Enrolment:
        enrolment = self._effective.enrolment()
        if enrolment is None:
            raise UserActionError(
                "NOT_ENROLLED",
                "This device has not joined an operator.",
                "Paste an invitation: aegis enroll INVITATION.",
            )
        return enrolment
