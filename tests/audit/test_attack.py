"""A small audit: honest noise stays within its claim, half the noise is caught. The large one is
`make audit-privacy`.
"""

import numpy as np
import pytest

from agent.privacy.codec import encode_update
from agent.protocol.messages import Mode
from tests.audit import __main__ as command
from tests.audit.attack import Case, Entropy, audit, observed

DOUBT = 0.001
RUNS = 1500
LOCAL = Case(8.0, 4, Mode.LOCAL)
SUM = Case(8.0, 4, Mode.SECAGG, 4, 1)
LARGE_SUM = Case(8.0, 116, Mode.SECAGG, 20, 8)


@pytest.mark.parametrize("case", [LOCAL, SUM, LARGE_SUM], ids=["local", "sum", "large sum"])
def test_p5_p7_an_attack_stays_within_the_claim_and_half_the_noise_is_caught(case):
    honest = audit(case, RUNS, DOUBT, Entropy("honest"))
    assert honest.holds
    assert honest.epsilon_claimed <= case.epsilon
    faulty = audit(case, RUNS, DOUBT, Entropy("half"), noise_part=0.5)
    assert not faulty.holds
    assert faulty.rho_shown > faulty.rho_claimed == honest.rho_claimed


def test_the_attacker_sees_the_sum_of_the_others_and_noise_of_the_honest_only():
    case, runs = Case(8.0, 4, Mode.SECAGG, 5, 1), 4000
    config = case.config()
    assert (config.min_sum, config.colluders) == (5, 1)
    seen = observed(config, case, np.zeros(4), runs, Entropy("seen"))
    assert seen.var() == pytest.approx(4 * config.noise_var, rel=0.1)


def test_a_run_is_what_one_device_sends():
    case = Case(8.0, 4, Mode.LOCAL)
    config, vector = case.config(), np.array([0.5, 0.0, 0.0, 0.0])
    seen = observed(config, case, vector, 3, Entropy("a"))
    entropy = Entropy("a")
    sent = [encode_update(vector, config, entropy()) for _ in range(3)]
    assert [[value % 2**config.bits for value in row] for row in seen.tolist()] == [
        words.tolist() for words in sent
    ]


def test_the_command_writes_its_table_between_the_marks(tmp_path, monkeypatch, capsys):
    page = tmp_path / "PRIVACY.md"
    page.write_text(f"Before.\n\n{command.BEGIN}\nold\n{command.END}\n\nAfter.\n", "utf-8")
    monkeypatch.setattr(command, "CASES", [LOCAL])
    assert command.main(["--runs", "200", "--processes", "1"], page) == 0
    text = page.read_text("utf-8")
    assert (text.startswith("Before."), text.endswith("After.\n")) == (True, True)
    assert "\nold\n" not in text
    assert "| local | 1 | 0 | 4 | 7.96 |" in text
    assert text.split(command.BEGIN)[1].split(command.END)[0].strip() in capsys.readouterr().out


@pytest.mark.parametrize(("runs", "code"), [("3000", 0), ("40", 1)])
def test_half_the_noise_is_seen_with_enough_runs_and_changes_no_page(
    runs, code, tmp_path, monkeypatch, capsys
):
    page = tmp_path / "PRIVACY.md"
    monkeypatch.setattr(command, "CASES", [LOCAL])
    arguments = ["--half-noise", "--runs", runs, "--processes", "1"]
    assert command.main(arguments, page) == code
    assert not page.exists()
    assert ("half the noise was not seen" in capsys.readouterr().err) is bool(code)


def test_the_page_holds_the_table_of_every_case():
    table = command.PAGE.read_text("utf-8").split(command.BEGIN)[1].split(command.END)[0]
    rows = [line.split("|")[1:-1] for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) == len(command.CASES)
    for case, row in zip(command.CASES, rows, strict=True):
        mode, m, c, d, claimed, shown, claimed_rho, shown_rho, _ = (cell.strip() for cell in row)
        assert (mode, m, c, d) == (
            case.mode.value,
            str(case.survivors),
            str(case.colluders),
            str(case.d),
        )
        assert float(shown) <= float(claimed) <= case.epsilon
        assert float(shown_rho) <= float(claimed_rho)
