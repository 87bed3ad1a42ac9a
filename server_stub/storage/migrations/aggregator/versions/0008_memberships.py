"""Adds which devices were in which opened group."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "memberships",
        sa.Column("round_id", sa.Integer, sa.ForeignKey("rounds.round_id"), primary_key=True),
        sa.Column(
            "device_id",
            sa.Text,
            sa.ForeignKey("devices.device_id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("group_number", sa.Integer, nullable=False),
    )
