"""Every upload can be looked at, with its bytes."""

from pathlib import Path

from agent.protocol.envelope import decode


async def test_an_upload_is_shown_with_its_header_and_a_copy_of_its_bytes(device):
    await device.join()
    await device.run_cycle()
    (entry,) = (await device.call("ledger"))["outbox"]
    shown = await device.call("sent.show", attempt=entry["attempt"])
    copy = Path(shown["path"])
    assert copy.stat().st_mode & 0o777 == 0o600
    assert decode(copy.read_bytes()).header == shown["header"]
    assert shown["header"]["attempt"] == entry["attempt"]
    assert shown["entry"] == entry


async def test_the_ledger_is_paged_with_the_totals_of_all_entries(device):
    await device.join()
    await device.run_cycle()
    device.server.next_round()
    await device.run_cycle()
    page = await device.call("ledger", offset=1, limit=1)
    assert [charge["seq"] for charge in page["charges"]] == [2]
    assert len(page["outbox"]) == 1
    assert (page["totals"]["charges"], page["verified"]) == (2, None)
