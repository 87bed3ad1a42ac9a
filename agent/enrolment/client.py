"""Connects to the operator's server as the enrolled device, which it registers first if needed.

The first cycle after the consent makes the identity. Registration is idempotent: the key is made
once, and the server gives the same registration to the same key and token, so the next cycle
completes what a crash interrupted.
"""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agent.clock import Clock
from agent.config.effective import EffectiveConfig, Enrolment
from agent.consent.gate import Permit
from agent.enrolment.group_audit import GroupAuditor
from agent.enrolment.log_audit import LogAuditor
from agent.enrolment.model_fetcher import ModelFetcher
from agent.enrolment.renewal import renew, renewal_due
from agent.errors import AegisError, UserActionError
from agent.store.values import Values
from agent.transport.blocking import Blocking
from agent.transport.connections import ClientFactory
from agent.transport.server_clock import NOTICEABLE_S, ServerClock, clock_wrong

if TYPE_CHECKING:
    from agent.identity.identity import Identity, IdentityFile
    from agent.models.verify import VerifiedModel
    from agent.protocol.messages import Task
    from agent.transport.client import AggregatorClient
    from agent.transport.statements import Offer

log = logging.getLogger(__name__)

NEWEST_REVOCATIONS = "revocations_seen"
"""Key in the store: the number of the newest list of revoked certificates seen."""


