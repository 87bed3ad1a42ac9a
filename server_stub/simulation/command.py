"""`aegis simulate`: many devices in one process through the real codec, ledger and, in small
fleets, the protocol's machines.

Devices are dealt the rows of a table; a round draws groups of equal size anew (a server's own draw
makes sizes differ). Nothing is started, sent or kept.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from agent.privacy.policy import DeviceLimits, check_config
from agent.privacy.zcdp import epsilon, rho_local_units, sent_words
from agent.protocol import envelope
from agent.protocol.messages import RoundConfig
from agent.protocol.packing import pack, packed_bytes
from agent.protocol.states import GroupState
from agent.secagg.client import SecaggClient
from server_stub.ca import certificates
from server_stub.secagg.join_phase import JoinPhase
from server_stub.simulation import data
from server_stub.simulation.attacks import Attack
from server_stub.simulation.groups import BEFORE, PHASES, Opened, Outcome, Words, opened_directly
from server_stub.simulation.report import Report, Round, text
from server_stub.simulation.training import RECIPES, Fleet, Inputs, judge
from server_stub.simulation.unprotected import PlainWorld
from server_stub.simulation.world import ANY, DELTA, Options, World, planned

MACHINES_UP_TO = 64
"""Devices up to which every message is really made, unless asked otherwise."""
ROWS_AT_MOST = 10_000
"""On a device."""
Progress = Callable[[Round], None]


def command(words: list[str]) -> int:
    """Run `aegis simulate`. 0 done; raises AegisError, or SystemExit 2 for a wrong command line."""
    parser = _parser()
    parsed = parser.parse_args(words)
    if parsed.top_k and not parsed.plain:
        parser.error("--top-k goes with --plain")
    if parsed.plain and (parsed.machines or parsed.coordinates):
        parser.error("--plain has neither machines nor --coordinates")
    options = Options(
        **{name: value for name, value in vars(parsed).items() if name not in ("json", "home")}
    )
    report = run(options, partial(_progress, options.rounds))
    print(json.dumps(report.to_json()) if parsed.json else text(report))  # noqa: T201
    return 0


def run(options: Options, progress: Progress = lambda _: None) -> Report:
    """Hold all rounds.

    Raises UserActionError BAD_TABLE, TOO_FEW_ROWS, PRICE_TOO_HIGH; OperatorActionError
    PRICE_TOO_LOW, GROUP_PLAN.
    """
    started, draw, recipe = (
        time.monotonic(),
        np.random.default_rng(options.seed),
        RECIPES[options.family],
    )
    table = data.from_file(options.data, options.seed)
    shares = data.deal(table, options.devices, ROWS_AT_MOST, options.seed)
    rows, labels = (
        (table.holdout, table.holdout_labels)
        if options.holdout is None
        else data.rows_of(options.holdout)
    )
    config, limits, task = planned(options, recipe)
    check_config(config, task, limits)
    attacking = np.zeros(options.devices, bool)
    if options.attack is not Attack.NONE:
        attacking[
            draw.permutation(options.devices)[: round(options.attackers * options.devices)]
        ] = True
    fleet = Fleet(shares, recipe, attacking & (options.attack is Attack.LABEL_FLIP))
    machines = not options.plain and (
        options.machines if options.machines is not None else options.devices <= MACHINES_UP_TO
    )
    opened: Opened = (
        partial(opened_by_machines, Authority(), limits) if machines else opened_directly
    )
    made = PlainWorld if options.plain else World
    world = made(options, fleet, attacking, config, draw, opened)
    judged = Inputs(rows, recipe)
    before, lines = judge(world.weights, judged, labels), []
    for number in range(1, options.rounds + 1):
        line = world.hold(number, lambda: judge(world.weights, judged, labels))
        lines.append(line)
        progress(line)
    up, down = np.mean(world.traffic, axis=0) if world.traffic else (None, None)
    return Report(
        origin=table.origin,
        rows=fleet.rows_each,
        holdout=(
            f"{len(labels)} rows that no device had"
            if options.holdout is None
            else options.holdout.name
        ),
        family=recipe.family,
        devices=options.devices,
        group=config.g_max,
        min_sum=config.min_sum,
        colluders=config.colluders,
        floor=(
            "product"
            if not limits.are_for_tests
            else f"test floor: groups of {limits.min_group}, sums of {limits.min_sum}"
        ),
        machines=machines,
        private=not options.plain,
        drop=options.drop,
        drop_phase=options.drop_phase,
        attack=options.attack.value,
        attackers=int(attacking.sum()),
        budget=options.epsilon,
        delta=DELTA,
        epsilon_ledger=max(
            epsilon(sum(units for _, units in charges), DELTA) for charges in world.charges
        ),
        epsilon_central=epsilon(world.central_units, DELTA),
        epsilon_local=max(
            epsilon(rho_local_units(config) * len(charges), DELTA) for charges in world.charges
        ),
        noise_units=config.noise_var**0.5,
        bits=config.bits,
        coordinates=sent_words(config),
        vector_bytes=(
            round(up or 0) if options.plain else packed_bytes(sent_words(config), config.bits)
        ),
        bytes_up=None if options.plain else up,
        bytes_down=None if options.plain else down,
        before=before,
        majority=float(max(np.mean(labels), 1 - np.mean(labels))),
        rounds=tuple(lines),
        seconds=time.monotonic() - started,
    )


def _progress(rounds: int, line: Round) -> None:
    quality = f"AUC {line.metrics.auc:.4f}, accuracy {line.metrics.accuracy:.4f}"
    print(  # noqa: T201
        f"round {line.number} of {rounds}: {line.opened} of {line.groups} groups opened,"
        f" {line.survivors} devices in the sum, {quality}",
        file=sys.stderr,
    )


class Authority:
    """Certificates for devices of a simulation."""

    def __init__(self) -> None:
        self.now = int(time.time())
        self._key = certificates.new_key()
        self._certificate = certificates.authority_certificate(self._key, "Simulation", self.now)
        self.pem = certificates.pem(self._certificate)

    def device(self, config: RoundConfig, limits: DeviceLimits, number: int) -> SecaggClient:
        """A device's machine with a fresh identity."""
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


