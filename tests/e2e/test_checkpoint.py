"""The agent is killed with -9 while its worker is suspended: no process is left, and the next agent
resumes from the checkpoint.
"""

import pytest

from tests.fakes.desktop_session import Watch, state
from tests.fakes.timeouts import CYCLE_TIMEOUT_S, until
from tests.fakes.training_session import run_now, training_session

pytestmark = pytest.mark.system


def test_p10_after_a_kill_with_a_suspended_worker_no_orphan_is_left_and_the_checkpoint_is_used(
    tmp_path,
):
    scratch = tmp_path / "device" / "scratch"
    with training_session(tmp_path, share=15, count=20_000) as session:
        worker, watch = session.worker(), Watch(session)
        checkpoint = until(
            lambda: list(scratch.glob("*.checkpoint")), CYCLE_TIMEOUT_S, "the first checkpoint"
        )[0]
        stored = checkpoint.read_bytes()
        session.bus.do(lambda services: services.session.set(active=False))
        until(
            lambda: watch.now()["work"]["suspended"] and state(worker) == "T", what="the suspension"
        )
        reached = watch.now()["progress"]
        assert watch.now()["work"]["measured_text"].endswith("of this computer")
        watch.close()
        session.kill()
        until(lambda: state(worker) in ("", "Z"), what="the worker's end")
        session.bus.do(lambda services: services.session.set(active=True))
        session.start()
        assert checkpoint.read_bytes() == stored
        run_now(session)
        watch = Watch(session)
        first = until(lambda: watch.now()["progress"], what="progress")
        watch.close()
        assert first > 0.5 * reached  # not from the start
        session.aegis("consent", "withdraw")
        assert list(scratch.iterdir()) == []
