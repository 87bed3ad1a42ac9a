"""Thousands of connections that go nowhere, against the real aggregator with 1,024 descriptors.

The floods come from other addresses of loopback than the honest device's, 127.0.0.1. What the
server closes, they open again.
"""

import socket
import ssl
import sys
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import pytest

from agent.errors import UserActionError
from tests.fakes.flood import flood
from tests.fakes.server_process import ServerProcess
from tests.fakes.timeouts import until

pytestmark = pytest.mark.system
DESCRIPTORS = 1024
FLOOD, FEW = 5000, 800
"""Handshakes cost the flooder too."""
ONE_UPDATE = ("--rounds-target", "1", "--rounds-minimum", "1", "--round-pause", "0s")
BUDGET = ("--epsilon", "8", "--lifetime-epsilon", "8")
MIB = 1024
RETURNED_MIB = 50


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One update closes a round, so that one honest device completes it."""
    folder = tmp_path_factory.mktemp("f")
    with ServerProcess(
        folder, "--mode", "local", *ONE_UPDATE, *BUDGET, descriptors=DESCRIPTORS
    ) as running:
        yield running


@pytest.fixture(scope="module")
def device(server):
    return server.enrol()


def rss_mib(server):
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / MIB


def descriptors(server):
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def refused_connections(server):
    """What the operator's metrics count."""
    with urlopen(f"http://127.0.0.1:{server.operator_port}/metrics") as answer:
        text = answer.read().decode()
    return int(text.split("\naegisai_connections_refused_total ")[1].split()[0])


def patiently(ask):
    """The answer, asked for again as an agent does while a busy machine loses its connection."""

    def answer():
        with suppress(UserActionError):
            return ask()

    return until(answer, what="an answer")


def complete_round(device):
    """Take part in the round on offer, and wait for the model that it makes."""
    patiently(device.client.offer)
    offer = until(
        lambda: one if (one := device.client.offer()).round is not None else None, what="a round"
    )
    device.client.send_update(device.update(config=offer.round))
    until(lambda: device.client.offer().model_version > offer.model_version, what="the next model")


@pytest.mark.parametrize(
    ("kind", "sources", "count"),
    [
        ("silent", 1, FLOOD),
        ("hello", 40, FLOOD),
        ("tls", 40, FEW),
        ("body", 40, FEW),
    ],
)
def test_a_device_completes_a_round_during_a_flood_and_memory_comes_back(
    server, device, kind, sources, count, capsys
):
    device.client.offer()
    before = rss_mib(server)
    with flood(server.port, count, kind, sources=sources) as open_count:
        device.client.close()
        device.client = server.client(device.file.load())
        complete_round(device)
        used, during = descriptors(server), rss_mib(server)
        counted = refused_connections(server)
    after = until(
        lambda: rss if (rss := rss_mib(server)) < before + RETURNED_MIB else None,
        what=f"memory within {RETURNED_MIB} MiB of {before:.0f} MiB",
    )
    with capsys.disabled():
        sys.stderr.write(
            f"\nidle flood, {kind}: {count} connections from {sources}, {open_count} stay;"
            f" {used} descriptors; {before:.0f} MiB before, {during:.0f} during,"
            f" {after:.0f} after\n"
        )
    assert used < DESCRIPTORS
    if kind == "silent":
        assert counted >= count / 2
    assert server.process.poll() is None


def test_a_silent_flood_from_the_devices_own_address_does_not_keep_it_out(server, device):
    with flood(server.port, FLOOD, "silent", sources=0):
        fresh = server.client(device.file.load())
        assert patiently(fresh.offer).model_version >= 1


def test_there_is_no_tls_that_could_be_renegotiated(server):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        socket.create_connection(("127.0.0.1", server.port)) as raw,
        pytest.raises(OSError, match=r"EOF|PROTOCOL_VERSION|reset"),
    ):
        context.wrap_socket(raw)
