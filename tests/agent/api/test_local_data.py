"""An erasure removes everything of this home and nothing else."""


async def test_an_erasure_removes_copies_of_what_was_sent_and_leaves_the_windows_reachable(device):
    folder = device.agent.home.run
    folder.mkdir()
    window, lock, copy = (
        folder / name for name in ("window.sock", "window.sock.lock", "copy-sent-abc.bin")
    )
    for path in (window, lock, copy):
        path.write_bytes(b"x")
    await device.call("erase")
    assert [path.exists() for path in (window, lock, copy)] == [True, True, False]
