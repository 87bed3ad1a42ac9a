"""Changes in folders are told, and nothing happens while there are none."""

import asyncio

import pytest

from agent.daemon.file_events import FileEvents
from tests.fakes.timeouts import TIMEOUT_S


@pytest.fixture
async def events():
    seen = asyncio.Event()
    events = FileEvents(seen.set)
    events.seen = seen
    yield events
    events.close()


async def change(events, act):
    events.seen.clear()
    act()
    await asyncio.wait_for(events.seen.wait(), TIMEOUT_S)


async def test_every_sort_of_change_is_told(events, tmp_path):
    assert events.watch([tmp_path])
    file = tmp_path / "file"
    await change(events, file.touch)
    await change(events, lambda: file.write_text("x"))
    await change(events, lambda: file.rename(tmp_path / "moved"))
    await change(events, (tmp_path / "moved").unlink)
    await change(events, tmp_path.rmdir)


async def test_a_folder_is_followed_until_another_is_watched(events, tmp_path):
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    second.mkdir()
    assert events.watch([first])
    assert events.watch([second])
    events.seen.clear()
    (first / "a").touch()
    await change(events, (second / "a").touch)


async def test_what_cannot_be_watched_is_said(events, tmp_path, monkeypatch):
    assert not events.watch([tmp_path, tmp_path / "nowhere"])
    await change(events, (tmp_path / "a").touch)  # the rest is watched
    monkeypatch.setattr("sys.platform", "darwin")
    assert not events.watch([tmp_path])


async def test_closing_twice_is_fine(events, tmp_path):
    events.watch([tmp_path])
    events.close()
    events.close()
    assert events.watch([tmp_path])
    await change(events, (tmp_path / "a").touch)
