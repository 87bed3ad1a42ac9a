"""Tasks and round configurations, as both ends exchange them: frozen values with a strict JSON
form.

1. They hold integers, strings and hex only, so their digest (agent.protocol.canonical) is the same
   everywhere. A rational is a pair of integers.
2. Unknown and missing fields are errors: an end cannot enforce a field that it does not know.
"""

from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from fractions import Fraction
from functools import cached_property
from typing import Any, ClassVar, Self

from agent.errors import PeerError
from agent.protocol import canonical
from agent.protocol.limits import MAX_DIMENSION, MAX_GROUP, MAX_HEAD

MAX_TIME = 2**37
"""Seconds since the epoch: far away (the year 6325), and small enough for every calendar."""
MAX_PEER_DAYS = 90


MAX_SIGNING_AUTHORITIES = 16


class Mode(StrEnum):
    """How updates are protected in transit."""

    LOCAL = "local"
    """Full noise on the device, one upload, no peers."""
    SECAGG = "secagg"
    """Distributed noise and masks: only a group's sum can be read."""


class TrainingRows(StrEnum):
    """Which rows a device trains on."""

    ALL = "all"
    """Benign and malicious ones: each device needs labelled rows."""
    BENIGN = "benign"
    """The benign ones only; the operator's own rows stand for malware."""


_ENUMS: dict[Any, type[StrEnum]] = {Mode: Mode, TrainingRows: TrainingRows}


class _Message:
    """Strict JSON form for a frozen dataclass of int, str and StrEnum fields."""

    _left_out: ClassVar[tuple[str, ...]] = ()
    """Fields that the JSON form has all together or not at all, the first one as a text."""
    _optional: ClassVar[frozenset[str]] = frozenset()
    """Fields that the JSON form has only where they are not 0."""

    def to_json(self) -> dict[str, Any]:
        value: dict[str, Any] = asdict(self)  # type: ignore[call-overload]
        for name in self._optional:
            if not value[name]:
                del value[name]
        if self._left_out and not value[self._left_out[0]]:
            return {key: item for key, item in value.items() if key not in self._left_out}
        return value

    @classmethod
    def _is_short(cls, value: dict[str, Any]) -> bool:
        """Whether this JSON form leaves the fields out that it may leave out."""
        return bool(cls._left_out) and cls._left_out[0] not in value

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read the JSON form.

        Raises PeerError BAD_MESSAGE for unknown, missing, mistyped or out-of-range fields.
        """
        name = cls.__name__
        if not isinstance(value, dict):
            raise _bad(name, "expected an object")
        kinds = {field.name: field.type for field in fields(cls)}  # type: ignore[arg-type]
        if cls._is_short(value):
            kinds = {key: kind for key, kind in kinds.items() if key not in cls._left_out}
        for key in cls._optional - set(value):
            del kinds[key]
        if set(value) != set(kinds):
            raise _bad(name, f"fields differ: {sorted(set(value) ^ set(kinds))}")
        for key, kind in kinds.items():
            expected = int if kind is int else str
            if not isinstance(value[key], expected) or isinstance(value[key], bool):
                raise _bad(name, f"{key}: expected {expected.__name__}")
        try:
            message = cls(
                **{
                    key: _ENUMS[kinds[key]](item) if kinds[key] in _ENUMS else item
                    for key, item in value.items()
                }
            )
            message.check()  # type: ignore[attr-defined]
        except ValueError as error:
            raise _bad(name, str(error)) from error
        return message

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON form, hex. Cached: a round reads it hundreds of times."""
        return canonical.digest(self.to_json())


