"""What becomes of the policy, as status and doctor show it."""

import pytest

from agent.config.machine_policy import read
from agent.reports.policy import is_faulty, policy_checks, policy_view
from tests.fakes.device import Device

CONTENT = b'[settings]\n"budget.epsilon" = 5\n"cpu.share_idle" = 20\n"no.such" = 1\n'


@pytest.fixture
def device(tmp_path):
    device = Device(tmp_path)
    yield device
    device.close()


def test_without_a_policy_there_is_nothing_to_show(device):
    effective = device.agent.effective
    assert policy_view(effective) is None
    (check,) = policy_checks(effective.policy(), effective.policy_lines())
    assert (check.ok, check.value) == (True, "none")


def test_every_line_is_shown_with_its_verdict(device, tmp_path):
    (tmp_path / "policy.toml").write_bytes(CONTENT)
    view = policy_view(device.agent.effective)
    assert [line.verdict for line in view.lines] == ["looser", "applied", "unknown"]
    assert "no.such" in view.denied


@pytest.mark.parametrize(
    ("content", "faulty"),
    [
        (b"", False),
        (b"contribute = false", False),
        (b'[settings]\n"cpu.share_idle" = 20', False),
        (b'[settings]\n"budget.epsilon" = 5', True),
        (CONTENT, True),
        (b"contribute = ", True),
    ],
)
def test_a_policy_is_faulty_unless_every_line_counts(device, content, faulty):
    policy = read(content, "policy.toml")
    lines = device.agent.effective.policy_lines(policy)
    assert is_faulty(policy, lines) is faulty
    assert all(check.remedy or check.ok for check in policy_checks(policy, lines))
