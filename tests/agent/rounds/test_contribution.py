"""A contribution is sealed, charged and sent, in this order (P4)."""

import pytest


async def test_p4_a_worker_that_seals_for_another_round_is_found_out_before_the_charge(device):
    await device.join()
    seal = device.worker.seal

    async def other(config, scratch, job_key, attempt):
        return await seal(config, scratch, job_key, "00" * 16)

    device.worker.seal = other
    from agent.errors import InternalError

    with pytest.raises(InternalError):
        await device.run_cycle()
    assert device.agent.ledger.charges() == []
