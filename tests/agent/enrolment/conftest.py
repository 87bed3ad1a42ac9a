"""One device, and the servers of the transport's tests."""

import pytest

from tests.agent.transport.conftest import (  # noqa: F401 - fixtures
    authority,
    identity_file,
    nonces,
    server,
)
from tests.fakes.device import Device


@pytest.fixture
def device(tmp_path):
    device = Device(tmp_path)
    yield device
    device.close()
