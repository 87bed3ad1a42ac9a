"""Desktop services on a private message bus, for the tests of what reads them."""

import pytest

from tests.fakes.desktop_services import private_bus


@pytest.fixture
async def services():
    """The services of a desktop, none of them started yet."""
    async with private_bus() as services:
        yield services


@pytest.fixture
async def desktop(services):
    """The services of a desktop, all of them running."""
    bus = await services.start()
    yield services
    bus.disconnect()
