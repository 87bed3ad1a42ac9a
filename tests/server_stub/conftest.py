import pytest

from tests.fakes.live_server import LiveServer


@pytest.fixture
def live(tmp_path):
    """A running aggregator whose rounds close after two updates."""
    with LiveServer(tmp_path, target=2, epsilon_milli=8000, lifetime_epsilon_milli=8000) as server:
        yield server
