"""A study is drawn without a display."""

from server_stub.simulation import study_chart


def test_the_chart_is_a_picture(small_study, tmp_path):
    study_chart.draw(small_study, tmp_path / "study.png")
    assert (tmp_path / "study.png").read_bytes().startswith(b"\x89PNG")
