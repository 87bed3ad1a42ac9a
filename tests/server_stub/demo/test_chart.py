"""The chart is a picture of the whole run."""

import struct

import pytest

from server_stub.demo.chart import draw
from tests.fakes.demo_report import evaluation, report


@pytest.mark.parametrize("auc", [0.95, 0.5, 0.4], ids=["better", "unclear", "worse"])
def test_the_chart_is_a_png_of_the_same_size_whatever_the_verdict(tmp_path, auc):
    path = tmp_path / "demo.png"
    draw(report(after=evaluation(auc), before=evaluation(0.5)), path)
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG")
    assert struct.unpack(">II", content[16:24]) == (1040, 624)


def test_a_folder_that_does_not_exist_is_an_os_error(tmp_path):
    with pytest.raises(OSError, match=r"demo\.png"):
        draw(report(), tmp_path / "none" / "demo.png")
