"""The agent killed with -9 while its worker stands still: nothing is left running, and the next
agent goes on from the checkpoint.
"""

import pytest

from tests.fakes.desktop_session import Watch, state
from tests.fakes.timeouts import CYCLE_TIMEOUT_S, until
from tests.fakes.training_session import run_now, training_laptop

pytestmark = pytest.mark.system


def test_p10_killed_with_a_suspended_worker_there_is_no_orphan_and_the_checkpoint_is_gone_on_from(
    tmp_path,
):
    scratch = tmp_path / "device" / "scratch"
    with training_laptop(tmp_path, share=15, count=20_000) as session:
        worker, watch = session.worker(), Watch(session)
        checkpoint = until(
            lambda: list(scratch.glob("*.checkpoint")), CYCLE_TIMEOUT_S, "the first checkpoint"
        )[0]
        held = checkpoint.read_bytes()
        session.bus.do(lambda desktop: desktop.session.set(active=False))
        until(lambda: watch.now()["work"]["held"] and state(worker) == "T", what="the hold")
        reached = watch.now()["progress"]
        assert watch.now()["work"]["measured_text"].endswith("of this computer")
        watch.close()
        session.kill()
        until(lambda: state(worker) in ("", "Z"), what="the worker's end")
        session.bus.do(lambda desktop: desktop.session.set(active=True))
        session.start()
        assert checkpoint.read_bytes() == held
        run_now(session)
        watch = Watch(session)
        first = until(lambda: watch.now()["progress"], what="progress")
        watch.close()
        assert first > 0.5 * reached  # not from the start
        session.aegis("consent", "withdraw")
        assert list(scratch.iterdir()) == []
