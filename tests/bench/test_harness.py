import json
import os

import pytest

from tests.bench import process
from tests.bench.harness import Benchmark, Figure, bench, write


def test_a_pair_is_value_and_reference_of_the_declared_key():
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


def test_the_file_holds_exactly_the_agreed_fields(tmp_path):
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


def test_a_process_is_read_from_the_kernel():
    mine = process.usage(os.getpid())
    assert 0 < mine.pss_mib <= mine.rss_mib
    assert mine.cpu_s > 0


def test_a_process_that_is_gone_is_said_to_be_gone():
    with pytest.raises(FileNotFoundError):
        process.usage(2**22 + 1)
