"""Ends a round of groups that is under way: its messages are of an earlier protocol (GroupSecAgg/1)
and could not be replayed.
"""

from alembic import op

revision = "0006"
down_revision = "0005"

_RUNNING = "state IN ('open', 'combining') AND json_extract(config, '$.mode') = 'secagg'"
_OF_RUNNING = f"round_id IN (SELECT round_id FROM rounds WHERE {_RUNNING})"  # noqa: S608  (constants)
_END = f"""UPDATE rounds SET state = 'abandoned', note = 'the aggregator was upgraded', updates = 0,
    closed_at = CAST(strftime('%s', 'now') AS INTEGER) WHERE {_RUNNING}"""  # noqa: S608  (constants)


def upgrade() -> None:
    op.execute(f"DELETE FROM messages WHERE {_OF_RUNNING}")  # noqa: S608  (constants)
    op.execute(f"UPDATE updates SET body = NULL WHERE {_OF_RUNNING}")  # noqa: S608  (constants)
    op.execute(_END)
