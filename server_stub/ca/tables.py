"""Describes the authority's tables. The migrations create them; a test compares the two."""

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, LargeBinary, MetaData, Table, Text

METADATA = MetaData()

TOKENS = Table(
    "tokens",
    METADATA,
    Column("token_hash", Text, primary_key=True),
    Column("uses", Integer, nullable=False),
    Column("used", Integer, nullable=False, default=0),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)
ENROLMENTS = Table(
    "enrolments",
    METADATA,
    Column("device_id", Text, primary_key=True),
    Column("token_hash", Text, ForeignKey("tokens.token_hash"), nullable=False),
    Column("public_key_hash", Text, nullable=False, index=True),
    Column("ended_at", BigInteger),
)
CERTIFICATES = Table(
    "certificates",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("fingerprint", Text, nullable=False, unique=True),
    Column("device_id", Text, ForeignKey("enrolments.device_id"), nullable=False, index=True),
    Column("public_key", LargeBinary, nullable=False, index=True),
    Column("serial", Text, nullable=False),
    Column("not_after", BigInteger, nullable=False),
    Column("pem", Text, nullable=False),
)
REVOKED = Table(
    "revoked",
    METADATA,
    Column("serial", Text, primary_key=True),
    Column("revoked_at", BigInteger, nullable=False),
    Column("not_after", BigInteger, nullable=False),
)
LOG = Table(
    "log",
    METADATA,
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("entry", LargeBinary, nullable=False),
    Column("leaf", LargeBinary, nullable=False),
    Column("certificate", Text, index=True),
)
DRAWS = Table(
    "draws",
    METADATA,
    Column("task_id", Text, primary_key=True),
    Column("round_id", BigInteger, primary_key=True, autoincrement=False),
    Column("statement", LargeBinary, nullable=False),
    Column("seed", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
)
"""The draw that the authority witnessed for each round. Never changed, never deleted."""
