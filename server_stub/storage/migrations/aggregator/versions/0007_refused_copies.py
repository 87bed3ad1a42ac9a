"""Adds how often a copy of a device was refused, and when last."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column(
        "ledger_heads",
        sa.Column("copies_refused", sa.Integer, nullable=False, server_default="0"),
    )
    op.add_column("ledger_heads", sa.Column("copy_refused_at", sa.BigInteger))
