"""An erasure removes everything of this home and nothing else."""


async def test_an_erasure_removes_copies_of_what_was_sent_and_leaves_the_windows_reachable(device):
    folder = device.runtime / "aegisai"
    folder.mkdir(parents=True, exist_ok=True)
    name = device.agent.home.name
    window, lock, copy = (
        folder / f"{name}-{rest}" for rest in ("window.sock", "window.sock.lock", "sent-abc.bin")
    )
    for path in (window, lock, copy):
        path.write_bytes(b"x")
    await device.call("erase")
    assert [path.exists() for path in (window, lock, copy)] == [True, True, False]