@dataclass(frozen=True)
class Task(_Message):
    """What is learned, and how a device trains. Fixed for the life of the task."""

    task_id: str
    schema: str
    """The feature schema and transform, e.g. "pehdr29/fixed-v1"."""
    model: str
    """The model family: "logistic/1" or "base+head/1" (agent.detector.families). Tasks made before
    there were families say "logistic"."""
    d: int
    """Trainable parameters."""
    mode: Mode
    train_steps: int
    """Local full-batch steps."""
    train_rate_milli: int
    """Step size in thousandths."""
    clip_milli: int
    """L2 clipping norm C of an update, in thousandths."""
    min_rows: int
    """A device with fewer rows does not take part."""
    weight_cap: int = 0
    """Weighted averaging (agent.privacy.weights): a device with at least this many rows has the
    full weight. 0: every device has the same weight."""
    witness: str = ""
    """Who witnesses the draw of groups: "authority" (agent.protocol.witness) or, without a
    witness, ""."""
    base_sha256: str = ""
    """SHA-256 of the base that the operator trained and signed, hex; "" for a family without one.
    The fields from here on are in the JSON form only where there is a base."""
    rows: TrainingRows = TrainingRows.ALL
    """Which of its rows a device trains on."""
    rounds: int = 0
    """Rounds of a course. The last one publishes the mean of the heads of its second half."""
    mean_weight_milli: int = 0
    """λ: weight of the devices' mean gradient beside the operator's own rows, in thousandths."""
    base_weight_milli: int = 0
    """α: weight of the base's logit in the verdict, in thousandths."""
    peer_days: int = 0
    """A device shares a group only with devices that the authority's log shows as enrolled so many
    days before (agent.protocol.peer_enrolment). 0: with any certified device; then it is not in
    the JSON form."""
    signing_authorities: str = ""
    """SHA-256 (hex, in order, one blank between) of the certificates of authorities under which a
    signed program counts as benign, on devices whose owner switched that on. "": none; then it is
    not in the JSON form."""

    _left_out: ClassVar[tuple[str, ...]] = (
        "base_sha256",
        "rows",
        "rounds",
        "mean_weight_milli",
        "base_weight_milli",
    )
    _optional = frozenset({"peer_days", "signing_authorities"})

    @property
    def width(self) -> int:
        """Coordinates of an update in transit: the parameters, and the weight if there is one."""
        return self.d + bool(self.weight_cap)

    @property
    def needs_public_rows(self) -> bool:
        """Whether the server cannot learn from the devices' updates alone."""
        return self.rows is TrainingRows.BENIGN

    def check(self) -> None:
        """Raise ValueError where a value is outside its range."""
        _within("d", self.d, 1, MAX_DIMENSION)
        _within("train_steps", self.train_steps, 1, 1000)
        _within("train_rate_milli", self.train_rate_milli, 1, 1_000_000)
        _within("clip_milli", self.clip_milli, 1, 1_000_000)
        _within("min_rows", self.min_rows, 1, 1_000_000)
        _within("weight_cap", self.weight_cap, 0, 1_000_000)
        _witness(self.witness)
        _within("peer_days", self.peer_days, 0, MAX_PEER_DAYS)
        if self.base_sha256 or self.rounds:
            _hex("base_sha256", self.base_sha256)
            _within("d", self.d, 1, MAX_HEAD)
            _within("rounds", self.rounds, 1, 10_000)
            _within("mean_weight_milli", self.mean_weight_milli, 0, 1_000_000)
            _within("base_weight_milli", self.base_weight_milli, 0, 10_000)
        _authorities(self.signing_authorities)


