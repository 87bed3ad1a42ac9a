"""The calls on Windows, on a stand-in for its kernel: a change is signalled and never named."""

import asyncio
import threading

from agent.daemon.windows_changes import WindowsChanges


class Kernel:
    """Signals one change, then nothing; closing is noted."""

    def __init__(self, handle=5):
        self.waits, self.closed = [0], threading.Event()
        self.FindFirstChangeNotificationW = lambda *_: handle

        # ctypes functions take a restype.
        class Call:
            restype = None

            def __call__(self, *_):
                return handle

        self.FindFirstChangeNotificationW = Call()

    def WaitForSingleObject(self, handle, milliseconds):
        return self.waits.pop() if self.waits else self.closed.wait(0.01) or 258

    def FindNextChangeNotification(self, handle):
        return True

    def FindCloseChangeNotification(self, handle):
        self.closed.set()


async def test_a_change_is_told_and_the_handle_closed(tmp_path):
    seen, kernel = asyncio.Event(), Kernel()
    changes = WindowsChanges(seen.set, kernel)
    assert changes.watch([tmp_path])
    async with asyncio.timeout(10):
        await seen.wait()
    changes.close()
    assert await asyncio.to_thread(kernel.closed.wait, 10)


async def test_a_folder_that_cannot_be_watched_is_said(tmp_path):
    changes = WindowsChanges(lambda: None, Kernel(handle=None))
    assert not changes.watch([tmp_path])
    changes.close()
