"""Spent nonces are no longer kept here: none outlives the process that made it."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.drop_table("spent_nonces")
