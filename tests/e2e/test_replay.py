from tests.e2e import replay


def test_a_captured_request_is_worth_nothing_and_a_retry_gets_the_stored_answer(tmp_path):
    report = replay.replay(tmp_path)
    assert [(name, status, code) for name, status, code, _ in report["tries"]] == [
        ("byte for byte", 400, "NONCE_SPENT"),
        ("another body", 401, "BAD_REQUEST_SIGNATURE"),
        ("another target", 401, "BAD_REQUEST_SIGNATURE"),
        ("another query", 401, "BAD_REQUEST_SIGNATURE"),
        ("another method", 401, "BAD_REQUEST_SIGNATURE"),
        ("a nonce that was made up", 401, "BAD_REQUEST_SIGNATURE"),
        ("without signature", 401, "BAD_REQUEST_SIGNATURE"),
    ]
    assert all(unchanged for *_, unchanged in report["tries"])
    assert report["same_answer"]
