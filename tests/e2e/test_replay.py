"""A captured request is useless to whoever captured it."""

from tests.e2e import replay


def test_no_replay_is_accepted_and_a_retry_gets_the_stored_response(tmp_path):
    report = replay.replay(tmp_path)
    assert [(name, status, code) for name, status, code, _ in report["replays"]] == [
        ("byte for byte", 400, "NONCE_SPENT"),
        ("another body", 401, "BAD_REQUEST_SIGNATURE"),
        ("another target", 401, "BAD_REQUEST_SIGNATURE"),
        ("another query", 401, "BAD_REQUEST_SIGNATURE"),
        ("another method", 401, "BAD_REQUEST_SIGNATURE"),
        ("an invented nonce", 401, "BAD_REQUEST_SIGNATURE"),
        ("without signature", 401, "BAD_REQUEST_SIGNATURE"),
    ]
    assert all(unchanged for *_, unchanged in report["replays"])
    assert report["same_response"]
