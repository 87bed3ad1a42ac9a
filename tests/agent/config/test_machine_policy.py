"""The machine's policy forbids and tightens, never consents, and forbids when it cannot be read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.machine_policy import MAX_POLICY_BYTES, Policy, load

FULL = """
contribute = false
reason = "Build server."

[settings]
"cpu.share_idle" = 25
"battery.rule" = "never"
"idle.only" = true

[enrolment]
invitation = "aegis1.abc.def"
"""


def read(tmp_path, content):
    path = tmp_path / "policy.toml"
    path.write_bytes(content.encode("latin-1") if isinstance(content, str) else content)
    return load(path)


def test_everything_that_a_policy_says_is_read(tmp_path):
    policy = read(tmp_path, FULL)
    assert (
        policy.denied
        == "Your organisation does not allow taking part on this computer. Build server."
    )
    assert policy.bounds == {"cpu.share_idle": 25, "battery.rule": "never", "idle.only": True}
    assert (policy.invitation, policy.origin) == ("aegis1.abc.def", "policy.toml")


def test_p3_a_policy_can_never_consent(tmp_path):
    for content in ("contribute = true", "", "[settings]"):
        assert read(tmp_path, content) == Policy(origin="policy.toml")
    assert set(vars(Policy())) == {"denied", "bounds", "invitation", "origin"}


def test_a_reason_without_a_ban_forbids_nothing_and_a_long_one_is_cut(tmp_path):
    assert read(tmp_path, 'reason = "Why not."').denied == ""
    assert len(read(tmp_path, f'contribute = false\nreason = "{"x" * 999}"').denied) < 300


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("contribute = ", "Invalid value"),
        ("contribute = 1", "true or false"),
        ('contribute = "no"', "true or false"),
        ("consent = true", "unknown entries ['consent']"),
        ("settings = 3", "expected tables"),
        ("enrolment = 3", "expected tables"),
        ("[enrolment]\ntoken = 'x'", "expected invitation only"),
        ('[settings]\n"cpu.share_idle" = 1000', "cpu.share_idle"),
        ('[settings]\n"no.such" = 1', "no.such"),
        ('[settings]\n"key_store" = "passphrase"', "key_store cannot be managed"),
        ("#" * (MAX_POLICY_BYTES + 1), "larger than"),
        ("\xff\xfe", "decode"),
    ],
)
def test_p3_a_policy_that_cannot_be_read_forbids_and_says_why(tmp_path, content, why):
    policy = read(tmp_path, content)
    assert policy.denied.startswith("The policy of this computer cannot be read (")
    assert why in policy.denied
    assert (policy.bounds, policy.invitation) == ({}, "")


@given(st.binary(max_size=120))
def test_p11_no_content_raises(tmp_path_factory, content):
    policy = read(tmp_path_factory.mktemp("policy"), content)
    assert policy.origin == "policy.toml"
    assert policy.denied or not policy.bounds


def test_a_missing_file_allows_and_an_unreadable_one_forbids(tmp_path):
    assert load(tmp_path / "none.toml") == Policy()
    (tmp_path / "folder.toml").mkdir()
    assert load(tmp_path / "folder.toml").denied


def test_the_largest_policy_is_still_read(tmp_path):
    assert read(tmp_path, FULL + "#" * (MAX_POLICY_BYTES - len(FULL))).bounds
