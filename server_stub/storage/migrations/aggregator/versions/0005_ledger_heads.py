"""Adds the newest head of each device's ledger."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "ledger_heads",
        sa.Column(
            "device_id",
            sa.Text,
            sa.ForeignKey("devices.device_id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("head", sa.Text, nullable=False),
        sa.Column("session", sa.Text, nullable=False),
        sa.Column("reserved_until", sa.BigInteger, nullable=False),
    )