@dataclass(frozen=True)
class RoundConfig(_Message):
    """Everything that determines the sealed updates of one round.

    Fixed before the round opens. Every message carries its digest.
    """

    protocol: str
    """"LocalUpdate/1" or "GroupSecAgg/2"."""
    task_id: str
    round_id: int
    """Strictly increasing within a task."""
    mode: Mode
    model_version: int
    model_digest: str
    d: int
    """Coordinates of an update: the task's `width`."""
    d_padded: int
    """Length of the rotated vector: d rounded up to whole blocks of a power of two, at most 2¹¹."""
    bits: int
    """Modulus 2^bits of the packed words: 16, 20, 24 or 32."""
    clip_num: int
    clip_den: int
    """Clipping norm C = clip_num / clip_den."""
    grid_num: int
    grid_den: int
    """Grid step γ = grid_num / grid_den: one integer unit in parameter space."""
    sensitivity_sq: int
    """D²: bound on the squared L2 norm of a quantised update, in units²."""
    noise_var: int
    """s²: variance, in units², of the noise that each device adds."""
    g_max: int
    """Most devices in a group (1 in local mode)."""
    min_group: int
    min_sum: int
    """m: fewest inputs whose sum may be opened."""
    colluders: int
    """c: number of colluding devices that the noise accounts for."""
    rotation_seed: str
    """32 bytes, hex."""
    subset_seed: str
    """32 bytes, hex; "" when every coordinate is sent."""
    subset_k: int
    """Coordinates kept by rand-k sub-sampling; 0 when every coordinate is sent."""
    opens_at: int
    closes_at: int
    """Seconds since the epoch. An update must arrive between the two."""
    phase_s: int
    """Length of each interactive phase in seconds (0 in local mode)."""
    witness: str = ""
    """The task's."""

    @property
    def clip(self) -> Fraction:
        return Fraction(self.clip_num, self.clip_den)

    @property
    def grid(self) -> Fraction:
        return Fraction(self.grid_num, self.grid_den)

    def check(self) -> None:
        """Raise ValueError where a value is outside its range.

        Whether this device accepts the values is agent.privacy.policy's decision.
        """
        _within("round_id", self.round_id, 1, 2**53)
        _within("model_version", self.model_version, 0, 2**53)
        _within("d", self.d, 1, MAX_DIMENSION)
        _within("d_padded", self.d_padded, 1, 2 * MAX_DIMENSION)
        if self.bits not in (16, 20, 24, 32):
            raise ValueError(f"bits: expected 16, 20, 24 or 32, got {self.bits}")
        for name in ("clip_num", "clip_den", "grid_num", "grid_den", "sensitivity_sq", "noise_var"):
            _within(name, getattr(self, name), 1, 2**80)
        _within("g_max", self.g_max, 1, MAX_GROUP)
        _within("min_group", self.min_group, 1, self.g_max)
        # So every group that forms can be opened. With c < m it follows that t ≤ n for each of
        # them (agent.protocol.codec.threshold).
        _within("min_sum", self.min_sum, 1, self.min_group)
        _within("colluders", self.colluders, 0, self.min_sum - 1)
        _within("subset_k", self.subset_k, 0, self.d_padded)
        _within("phase_s", self.phase_s, 0, 3600)
        _hex("model_digest", self.model_digest)
        _hex("rotation_seed", self.rotation_seed)
        if self.subset_k or self.subset_seed:
            _hex("subset_seed", self.subset_seed)
        _witness(self.witness)
        _within("opens_at", self.opens_at, 0, MAX_TIME)
        _within("closes_at", self.closes_at, self.opens_at + 1, MAX_TIME)


def _within(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name}: expected {low} to {high}, got {value}")


def _authorities(listed: str) -> None:
    if not listed:
        return
    digests = listed.split(" ")
    if (
        len(digests) > MAX_SIGNING_AUTHORITIES
        or sorted(set(digests)) != digests
        or any(len(one) != 64 or set(one) - set("0123456789abcdef") for one in digests)
    ):
        raise ValueError("signing_authorities: expected sorted SHA-256 digests")


def _witness(value: str) -> None:
    if value not in ("", "authority"):
        raise ValueError("witness: expected nothing or authority")


def _hex(name: str, value: str) -> None:
    if len(value) != 64 or set(value) - set("0123456789abcdef"):
        raise ValueError(f"{name}: expected 32 bytes in hex")


def _bad(name: str, detail: str) -> PeerError:
    return PeerError(
        "BAD_MESSAGE", f"A {name} message could not be read.", "Nothing was changed.", detail
    )
