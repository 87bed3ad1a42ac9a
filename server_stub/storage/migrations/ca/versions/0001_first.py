"""Creates the authority's tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "tokens",
        sa.Column("token_hash", sa.Text, primary_key=True),
        sa.Column("uses", sa.Integer, nullable=False),
        sa.Column("used", sa.Integer, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "enrolments",
        sa.Column("device_id", sa.Text, primary_key=True),
        sa.Column("token_hash", sa.Text, sa.ForeignKey("tokens.token_hash"), nullable=False),
        sa.Column("public_key_hash", sa.Text, nullable=False, index=True),
        sa.Column("ended_at", sa.BigInteger),
    )
    op.create_table(
        "certificates",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("fingerprint", sa.Text, nullable=False, unique=True),
        sa.Column(
            "device_id", sa.Text, sa.ForeignKey("enrolments.device_id"), nullable=False, index=True
        ),
        sa.Column("public_key", sa.LargeBinary, nullable=False, index=True),
        sa.Column("serial", sa.Text, nullable=False),
        sa.Column("not_after", sa.BigInteger, nullable=False),
        sa.Column("pem", sa.Text, nullable=False),
    )
    op.create_table(
        "revoked",
        sa.Column("serial", sa.Text, primary_key=True),
        sa.Column("revoked_at", sa.BigInteger, nullable=False),
        sa.Column("not_after", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "log",
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("entry", sa.LargeBinary, nullable=False),
        sa.Column("leaf", sa.LargeBinary, nullable=False),
        sa.Column("certificate", sa.Text, index=True),
    )
