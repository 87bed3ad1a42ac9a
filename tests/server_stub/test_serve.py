"""The aggregator as a whole: its TLS certificate, its connections and its ports."""

import socket
import ssl
import time

import pytest
from cryptography import x509

from agent.errors import OperatorActionError
from server_stub import serve
from server_stub.ca import server_certificate
from server_stub.config.limits import DevicePortLimits
from tests.fakes.live_server import LiveServer, make_home
from tests.fakes.raw_requests import open_connection, read_to_end, request_operator
from tests.fakes.timeouts import until

FEW = DevicePortLimits(connections=12)
HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def serial(pem):
    certificate = pem[pem.index("-----BEGIN CERTIFICATE") :]
    return x509.load_pem_x509_certificate(certificate.encode()).serial_number


def presented(server):
    """The serial number of the certificate that new connections get."""
    return serial(ssl.get_server_certificate(("127.0.0.1", server.where["port"]), timeout=60))


def test_a_renewed_certificate_is_presented_without_a_restart(tmp_path, monkeypatch):
    monkeypatch.setattr(serve, "REFRESH_TICKS", 1)
    with LiveServer(tmp_path) as server:
        device, before = server.enrol(), presented(server)
        server_certificate.issue(server.home, server.settings, server.clock.now())
        after = serial(server.home.tls_file.read_text())
        until(lambda: presented(server) != before, what="another certificate")
        assert presented(server) == after
        assert device.client.offer().model_version == 1
        assert server.enrol().client.offer().model_version == 1


def test_a_certificate_file_that_cannot_be_used_changes_nothing(tmp_path, caplog):
    home, _ = make_home(tmp_path / "server", int(time.time()))
    certificate = serve.TlsCertificate(home.tls_file, home.ca_file)
    home.tls_file.write_text("half of a")
    certificate.refresh()
    certificate.refresh()
    home.tls_file.unlink()
    certificate.refresh()
    assert caplog.text.count("tls_certificate.unusable") == 2


def test_beyond_the_most_connections_those_that_asked_nothing_go_and_new_ones_are_served(tmp_path):
    with LiveServer(tmp_path, limits=FEW) as server:
        silent = [open_connection(server) for _ in range(FEW.connections)]
        later = open_connection(server)
        later.sendall(HEALTHZ)
        assert read_to_end(later).startswith(b"HTTP/1.1 200")
        assert read_to_end(silent[0]) == b""
        for connection in silent[1:]:
            connection.close()


def test_the_operator_port_is_reached_while_the_device_port_is_full(tmp_path):
    with LiveServer(tmp_path, limits=FEW) as server:
        full = [open_connection(server) for _ in range(FEW.connections)]
        assert request_operator(server, "/healthz")[0] == 200
        for connection in full:
            connection.close()


def test_a_device_has_only_so_many_connections(tmp_path):
    limits = DevicePortLimits(connections_per_device=2)
    with LiveServer(tmp_path, limits=limits) as server:
        device = server.enrol()
        identity = device.file.load()
        held = [open_connection(server, identity) for _ in range(2)]
        assert read_to_end(open_connection(server, identity)) == b""
        assert server.enrol().client.offer().model_version == 1
        for connection in held:
            connection.close()


def test_devices_behind_one_address_are_not_bound_to_its_share(tmp_path):
    limits = DevicePortLimits(connections_per_address=2)
    with LiveServer(tmp_path, limits=limits) as server:
        devices = [server.enrol() for _ in range(6)]
        connected = [open_connection(server, device.file.load()) for device in devices]
        for connection in connected:
            connection.sendall(HEALTHZ)
            assert read_to_end(connection).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("option", ["port", "operator_port"])
def test_a_port_that_is_taken_is_named(tmp_path, option):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        with pytest.raises(OperatorActionError, match=str(number)) as refused:
            LiveServer(tmp_path, **{option: number}).__enter__()
    assert refused.value.code == "PORT"