class EnrolmentClient:
    """Connects as the enrolled device, and knows what the enrolment settled."""

    def __init__(
        self,
        *,
        clock: Clock,
        server_clock: ServerClock,
        effective: EffectiveConfig,
        values: Values,
        identity_file: "Callable[[], IdentityFile]",
        model_fetcher: ModelFetcher,
        log_auditor: LogAuditor,
        client_factory: ClientFactory,
        blocking: Blocking,
        changed: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._server_clock = server_clock
        self._validity = 0, 0
        """First and last second of the certificate of the last connection."""
        self._effective = effective
        self._values = values
        self._identity_file = identity_file
        self._model_fetcher = model_fetcher
        self._log_auditor = log_auditor
        self._client_factory = client_factory
        self._blocking = blocking
        self._changed = changed

    # What the enrolment settles.

    def check_joined(self) -> None:
        """Raise UserActionError NOT_ENROLLED when this device has taken no invitation."""
        self._enrolment()

    @property
    def task(self) -> "Task":
        """The task of the enrolment."""
        from agent.protocol.messages import Task

        return Task.from_json(self._enrolment().task)

    @property
    def ca_pem(self) -> str:
        """The certificate of the pinned authority."""
        return self._enrolment().ca_pem

    def revoked(self, crl_pem: str, server_now: int) -> frozenset[int]:
        """Return the serial numbers of revoked certificates, from the authority's signed list.

        `server_now`: the server's time, in seconds since the epoch.

        Raises PeerError REVOCATIONS_BAD, REVOCATIONS_EXPIRED, REVOCATIONS_OLDER (than a list seen
        before).
        """
        from agent.protocol.revocations import read_revocations

        newest = int(self._values.get(NEWEST_REVOCATIONS, int) or 0)
        ca_pem, now = self._enrolment().ca_pem, self._clock.now()
        listed = read_revocations(crl_pem, ca_pem, now, newest, server_now)
        if listed.number > newest:
            self._values.put(NEWEST_REVOCATIONS, listed.number)
        return listed.serials

    @property
    def group_auditor(self) -> GroupAuditor:
        """Checks rosters against the authority's log, as far as the task asks for it."""
        return GroupAuditor(
            self._clock, self._log_auditor, self._blocking, self.ca_pem, self.task.peer_days
        )

    # Connections.

    async def connect(self, permit: Permit) -> "AggregatorClient":
        """Return a connection with this device's certificate; register first if needed.

        The caller closes it.

        Raises UserActionError NOT_ENROLLED, PeerError ISSUANCE_LOG, and what key store and server
        raise.
        """
        enrolment = self._enrolment()
        if not enrolment.is_registered:
            await self._register(permit, enrolment)
            enrolment = self._enrolment()
        permit.check()
        identity = await self._blocking(self._identity_file().load)
        permit.check()
        await self._ask_time(permit, enrolment, identity)
        client = self._client(enrolment, identity)
        try:
            if await self._renewed(permit, enrolment, client, identity):
                client.close()
                identity = await self._blocking(self._identity_file().load)
                client = self._client(enrolment, identity)
            await self._log_auditor.audit(permit, client, enrolment.ca_pem, identity.fingerprint)
            permit.check()
        except BaseException:  # cancellation too: no request may follow the one under way
            client.close()
            raise
        return client

    async def _ask_time(self, permit: Permit, enrolment: Enrolment, identity: "Identity") -> None:
        """Ask the server's time before a renewal, or where this computer's clock is before the
        certificate: that clock may be wrong, and the server judges by its own.

        Raises UserActionError CLOCK_WRONG.
        """
        now = self._clock.now()
        self._validity = identity.not_before, identity.not_after
        if self._server_clock.now() is None and (
            now < identity.not_before or renewal_due(identity, now)
        ):
            permit.check()
            await self._note_time(enrolment)

    @property
    def knows_time(self) -> bool:
        """Whether an answer of the server to this process has stated its time."""
        return self._server_clock.now() is not None

    def note_time(self, seconds: int) -> None:
        """Remember the time that the server has just signed. Raises UserActionError CLOCK_WRONG."""
        self._server_clock.note(seconds)
        self._server_clock.check()

    async def explained(self, error: AegisError) -> AegisError:
        """Return CLOCK_WRONG in place of an error that this computer's clock explains.

        Where the server refuses the certificate, and its time is not known yet, it is asked.
        """
        enrolment = self._effective.enrolment()
        if error.code not in ("REJECTED_IDENTITY", "CERTIFICATE_EXPIRED") or enrolment is None:
            return self._server_clock.explained(error)
        try:
            await self._note_time(enrolment)
        except UserActionError as wrong:
            return wrong
        offset, (first, last) = self._server_clock.offset_s() or 0, self._validity
        is_valid = first <= self._server_clock.now_or_local() < last
        return error if is_valid or abs(offset) < NOTICEABLE_S else clock_wrong(offset, error.code)

    async def _note_time(self, enrolment: Enrolment) -> None:
        """Ask the server's time, without a certificate. Raises UserActionError CLOCK_WRONG."""
        client = self._client(enrolment, None)
        try:
            await self._blocking(client.ask_time)
        except AegisError as error:
            if error.code == "CLOCK_WRONG":
                raise
            log.info("server_time.unknown code=%s", error.code)
        finally:
            client.close()

    def connect_as(self, identity: "Identity") -> "AggregatorClient":
        """Return a connection under an identity that is already open. The caller closes it.

        For the `leave` of a round: it is signed by the identity that joined.
        """
        return self._client(self._enrolment(), identity)

    async def server_data(self, permit: Permit) -> dict[str, Any]:
        """Return everything that the aggregator stores about this device.

        Raises UserActionError NOT_ENROLLED if it was never registered.
        """
        if not self._enrolment().is_registered:
            raise UserActionError(
                "NOT_ENROLLED",
                "The server does not know this device yet.",
                "The server has nothing to export.",
            )
        client = await self.connect(permit)
        try:
            return await self._blocking(client.device)
        finally:
            client.close()

    # Models.

    async def model(
        self, permit: Permit, client: "AggregatorClient", offer: "Offer", task: "Task"
    ) -> "tuple[VerifiedModel, int]":
        """Return the verified model that an offer names, and the bytes fetched for it.

        0 bytes: the model was already installed. Raises what `ModelFetcher.model_of` raises.
        """
        return await self._model_fetcher.model_of(permit, client, self._enrolment(), offer, task)

    async def update_model(self) -> bool:
        """Fetch a newer model for scanning over public signed paths; return whether there was one.

        Needs neither certificate nor consent. Only for `models.update_without_consent`, and only
        where the invitation pins a repository. Raises what server and repository raise.
        """
        enrolment = self._enrolment()
        if not enrolment.root_sha256:
            return False
        client = self._client(enrolment, None)
        try:
            return await self._model_fetcher.update(client, enrolment.root_sha256)
        except AegisError as error:
            raise self._server_clock.explained(error) from error
        finally:
            client.close()

    def _client(self, enrolment: Enrolment, identity: "Identity | None") -> "AggregatorClient":
        return self._client_factory(
            enrolment.server, enrolment.ca_pem, enrolment.signing_key, identity
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
        client = self._client(enrolment, None)
        try:
            registration = await self._blocking(lambda: client.register(enrolment.token, csr_pem))
        finally:
            client.close()
        await self._blocking(
            lambda: file.set_certificate(
                registration.device_id,
                registration.certificate_pem,
                registration.ca_pem,
                registration.erase_secret,
                registration.signing_key,
            )
        )
        self._effective.registered(registration.task.to_json(), registration.signing_key)
        self._changed()

    async def _renewed(
        self, permit: Permit, enrolment: Enrolment, client: "AggregatorClient", identity: "Identity"
    ) -> bool:
        """Renew the certificate if two thirds of its life are over; return whether it was renewed.

        A failure is raised only once the certificate has expired.
        """
        now = self._server_clock.now_or_local()
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

    def _enrolment(self) -> Enrolment:
        enrolment = self._effective.enrolment()
        if enrolment is None:
            raise UserActionError(
                "NOT_ENROLLED",
                "This device has not joined an operator.",
                "Paste an invitation: aegis enroll INVITATION.",
            )
        return enrolment
