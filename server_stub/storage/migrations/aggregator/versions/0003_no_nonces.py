"""Drops the table of spent nonces: they live in memory, since none outlives its process."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.drop_table("spent_nonces")
