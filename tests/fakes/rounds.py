"""Identities of rounds for tests that plan one themselves."""

from agent.privacy.plan import RoundIdentity


def round_identity(**changes) -> RoundIdentity:
    """The first round on a task's first model, with seeds that are the same in every run."""
    return RoundIdentity(
        **{
            "round_id": 1,
            "model_version": 1,
            "model_digest": "ab" * 32,
            "opens_at": 0,
            "closes_at": 1,
            "rotation_seed": "5a" * 32,
            **changes,
        }
    )
