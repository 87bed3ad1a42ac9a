"""One bit a folder, and only while a source may search."""

import asyncio
from functools import partial

from agent.daemon.folder_watch import FolderWatch


class FakeCollector:
    def __init__(self):
        self.folders = ()
        self.changed = []

    def watched(self):
        return self.folders

    def folder_changed(self, folder):
        self.changed.append(folder)


class FakeEvents:
    def __init__(self, made, changed):
        self.changed, self.folders, self.is_open = changed, [], False
        made.append(self)

    def watch(self, folders):
        self.folders, self.is_open = folders, True
        return True

    def close(self):
        self.is_open = False


async def test_exactly_the_folders_that_matter_are_watched():
    made, collector = [], FakeCollector()
    watch = FolderWatch(collector, partial(FakeEvents, made))
    watch.refresh()
    assert made == []
    collector.folders = ("/a", "/b")
    watch.refresh()
    watch.refresh()
    first, second = sorted(made, key=lambda one: str(one.folders))
    second.changed()
    assert collector.changed == ["/b"]
    collector.folders = ("/b",)
    watch.refresh()
    assert (first.is_open, second.is_open) == (False, True)
    await watch.close()
    assert not second.is_open


async def test_a_real_change_sets_the_bit_of_its_folder(tmp_path):
    collector, seen = FakeCollector(), asyncio.Event()
    collector.folders = (str(tmp_path),)
    note = collector.folder_changed
    collector.folder_changed = lambda folder: (note(folder), seen.set())
    watch = FolderWatch(collector)
    watch.refresh()
    (tmp_path / "new.exe").write_bytes(b"MZ")
    async with asyncio.timeout(10):
        await seen.wait()
    assert set(collector.changed) == {str(tmp_path)}
    await watch.close()
