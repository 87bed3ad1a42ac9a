"""Describes the aggregator's tables. The migrations create them; a test compares the two."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

METADATA = MetaData()


def _device_id(**options: Any) -> Column[str]:
    """The column that names a row's device. The row is deleted with the device."""
    key = ForeignKey("devices.device_id", ondelete="CASCADE")
    return Column("device_id", Text, key, **options)


DEVICES = Table(
    "devices",
    METADATA,
    Column("device_id", Text, primary_key=True),
    Column("enrolled_at", BigInteger, nullable=False),
    Column("erase_hash", Text, nullable=False),
    Column("revoked_at", BigInteger),
)
CERTIFICATES = Table(
    "certificates",
    METADATA,
    Column("fingerprint", Text, primary_key=True),
    _device_id(nullable=False, index=True),
    Column("public_key", LargeBinary, nullable=False),
    Column("not_before", BigInteger, nullable=False),
    Column("not_after", BigInteger, nullable=False),
)
LEDGER_HEADS = Table(
    "ledger_heads",
    METADATA,
    _device_id(primary_key=True),
    Column("count", BigInteger, nullable=False),
    Column("head", Text, nullable=False),
    Column("session", Text, nullable=False),
    Column("reserved_until", BigInteger, nullable=False),
    Column("copies_refused", Integer, nullable=False, server_default="0"),
    Column("copy_refused_at", BigInteger),
)
ROUNDS = Table(
    "rounds",
    METADATA,
    Column("round_id", Integer, primary_key=True),
    Column("state", Text, nullable=False),
    Column("config", Text, nullable=False),
    Column("config_digest", Text, nullable=False),
    Column("target", Integer, nullable=False),
    Column("closed_at", BigInteger),
    Column("updates", Integer),
    Column("model_version", Integer),
    Column("note", Text, nullable=False, default=""),
    Column("record", Text),
)
MESSAGES = Table(
    "messages",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("round_id", Integer, ForeignKey("rounds.round_id"), nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("device_id", Text, nullable=False),
    Column("group_number", Integer, nullable=False),
    Column("body", LargeBinary),
)
UPDATES = Table(
    "updates",
    METADATA,
    Column("round_id", Integer, ForeignKey("rounds.round_id"), primary_key=True),
    Column("device_id", Text, primary_key=True),
    Column("body_sha256", Text, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("receipt", Text, nullable=False),
    Column("body", LargeBinary),
)
Index("updates_by_device", UPDATES.c.device_id)
MEMBERSHIPS = Table(
    "memberships",
    METADATA,
    Column("round_id", Integer, ForeignKey("rounds.round_id"), primary_key=True),
    _device_id(primary_key=True),
    Column("group_number", Integer, nullable=False),
)
MODELS = Table(
    "models",
    METADATA,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("sha256", Text, nullable=False),
    Column("published_at", BigInteger, nullable=False),
    Column("demonstration", Integer, nullable=False),
    Column("origin", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
)
PROOFS = Table(
    "proofs",
    METADATA,
    _device_id(primary_key=True),
    Column("round_id", Integer, primary_key=True),
    Column("code", Text, nullable=False),
    Column("found_at", BigInteger, nullable=False),
    Column("rounds", Integer, nullable=False),
    Column("released_at", BigInteger),
    Column("evidence", Text, nullable=False),
)
