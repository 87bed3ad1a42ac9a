"""Opens a simulated group by running the protocol itself: real keys, certificates, masks and
shares, and every message of the devices and the aggregator.
"""

import os
import time
from collections.abc import Sequence

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from agent.privacy.policy import DeviceLimits
from agent.protocol import envelope
from agent.protocol.messages import RoundConfig
from agent.protocol.packing import pack
from agent.protocol.states import GroupState
from agent.secagg.client import SecaggClient
from server_stub.ca import certificates
from server_stub.secagg.join_phase import JoinPhase
from server_stub.simulation.groups import BEFORE, PHASES, Outcome, Words


class Authority:
    """Issues certificates to the devices of a simulation."""

    def __init__(self) -> None:
        self.now = int(time.time())
        self._key = certificates.new_key()
        self._certificate = certificates.authority_certificate(self._key, "Simulation", self.now)
        self.pem = certificates.pem(self._certificate)

    def device(self, config: RoundConfig, limits: DeviceLimits, number: int) -> SecaggClient:
        """The protocol machine of a device, with a fresh identity."""
        key, device_id = certificates.new_key(), f"urn:uuid:00000000-0000-4000-8000-{number:012d}"
        certificate = certificates.device_certificate(
            self._certificate, self._key, key.public_key(), device_id, self.now
        )

        def sign(message: bytes) -> bytes:
            r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")

        pem = certificates.pem(certificate)
        return SecaggClient(
            config, device_id, pem, self.pem, sign, limits=limits, entropy=os.urandom, now=self.now
        )


def open_with_machines(
    authority: Authority,
    limits: DeviceLimits,
    config: RoundConfig,
    words: Sequence[Words],
    silent: Sequence[str],
) -> Outcome:
    """The same as `open_directly`, message by message through the machines of the devices and the
    aggregator.
    """
    join, clients, up, down = JoinPhase(config, authority.pem, authority.now), {}, 0, 0
    for place in range(len(words)):
        client = authority.device(config, limits, place)
        device_id = f"urn:uuid:00000000-0000-4000-8000-{place:012d}"
        clients[place] = (device_id, client)
        body = client.advertise()
        up += len(body)
        join.advertise(device_id, body)
    # The caller has drawn the group: `words` never has more devices than one group may.
    (group,) = join.close(0)
    charged: list[int] = []
    dropped: set[int] = set()
    answered = dict.fromkeys(PHASES, 0)
    for phase in PHASES:
        dropped |= {place for place, when in enumerate(silent) if when == phase}
        for place, (device_id, client) in clients.items():
            if place in dropped:
                continue
            received = group.inbox(BEFORE[phase], device_id)
            assert received is not None  # noqa: S101  (the phase before has ended)
            body = _message(client, phase, received, config, words[place])
            # A device charges its ledger before it sends, and the charge stays whatever follows.
            if phase == "masked":
                charged.append(place)
            group.receive(phase, device_id, body)
            answered[phase] += 1
            up, down = up + len(body), down + len(received)
        # Silent devices are not waited for: the clock jumps to the end of the phase.
        if not group.advance(0):
            group.advance(group.deadline)
        if group.state is GroupState.ABORTED:
            break
    traffic = (up / len(words), down / len(words))
    if group.result is None:
        return Outcome(tuple(charged), (), None, answered, *traffic)
    survivors = tuple(
        place for place, (device_id, _) in clients.items() if device_id in group.result.devices
    )
    return Outcome(tuple(charged), survivors, group.result.words, answered, *traffic)


def _message(
    client: SecaggClient, phase: str, received: bytes, config: RoundConfig, words: Words
) -> bytes:
    if phase == "masked":
        client.accept_shares(received)
        header = {
            "kind": "sealed-words",
            "task_id": config.task_id,
            "round_id": config.round_id,
            "config_digest": config.digest,
        }
        sealed = envelope.encode(
            {**header, "attempt": os.urandom(16).hex(), "d": config.d, "bits": config.bits},
            pack(words, config.bits),
        )
        return client.mask(sealed)
    return {"shares": client.shares, "consistency": client.consistency, "unmask": client.unmask}[
        phase
    ](received)
