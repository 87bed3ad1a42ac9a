"""The device port as a device meets it: over TLS, with the agent's own client."""

import hashlib
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load

from agent.clock import SystemClock
from agent.errors import AegisError, PeerError
from agent.models.repository import ModelRepository
from agent.models.verify import MinModelVersion, verify_model
from agent.protocol.envelope import decode, encode
from agent.protocol.issuance import read_head
from agent.protocol.peer_enrolment import EnrolledBefore, check_members
from agent.transport.client import AggregatorClient
from agent.transport.responses import ExcludedError, RetryLater
from server_stub.aggregation.mean import mean_update
from server_stub.config.limits import Rate, Rates
from server_stub.quarantine.evidence import Evidence, Proof, Verdict
from tests.fakes.clock import FakeClock
from tests.fakes.group_rounds import enrol_devices, group_server, poll_until_window, refusal
from tests.fakes.live_server import LiveServer, public_stats
from tests.fakes.timeouts import until


def refused(call, *values):
    with pytest.raises(AegisError) as caught:
        call(*values)
    return caught.value.code


def use_up(call):
    for _ in range(10):
        call()


def test_two_updates_make_the_next_model(live):
    one, two = live.enrol(), live.enrol()
    offer = one.client.offer()
    assert (offer.status, offer.model_version, offer.contributed, offer.round.round_id) == (
        "open",
        1,
        False,
        1,
    )
    download = one.client.model()
    before = verify_model(
        download.metadata,
        download.signature,
        download.model,
        signing_key=live.signing_key,
        task=offer.task,
        minimum=MinModelVersion(),
    )
    assert before.demonstration
    assert one.client.model(before.sha256) is None
    receipt = one.client.send_update(one.update())
    assert (receipt.round_id, receipt.device_id) == (1, one.device_id)
    assert one.client.offer().contributed
    assert not two.client.offer().contributed
    two.client.send_update(two.update())
    assert live.wait_for_model(2).round.round_id == 2
    content = one.client.model().model
    step = load(content)["weights"] - load(before.content)["weights"]
    assert np.linalg.norm(step) > 0
    published = ModelRepository(
        one.folder, live.home.root_sha256(), one.client.public_file, SystemClock()
    ).model(offer.task, MinModelVersion(), "")
    assert published.sha256 == hashlib.sha256(content).hexdigest()
    assert published.version == 2


def test_the_next_model_is_the_previous_one_plus_the_mean(live):
    one, two = live.enrol(), live.enrol()
    config = one.client.offer().round
    start = load(one.client.model().model)["weights"]
    bodies = [one.update(0.02), two.update(-0.01)]
    expected, count = mean_update(bodies, config)
    for device, body in zip((one, two), bodies, strict=True):
        device.client.send_update(body)
    live.wait_for_model(2)
    np.testing.assert_allclose(
        load(one.client.model().model)["weights"] - start, expected, atol=1e-12
    )
    assert count == 2


def test_p10_a_repeated_update_gets_the_first_receipt_and_counts_once(live):
    device = live.enrol()
    body = device.update()
    first = device.client.send_update(body)
    live.clock.advance(5)
    assert device.client.send_update(body) == first
    assert refused(device.client.send_update, device.update()) == "ALREADY_CONTRIBUTED"
    assert public_stats(device.client)["round"]["updates"] == 1


def test_a_closed_round_refuses_new_updates_and_repeats_old_receipts(live):
    one, two, late = live.enrol(), live.enrol(), live.enrol()
    config = one.client.offer().round
    first, body = one.update(), late.update(config=config)
    receipt = one.client.send_update(first)
    two.client.send_update(two.update())
    live.wait_for_model(2)
    assert refused(late.client.send_update, body) == "ROUND_CLOSED"
    assert one.client.send_update(first) == receipt


