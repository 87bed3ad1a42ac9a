"""Files are found in one order, up to a bound and a depth, and only ordinary ones are opened."""

import os
import socket
from pathlib import Path

import pytest

from agent.worker import files
from agent.worker.files import RefusedFileError, files_below, opened


def found(paths, most=100):
    """Paths as text, refusals as (path, code)."""
    listed = files_below([str(path) for path in paths], most)
    return [entry if isinstance(entry, str) else (entry[0], entry[1].code) for entry in listed]


def refusal(path):
    with pytest.raises(RefusedFileError) as raised, opened(str(path)):
        pass
    assert raised.value.message.endswith(".")
    return raised.value.code


def test_a_folder_is_walked_in_the_order_of_its_names(tmp_path):
    for name in ("b/2", "b/1", "a", "c/d/e"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert found([tmp_path]) == [str(tmp_path / name) for name in ("a", "b/1", "b/2", "c/d/e")]


def test_named_paths_keep_their_order_and_need_not_exist(tmp_path):
    assert found([tmp_path / "z", tmp_path / "none"]) == [
        str(tmp_path / "z"),
        str(tmp_path / "none"),
    ]


@pytest.mark.parametrize(("most", "last"), [(0, "a"), (2, "c"), (3, None)])
def test_p11_after_the_bound_comes_one_refusal_that_names_the_next_file(tmp_path, most, last):
    for name in "abc":
        (tmp_path / name).touch()
    entries = found([tmp_path], most)
    assert entries[:most] == [str(tmp_path / name) for name in "abc"[:most]]
    assert entries[most:] == ([] if last is None else [(str(tmp_path / last), "TOO_MANY_FILES")])


def test_p11_a_folder_that_is_nested_too_deep_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_DEPTH", 1)
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "file").touch()
    assert found([tmp_path]) == [
        (str(tmp_path / "a" / "b"), "UNREADABLE"),
        str(tmp_path / "a" / "file"),
    ]


def test_a_link_to_a_folder_is_followed_where_it_is_named(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert found([tmp_path / "link"]) == [str(tmp_path / "link" / "file")]
    assert found([tmp_path]) == [str(tmp_path / "real" / "file")]


def test_p11_names_that_are_no_characters_are_walked_and_opened(tmp_path):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.exe")
    Path(name).write_bytes(b"abc")
    assert found([tmp_path]) == [name]
    with opened(name) as (descriptor, size):
        assert (os.read(descriptor, 10), size) == (b"abc", 3)


def test_what_is_no_ordinary_file_is_refused_by_its_reason(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").touch()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        codes = {
            name: refusal(tmp_path / name)
            for name in ("fifo", "socket", "none", "file/below", "\0")
        }
    assert codes == {
        "fifo": "NOT_A_FILE",
        "socket": "NOT_A_FILE",
        "none": "NOT_FOUND",
        "file/below": "NOT_FOUND",
        "\0": "UNREADABLE",
    }
    assert refusal(tmp_path) == "NOT_A_FILE"
    assert refusal("/dev/null") == "NOT_A_FILE"


def test_the_descriptor_is_closed_whatever_happens_inside(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    kept = []

    def use(error):
        with opened(str(tmp_path / "file")) as (descriptor, _):
            kept.append(descriptor)
            if error is not None:
                raise error

    use(None)
    with pytest.raises(RefusedFileError) as raised:
        use(OSError("the disk is gone"))
    assert raised.value.code == "UNREADABLE"
    for descriptor in kept:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


def test_p12_a_link_to_a_file_is_followed_within_what_is_named(tmp_path):
    for folder in ("named", "also", "other"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "file").touch()
    (tmp_path / "named/a-inside").symlink_to("file")
    (tmp_path / "named/b-also").symlink_to(tmp_path / "also/file")
    (tmp_path / "named/c-out").symlink_to(tmp_path / "other/file")
    (tmp_path / "named/d-named").symlink_to(tmp_path / "single")
    (tmp_path / "single").touch()
    named = [str(tmp_path / name) for name in ("named", "also", "single")]
    entries = list(files_below(named, 100))
    refused = {Path(entry[0]).name: entry[1].code for entry in entries if isinstance(entry, tuple)}
    assert refused == {"c-out": "LINK_LEADS_OUT"}
    assert len(entries) == 7


def test_p11_a_folder_of_very_many_names_is_listed_up_to_a_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MORE_LISTED", 3)
    for number in range(50):
        (tmp_path / f"{number:02}").touch()
    (*seen, last) = found([tmp_path], 5)
    assert len(seen) == 5
    assert last[1] == "TOO_MANY_FILES"


def test_p11_folders_without_end_and_without_files_end_the_walk(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MORE_LISTED", 3)
    for number in range(50):
        (tmp_path / f"{number:02}" / "deeper").mkdir(parents=True)
    assert found([tmp_path], 2) == [(str(tmp_path), "TOO_MANY_FILES")]
    (tmp_path / "00" / "file").touch()
    assert found([tmp_path, tmp_path / "00"], 2) == [(str(tmp_path), "TOO_MANY_FILES")]
