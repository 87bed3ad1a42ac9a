"""Adds proofs of devices' faults, each with the exclusion that follows from it."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "proofs",
        sa.Column(
            "device_id",
            sa.Text,
            sa.ForeignKey("devices.device_id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("round_id", sa.Integer, primary_key=True),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("found_at", sa.BigInteger, nullable=False),
        sa.Column("rounds", sa.Integer, nullable=False),
        sa.Column("released_at", sa.BigInteger),
        sa.Column("evidence", sa.Text, nullable=False),
    )
