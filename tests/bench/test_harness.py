"""Benchmarks are found, run, written and recorded; what this machine lacks is left out."""

import json
import os
import platform
import socket
import sys
from pathlib import Path

import pytest

from tests.bench import history, process
from tests.bench.__main__ import main
from tests.bench.harness import Benchmark, CannotMeasure, Figure, bench, write


def test_a_pair_is_the_value_and_the_reference_of_the_declared_key():
    @bench("codec.encode_ms", unit="ms", reference_name="np.add")
    def encode():
        return 2.0, 4.0

    assert list(encode.benchmark.figures()) == [Figure("codec.encode_ms", 2.0, "ms", 4.0, "np.add")]


def test_a_generator_gives_several_figures():
    several = Benchmark(
        ("a.x", "a.y"), "", "", lambda: iter([("a.x", 1.0, "s", None, ""), Figure("a.y", 2.0, "s")])
    )
    assert [figure.key for figure in several.figures()] == ["a.x", "a.y"]
    assert several.matches("y")
    assert not several.matches("z")


def test_the_file_of_results_has_exactly_the_documented_fields(tmp_path):
    write(
        [Figure("a", 3.0, "s", 2.0, "peer"), Figure("b", 1.0, "s")],
        tmp_path / "build" / "bench.json",
    )
    rows = json.loads((tmp_path / "build" / "bench.json").read_text())
    assert rows[0] == {
        "key": "a",
        "value": 3.0,
        "unit": "s",
        "reference": 2.0,
        "reference_name": "peer",
        "ratio": 1.5,
    }
    assert rows[1]["ratio"] is None


def test_the_use_of_a_process_is_read_from_the_kernel():
    mine = process.usage(os.getpid())
    assert 0 < mine.pss_mib <= mine.rss_mib
    assert mine.cpu_s > 0


def test_reading_a_process_that_has_ended_raises():
    with pytest.raises(FileNotFoundError):
        process.usage(2**22 + 1)


@pytest.mark.parametrize("key", ["stop.latency_s.median", "agent.rest.rss_mib", "start.tray_s"])
def test_figures_without_their_system_programs_are_left_out_and_named(
    tmp_path, monkeypatch, capsys, key
):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["-k", key], tmp_path / "bench.json") == 0
    output = capsys.readouterr()
    (left_out,) = [line for line in output.out.splitlines() if line.startswith("left out: ")]
    assert key in left_out
    assert "not installed: " in left_out
    assert "Xvfb" in left_out
    assert "Traceback" not in output.err
    assert json.loads((tmp_path / "bench.json").read_text()) == []


def test_a_key_that_no_benchmark_has_is_an_error(tmp_path, capsys):
    assert main(["-k", "no.such.key"], tmp_path / "bench.json") == 2
    assert "no.such.key" in capsys.readouterr().err


def test_every_key_is_listed_once(capsys):
    assert main(["--list"]) == 0
    keys = capsys.readouterr().out.split()
    assert "stop.latency_s.median" in keys
    assert len(keys) == len(set(keys))


def test_missing_programs_are_named_before_anything_runs():
    def call():
        raise AssertionError("it ran")

    needs = (Path(sys.executable).as_posix(), "no-such-program")
    benchmark = Benchmark(("a.x",), "", "", call, needs)
    assert benchmark.missing() == ("no-such-program",)
    with pytest.raises(CannotMeasure, match="not installed: no-such-program"):
        list(benchmark.figures())


def test_a_recorded_line_holds_the_figures_and_nothing_that_names_the_machine(tmp_path):
    file = tmp_path / "history.jsonl"
    for value in (1.23456, 2.0):
        history.append(history.line([Figure("a.x_s", value, "s")]), file)
    first, second = map(json.loads, file.read_text().splitlines())
    assert (first["keys"], second["keys"]) == ({"a.x_s": 1.235}, {"a.x_s": 2.0})
    assert set(first) == {"date", "commit", "machine", "keys"}
    assert set(first["machine"]) == {"cpu", "cores", "python"}
    assert first["machine"]["python"] == platform.python_version()
    assert socket.gethostname() not in file.read_text()
    assert str(Path.cwd()) not in file.read_text()


def test_the_tracked_history_is_readable():
    for line in history.FILE.read_text().splitlines():
        run = json.loads(line)
        assert set(run) == {"date", "commit", "machine", "keys"}
        assert all(isinstance(value, float) for value in run["keys"].values())
