import pytest

from server_stub.storage.store import Store


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'aggregator.sqlite3'}"


@pytest.fixture
def store(url):
    opened = Store(url)
    yield opened
    opened.close()
