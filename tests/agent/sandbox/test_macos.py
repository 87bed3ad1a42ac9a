"""The profile for macOS names what a job may open; whether a Mac obeys it is unverified."""

import ctypes

from agent.sandbox import macos
from agent.sandbox.access import Access


def test_everything_is_refused_but_what_is_named(tmp_path):
    text = macos.profile(Access(read=(f"{tmp_path}/a.exe",), write=(f"{tmp_path}/s",)), ["/py"])
    assert text.startswith("(version 1)\n(deny default)\n")
    assert f'(allow file-read* (subpath "{tmp_path}/a.exe"))' in text
    assert f'(allow file-read* file-write* (subpath "{tmp_path}/s"))' in text
    assert '(allow file-read* (subpath "/py"))' in text
    assert "network" not in text
    assert text.count("(") == text.count(")")


def test_p12_a_name_cannot_end_its_string_and_add_a_rule():
    text = macos.profile(Access(read=('/a"))(allow default)("',)), [])
    assert '(subpath "/a\\"))(allow default)(\\"")' in text


def test_a_link_is_named_by_where_it_leads(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert str(tmp_path / "real") in macos.profile(Access(read=(f"{tmp_path}/link",)), [])


def test_a_system_without_it_confines_nothing(monkeypatch):
    def missing(_):
        raise OSError

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert macos.confine(Access(), []) == ()
