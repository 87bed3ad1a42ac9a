"""Creates the aggregator's tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "devices",
        sa.Column("device_id", sa.Text, primary_key=True),
        sa.Column("enrolled_at", sa.BigInteger, nullable=False),
        sa.Column("erase_hash", sa.Text, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
    )
    op.create_table(
        "certificates",
        sa.Column("fingerprint", sa.Text, primary_key=True),
        sa.Column(
            "device_id",
            sa.Text,
            sa.ForeignKey("devices.device_id", ondelete="CASCADE"),
            nullable=False,
            index=True,
        ),
        sa.Column("public_key", sa.LargeBinary, nullable=False),
        sa.Column("not_before", sa.BigInteger, nullable=False),
        sa.Column("not_after", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "rounds",
        sa.Column("round_id", sa.Integer, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("config", sa.Text, nullable=False),
        sa.Column("config_digest", sa.Text, nullable=False),
        sa.Column("target", sa.Integer, nullable=False),
        sa.Column("closed_at", sa.BigInteger),
        sa.Column("updates", sa.Integer),
        sa.Column("model_version", sa.Integer),
        sa.Column("note", sa.Text, nullable=False),
    )
    op.create_table(
        "updates",
        sa.Column("round_id", sa.Integer, sa.ForeignKey("rounds.round_id"), primary_key=True),
        sa.Column("device_id", sa.Text, primary_key=True),
        sa.Column("body_sha256", sa.Text, nullable=False),
        sa.Column("bytes", sa.Integer, nullable=False),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.Column("receipt", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary),
    )
    op.create_index("updates_by_device", "updates", ["device_id"])
    op.create_table(
        "models",
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("published_at", sa.BigInteger, nullable=False),
        sa.Column("demonstration", sa.Integer, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "spent_nonces",
        sa.Column("nonce", sa.Text, primary_key=True),
        sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
    )