def opened_by_machines(
    authority: Authority,
    limits: DeviceLimits,
    config: RoundConfig,
    words: Sequence[Words],
    silent: Sequence[str],
) -> Outcome:
    """The same as `opened_directly`, through the devices' and the aggregator's machines, message by
    message.
    """
    join, clients, up, down = JoinPhase(config, authority.pem, authority.now), {}, 0, 0
    for place in range(len(words)):
        client = authority.device(config, limits, place)
        device_id = f"urn:uuid:00000000-0000-4000-8000-{place:012d}"
        clients[place] = (device_id, client)
        body = client.advertise()
        up += len(body)
        join.advertise(device_id, body)
    (group,) = join.close(0)
    charged: list[int] = []
    gone: set[int] = set()
    answered = dict.fromkeys(PHASES, 0)
    for phase in PHASES:
        gone |= {place for place, when in enumerate(silent) if when == phase}
        for place, (device_id, client) in clients.items():
            if place in gone:
                continue
            heard = group.inbox(BEFORE[phase], device_id)
            assert heard is not None  # noqa: S101  (the phase before has ended)
            body = _said(client, phase, heard, config, words[place])
            if phase == "masked":
                charged.append(place)
            group.receive(phase, device_id, body)
            answered[phase] += 1
            up, down = up + len(body), down + len(heard)
        if not group.advance(0):
            group.advance(group.deadline)
        if group.state is GroupState.ABORTED:
            break
    spread = (up / len(words), down / len(words))
    if group.result is None:
        return Outcome(tuple(charged), (), None, answered, *spread)
    survivors = tuple(
        place for place, (device_id, _) in clients.items() if device_id in group.result.devices
    )
    return Outcome(tuple(charged), survivors, group.result.words, answered, *spread)


def _said(
    client: SecaggClient, phase: str, heard: bytes, config: RoundConfig, words: Words
) -> bytes:
    if phase == "masked":
        client.accept_shares(heard)
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
    ](heard)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aegis simulate",
        description=(__doc__ or "").split("\n\n")[0],
        allow_abbrev=False,
    )
    parser.add_argument(
        "--devices", type=_whole(3, 100_000), default=1000, metavar="N", help="default 1000"
    )
    parser.add_argument(
        "--rounds",
        type=_whole(1, 1000),
        default=20,
        metavar="R",
        help="share the budget equally; default 20",
    )
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="FILE.npz",
        help="X (n, 29) and y (n; 1 = malicious); split 1 is held out",
    )
    parser.add_argument(
        "--holdout", type=Path, metavar="FILE.npz", help="judge on all rows of this table instead"
    )
    parser.add_argument(
        "--epsilon",
        type=_number(0.01, 100),
        default=1.0,
        metavar="E",
        help="a device's budget over all rounds; default 1",
    )
    parser.add_argument(
        "--group",
        type=_whole(3, 1024),
        default=100,
        metavar="G",
        help="devices in a group; default 100",
    )
    parser.add_argument(
        "--drop",
        type=_number(0, 0.9),
        default=0.0,
        metavar="P",
        help="chance that a device falls silent in a round",
    )
    parser.add_argument(
        "--drop-phase",
        choices=[*PHASES, ANY],
        default=ANY,
        help="... from this phase of the protocol on; default any",
    )
    parser.add_argument(
        "--attack",
        type=Attack,
        choices=list(Attack),
        default=Attack.NONE,
        metavar="NAME",
        help=", ".join(Attack),
    )
    parser.add_argument(
        "--attackers",
        type=_number(0, 1),
        default=0.1,
        metavar="F",
        help="share of the devices that attack; default 0.1",
    )
    parser.add_argument(
        "--model",
        dest="family",
        choices=sorted(RECIPES),
        default="fourier",
        help="what is trained; default fourier",
    )
    parser.add_argument(
        "--machines",
        action=argparse.BooleanOptionalAction,
        help=(
            "make every message, mask and share, or only the protocol's arithmetic; default: up to"
            f" {MACHINES_UP_TO} devices"
        ),
    )
    parser.add_argument(
        "--coordinates",
        type=_whole(1, 2**20),
        metavar="K",
        help="each device sends K coordinates, drawn anew for each round; default all",
    )
    parser.add_argument(
        "--plain",
        action="store_true",
        help="NOT PRIVATE, for comparison: no noise, no groups, compressed updates in the clear",
    )
    parser.add_argument(
        "--top-k",
        type=_whole(1, 2**20),
        metavar="K",
        help="with --plain: the K largest coordinates; default a twentieth",
    )
    parser.add_argument(
        "--seed",
        type=_whole(0, 2**32),
        default=0,
        metavar="S",
        help="of dealing, groups and drop-out (never of noise)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--home", help=argparse.SUPPRESS)
    return parser


def _whole(low: int, high: int) -> Callable[[str], int]:
    def whole_number(given: str) -> int:
        value = int(given)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"expected {low} to {high}")
        return value

    return whole_number


def _number(low: float, high: float) -> Callable[[str], float]:
    def number(given: str) -> float:
        value = float(given)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"expected {low} to {high}")
        return value

    return number
