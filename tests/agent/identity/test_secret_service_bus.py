"""Secrets cross the bus encrypted where the service can, and whole in any case."""

import pytest
from jeepney import DBusErrorResponse

from agent.identity.secret_service_bus import SecretServiceBus
from tests.fakes.made_keyring import LOGIN, MadeKeyring, PrivateBus

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(PrivateBus.missing()), reason="not installed: dbus-daemon"),
]


@pytest.fixture
def keyring(monkeypatch):
    bus = PrivateBus()
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", bus.address)
    keyring = MadeKeyring(bus.address)
    yield keyring
    keyring.close()
    bus.close()


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 1280])
def test_a_secret_of_any_length_comes_back(keyring, length):
    keyring.add(f"{LOGIN}/1", "n", "")
    bus = SecretServiceBus(2)
    bus.set_secret(f"{LOGIN}/1", "ä" * length)
    assert bus.secret(f"{LOGIN}/1") == "ä" * length
    bus.close()


def test_a_session_that_is_refused_for_another_reason_is_no_reason_for_plain_text(keyring):
    keyring.add(f"{LOGIN}/1", "n", "")
    keyring.refuses["OpenSession"] = "org.freedesktop.DBus.Error.AccessDenied"
    bus = SecretServiceBus(2)
    with pytest.raises(DBusErrorResponse):
        bus.secret(f"{LOGIN}/1")
    assert keyring.calls.count("OpenSession") == 1
    bus.close()
