"""The gate on coverage looks at each package by itself, and at branches too."""

import json

import pytest

from tests.shape import coverage


def file(statements, lines, branches=0, reached=0):
    summary = {
        "num_statements": statements,
        "covered_lines": lines,
        "num_branches": branches,
        "covered_branches": reached,
    }
    return {"summary": summary}


def test_lines_and_branches_of_a_packages_files_count_together():
    files = {
        "agent/privacy/a.py": file(8, 8, 2, 1),
        "agent/privacy/deep/b.py": file(10, 9),
        "agent/privacy_other/c.py": file(100, 0),
    }
    found = coverage.percentages({"files": files}, ["agent.privacy", "agent.none"])
    assert found == {"agent.privacy": pytest.approx(90), "agent.none": 0}


@pytest.mark.parametrize(("reached", "code"), [(90, 0), (89, 1)])
def test_one_package_below_the_gate_fails(tmp_path, monkeypatch, capsys, reached, code):
    monkeypatch.setattr(coverage, "ROOT", tmp_path)
    (tmp_path / "pyproject.toml").write_text(
        '[tool.coverage.run]\nsource_pkgs = ["agent.a", "agent.b"]\n'
    )
    files = {"agent/a/x.py": file(100, 100), "agent/b/x.py": file(100, reached)}
    (tmp_path / "report.json").write_text(json.dumps({"files": files}))
    assert coverage.main([str(tmp_path / "report.json")]) == code
    assert ("below 90 %" in capsys.readouterr().out) is bool(code)
