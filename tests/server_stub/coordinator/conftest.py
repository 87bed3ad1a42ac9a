import pytest

from server_stub.coordinator import driver


@pytest.fixture(autouse=True)
def quick_polls(monkeypatch):
    """The driver of a running aggregator looks often at the test's clock."""
    monkeypatch.setattr(driver, "POLL_S", 0.05)
