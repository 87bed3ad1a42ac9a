"""A server that runs for years: its TLS certificate is renewed by the authority's process and taken
up without a restart.
"""

import ssl
import time

import pytest
from cryptography import x509

from server_stub import serve
from server_stub.ca import server_certificate
from server_stub.ca.process import DAY_S, Daily
from tests.fakes.clock import FakeClock
from tests.fakes.live_server import LiveServer, make_home
from tests.fakes.timeouts import until


def serial(pem):
    return x509.load_pem_x509_certificate(
        pem[pem.index("-----BEGIN CERTIFICATE") :].encode()
    ).serial_number


def shown(server):
    return serial(ssl.get_server_certificate(("127.0.0.1", server.where["port"]), timeout=60))


def test_a_renewed_certificate_is_shown_without_a_restart(tmp_path, monkeypatch):
    monkeypatch.setattr(serve, "REFRESH_TICKS", 1)
    with LiveServer(tmp_path) as server:
        device, before = server.enrol(), shown(server)
        server_certificate.issue(server.home, server.settings, server.clock.now())
        after = serial(server.home.tls_file.read_text())
        until(lambda: shown(server) != before, what="another certificate")
        assert shown(server) == after
        assert device.client.offer().model_version == 1
        assert server.enrol().client.offer().model_version == 1


def test_a_file_that_cannot_be_used_changes_nothing(tmp_path, caplog):
    home, _ = make_home(tmp_path / "server", int(time.time()))
    held = serve.TlsCertificate(home.tls_file, home.ca_file)
    home.tls_file.write_text("half of a")
    held.refresh()
    held.refresh()
    home.tls_file.unlink()
    held.refresh()
    assert caplog.text.count("tls_certificate.unusable") == 2


@pytest.mark.parametrize("failure", [None, OSError("disk full")], ids=["works", "fails"])
def test_daily_work_is_done_once_a_day_whatever_comes_of_it(failure):
    clock, done = FakeClock(), []

    def act():
        done.append(clock.now())
        if failure:
            raise failure

    daily = Daily(clock, act)
    for _ in range(3):
        daily()
    clock.advance(DAY_S - 1)
    daily()
    assert len(done) == 1
    clock.advance(1)
    daily()
    clock.advance(-3 * DAY_S)  # a clock that was put right
    daily()
    assert len(done) == 3