def test_an_update_that_does_not_fit_the_round_is_refused_and_not_stored(live):
    device = live.enrol()
    valid = decode(device.update())
    for change in (
        {"task_id": "x"},
        {"config_digest": "00" * 32},
        {"d": 117},
        {"bits": 32},
        {"kind": "sealed-words"},
        {"attempt": "Z"},
    ):
        assert (
            refused(device.client.send_update, encode({**valid.header, **change}, valid.payload))
            == "WRONG_SHAPE"
        )
    assert (
        refused(device.client.send_update, encode(valid.header, valid.payload + b"\0\0\0"))
        == "WRONG_SHAPE"
    )
    assert (
        refused(device.client.send_update, encode({**valid.header, "more": 1}, valid.payload))
        == "BAD_ENVELOPE"
    )
    assert refused(device.client.send_update, b"AEG1" + b"\xff" * 40) == "BAD_ENVELOPE"
    assert valid.header["bits"] == 16
    too_large = encode(valid.header, b"\xff\x7f" * (len(valid.payload) // 2))
    # The server's SUM_OUT_OF_RANGE, which no honest device meets.
    assert refused(device.client.send_update, too_large) == "MESSAGE_REFUSED"
    assert public_stats(device.client)["round"]["updates"] == 0


def test_a_round_closes_at_its_deadline_with_the_updates_it_has(tmp_path):
    with LiveServer(
        tmp_path, target=10, seconds=60, epsilon_milli=8000, lifetime_epsilon_milli=8000
    ) as server:
        device = server.enrol()
        device.client.send_update(device.update())
        server.clock.advance(61)
        assert server.wait_for_model(2).round.round_id == 2
        server.clock.advance(61)
        store = server.store()
        until(lambda: store.rounds.newest().round_id >= 3, what="the third round")
        assert [(one.state, one.updates) for one in store.rounds.all()[:2]] == [
            ("done", 1),
            ("abandoned", 0),
        ]
        assert store.models.newest_version() == 2
        store.close()


def test_fifty_devices_with_one_token_enrol_one_device(live):
    token, codes = live.token(), []

    def enrol():
        try:
            live.enrol(token)
            codes.append("enrolled")
        except AegisError as error:
            codes.append(error.code)

    threads = [threading.Thread(target=enrol) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(set(codes)) in (
        ["TOKEN_USED", "enrolled"],
        ["SERVER_BUSY", "TOKEN_USED", "enrolled"],
    )
    assert codes.count("enrolled") == 1


def test_a_token_enrols_its_device_again_and_no_other(live):
    device = live.enrol(token := live.token(ttl_s=60))
    again = live.client().register(token, device.file.csr_pem())
    assert again == device.registration
    assert refused(live.enrol, token) == "TOKEN_USED"
    assert refused(live.enrol, "no-such-token") == "TOKEN_UNKNOWN"
    late = live.token(ttl_s=60)
    live.clock.advance(61)
    assert refused(live.enrol, late) == "TOKEN_EXPIRED"
    assert refused(live.client().register, live.token(), "no request") == "BAD_CSR"


def test_a_revoked_device_is_refused_at_once_and_the_others_go_on(live):
    one, two = live.enrol(), live.enrol()
    body = one.update()
    one.client.send_update(body)
    store = live.store()
    assert store.devices.revoke(one.device_id, live.clock.now())
    store.close()
    for call in (
        one.client.offer,
        lambda: public_stats(one.client),
        one.client.erase,
        lambda: one.client.send_update(body),
    ):
        assert refused(call) == "REVOKED"
    assert public_stats(two.client)["round"]["updates"] == 0
    assert two.client.offer().status == "open"


def convict(live, device, round_id):
    proof = Proof(Verdict(device.device_id, "SECRET_FALSE"), Evidence("coin", {}))
    store = live.store()
    with store.round_events.transaction() as work:
        work.add_proof(round_id, proof, live.clock.now())
    store.close()


def test_an_excluded_device_gets_no_offer_and_its_update_is_refused_until_it_is_released(live):
    one, two = live.enrol(), live.enrol()
    body = one.update()
    convict(live, one, 0)  # found in the round before this one
    with pytest.raises(ExcludedError) as raised:
        one.client.offer()
    until = live.clock.now() + 86_400
    assert (raised.value.rounds, raised.value.until) == (1, until)
    assert refused(one.client.send_update, body) == "EXCLUDED"
    assert two.client.offer().status == "open"
    (proof,) = one.client.device()["proofs"]
    assert (proof["code"], proof["rounds"]) == ("SECRET_FALSE", 1)
    store = live.store()
    assert store.proofs.release(one.device_id, live.clock.now()) == 1
    store.close()
    assert one.client.offer().status == "open"
    assert one.client.send_update(body).round_id == 1


def test_an_exclusion_begins_after_its_round_and_ends_by_itself(live):
    one = live.enrol()
    convict(live, one, 1)
    assert one.client.offer().round.round_id == 1
    convict(live, one, 0)
    assert refused(one.client.offer) == "EXCLUDED"
    live.clock.advance(3 * 86_400)
    assert one.client.offer().status in ("open", "wait")


def test_erasing_by_certificate_or_by_secret_leaves_nothing(live):
    one, two = live.enrol(), live.enrol()
    assert one.client.device()["device_id"] == one.device_id
    one.client.send_update(one.update())
    assert [update["round_id"] for update in one.client.device()["updates"]] == [1]
    one.client.erase()
    assert refused(one.client.offer) == "REJECTED_IDENTITY"
    assert public_stats(two.client)["round"]["updates"] == 0
    anonymous = live.client()
    assert refused(anonymous.erase_by_secret, two.device_id, "00" * 16) == "REJECTED_IDENTITY"
    assert two.client.offer().status == "open"
    for _ in range(2):  # The second time as after a lost answer.
        anonymous.erase_by_secret(two.device_id, two.registration.erase_secret)
    assert refused(two.client.offer) == "REJECTED_IDENTITY"
    for file in (live.home.folder / "aggregator.sqlite3", live.home.authority / "ca.sqlite3"):
        content = b"".join(path.read_bytes() for path in file.parent.glob(f"{file.name}*"))
        for device in (one, two):
            secret = device.registration.erase_secret.encode()
            assert secret not in content


def test_a_renewal_keeps_the_device_and_its_old_key_still_sends(live):
    device = live.enrol()
    body = device.update()
    csr = device.file.renewal_csr_pem()
    certificate = device.client.renew(csr)
    assert device.client.renew(csr) == certificate
    device.client.send_update(body)
    device.file.set_renewed(certificate, live.home.ca_pem)
    renewed = live.client(device.file.load())
    assert renewed.offer().contributed
    record = renewed.device()
    assert len(record["certificates"]) == len(record["authority"]["certificates"]) == 2
    assert {one["sha256"] for one in record["certificates"]} == {
        one["sha256"] for one in record["authority"]["certificates"]
    }
    assert record["authority"]["certificates"][1]["pem"] == certificate


def test_an_expired_certificate_can_be_renewed_for_ninety_days(live):
    device, other = live.enrol(), live.enrol()
    live.clock.advance(30 * 86400)
    assert refused(device.client.offer) == "CERTIFICATE_EXPIRED"
    asleep = live.client(replace(device.file.load(), not_after=0))
    device.file.set_renewed(asleep.renew(device.file.renewal_csr_pem()), live.home.ca_pem)
    live.clock.advance(91 * 86400)
    asleep = live.client(replace(other.file.load(), not_after=0))
    assert refused(asleep.renew, other.file.renewal_csr_pem()) == "CERTIFICATE_EXPIRED"


def test_a_device_with_a_slow_clock_renews_its_expired_certificate(tmp_path):
    now = int(time.time())
    with LiveServer(tmp_path, clock=FakeClock(now - 8 * 86400)) as server:
        device = server.enrol()
        server.clock.advance(8 * 86400)
        identity = device.file.load()
        assert identity.not_after < now
        slow = AggregatorClient(
            server.url,
            server.home.ca_pem,
            server.signing_key,
            identity,
            clock=FakeClock(now - 2 * 86400),
        )
        assert refused(slow.offer) in ("REJECTED_IDENTITY", "OFFLINE")
        device.file.set_renewed(slow.renew(device.file.renewal_csr_pem()), server.home.ca_pem)
        slow.close()
        assert server.client(device.file.load()).device()["device_id"] == device.device_id


def test_too_many_requests_get_the_time_to_wait(tmp_path):
    rates = Rates(certificate=Rate(5, 0.5), failure=Rate(3, 0.01))
    with LiveServer(tmp_path, rates=rates) as server:
        device = server.enrol()
        with pytest.raises(RetryLater) as caught:
            use_up(device.client.offer)
        assert 1 <= caught.value.retry_after_s <= 3
        codes = [refused(server.enrol, "wrong-token") for _ in range(5)]
        assert codes == ["TOKEN_UNKNOWN"] * 3 + ["SERVER_BUSY"] * 2


def test_p6_a_device_that_the_others_would_refuse_is_shown_no_window(tmp_path):
    """The task asks for devices that were enrolled two days before."""
    # Certificates are valid by the real clock.
    server = group_server(tmp_path, 3, clock=FakeClock(int(time.time()) - 2 * 86_400))
    server.settings = replace(server.settings, task=replace(server.settings.task, peer_days=2))
    with server:
        devices = enrol_devices(server, 3)
        assert [device.report_ready().round for device in devices] == [None] * 3
        server.clock.advance(2 * 86_400)
        (late,) = enrol_devices(server, 1)
        offer = poll_until_window(devices)
        assert late.report_ready().round is None
        late.join(offer)
        assert refusal(late.send, "advertise") == "ROUND_CLOSED"

        # The proofs that the others ask for, over the wire.
        client, ca_pem = devices[0].enrolled.client, server.home.ca_pem
        members = [device.identity.fingerprint for device in (*devices, late)]
        head = read_head(client.log_head(), ca_pem)
        answer = client.log_members(members, head.size)
        before = EnrolledBefore(server.clock.now() - 2 * 86_400)
        check_members(head, answer, members[:-1], before)
        with pytest.raises(PeerError) as raised:
            check_members(head, answer, members, before)
        assert raised.value.detail == "a member was enrolled too recently"
        assert refused(client.log_members, ["00" * 32], head.size) == "SERVER_ERROR"  # 404
