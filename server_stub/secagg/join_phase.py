"""The join window of a round of secure aggregation: who advertises, and the groups drawn at its
end. Sans-IO.
"""

import datetime

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.errors import PeerError
from agent.protocol import codec
from agent.protocol.draw import Draw
from agent.protocol.exchange_proof import is_usable
from agent.protocol.identities import Authority, verify_signature
from agent.protocol.messages import RoundConfig
from agent.protocol.witness import DrawRequest, Witnessed, draw_request
from server_stub.secagg.draw import draw_groups, leaves_of
from server_stub.secagg.drawn_group import DrawnGroup
from server_stub.secagg.group import GroupRound
from server_stub.secagg.message_log import MessageLog
from server_stub.secagg.refusals import round_closed

ADVERTISE = "advertise"
NO_WITNESS = Witnessed()


class JoinPhase:
    """Takes advertisements until `close` draws the groups."""

    def __init__(
        self, config: RoundConfig, ca_pem: str, now: int, revoked: frozenset[int] = frozenset()
    ) -> None:
        """`now`: the time at which certificates must be valid, in seconds since the epoch;
        `revoked`: serial numbers that are not accepted.
        """
        self._config = config
        self._ca_pem, self._valid_at = ca_pem, now
        self._authority = Authority(
            ca_pem, datetime.datetime.fromtimestamp(now, datetime.UTC), revoked
        )
        self._context = codec.round_context(config)
        self._log = MessageLog()
        self._advertised: dict[str, codec.Advertisement] = {}
        self._keys: dict[str, EllipticCurvePublicKey] = {}
        self._used: dict[str, frozenset[bytes]] = {}
        """Every key of the devices that advertised."""
        self._groups: list[GroupRound] | None = None
        self.left_out: tuple[str, ...] = ()
        """Devices that advertised and are in no group; known after `close`."""

    @property
    def size(self) -> int:
        return len(self._advertised)

    @property
    def devices(self) -> frozenset[str]:
        return frozenset(self._advertised)

    def advertise(self, device_id: str, body: bytes) -> None:
        """Take a device's keys for this round.

        Raises PeerError, with codes of the module `group`, and ROSTER_CERTIFICATE, ROSTER_REVOKED,
        ROSTER_SIGNATURE, ROSTER_KEY, ROSTER_DUPLICATE.
        """
        if self._log.is_repeat(ADVERTISE, device_id, body):
            return
        if self._groups is not None:
            raise round_closed("The join window of this round is over.")
        advertisement = codec.decode_advertisement(body, self._context)
        key = self._authority.key_of(advertisement.certificate, advertisement.device_id)
        # `device_id` is the request's: a device cannot advertise for another one, not even with
        # that one's signed message.
        if advertisement.device_id != device_id or not verify_signature(
            key, advertisement.signature, advertisement.statement(self._context)
        ):
            raise PeerError(
                "ROSTER_SIGNATURE",
                "The keys are not signed by this device for this round.",
                "Nothing was changed.",
            )
        self._require_new_keys(advertisement, key)
        self._log.record(ADVERTISE, device_id, body)
        self._advertised[device_id] = advertisement
        self._keys[device_id] = key

    def leave(self, device_id: str, body: bytes) -> None:
        """Take a device's `leave`. Raises PeerError BAD_MESSAGE, WRONG_CONTEXT."""
        codec.decode_leave(body, self._context)
        self.drop(device_id)

    def drop(self, device_id: str) -> None:
        """Forget a device: it left, or it was revoked or erased."""
        self._log.remove(ADVERTISE, device_id)
        self._advertised.pop(device_id, None)
        self._keys.pop(device_id, None)
        self._used.pop(device_id, None)

    @property
    def draw_request(self) -> DrawRequest | None:
        """What the round's witness is asked to sign; None without a witness or a group."""
        if not self._config.witness or self.size < self._config.min_group:
            return None
        draw = Draw(leaves_of(self._advertised))
        return draw_request(self._config, self._context, draw)

    def close(self, now: int, witnessed: Witnessed = NO_WITNESS) -> list[GroupRound]:
        """End the window and draw the groups; the same groups again when called twice.

        There are none where the round has a witness and it signed nothing.
        """
        # Groups that were handed out hold messages: drawing again would lose them.
        if self._groups is None:
            if self._config.witness and not witnessed.seed:
                self.left_out, self._groups = tuple(sorted(self._advertised)), []
                return self._groups
            drawn = draw_groups(self._config, self._advertised, witnessed)
            self.left_out = drawn.left_out
            self._groups = [self._group(roster, now) for roster in drawn.rosters]
        return self._groups

    def _group(self, roster: codec.Roster, now: int) -> GroupRound:
        keys = tuple(self._keys[member.device_id] for member in roster.members)
        drawn = DrawnGroup(self._config, roster, keys, self._ca_pem, self._valid_at)
        return GroupRound(drawn, now)

    def _require_new_keys(
        self, advertisement: codec.Advertisement, certified: EllipticCurvePublicKey
    ) -> None:
        """Refuse what every member would refuse to be in a group with: all of them would leave.

        That is a key that makes no secret, and one key under two names, which would let one device
        count as two.
        """
        exchanged = (advertisement.sealing_key, advertisement.masking_key)
        if not all(map(is_usable, exchanged)):
            raise PeerError("ROSTER_KEY", "These keys are not usable.", "Nothing was changed.")
        keys = {*exchanged, _point(certified)}
        if len(keys) < 3 or any(keys & others for others in self._used.values()):
            raise PeerError(
                "ROSTER_DUPLICATE",
                "These keys are already advertised in this round.",
                "Nothing was changed.",
            )
        self._used[advertisement.device_id] = frozenset(keys)


def _point(key: EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
