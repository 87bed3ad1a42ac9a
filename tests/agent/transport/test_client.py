"""What the aggregator may say to the device, and what the device makes of every lie."""

import base64
import hashlib
import json
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.errors import AegisError, UserActionError
from agent.identity.identity import IdentityFile
from agent.identity.memory_keystore import MemoryKeyStore
from agent.protocol.limits import MAX_OFFER_BYTES
from agent.protocol.messages import Mode, Task
from agent.protocol.signing import Context, public_hex, sign
from agent.transport.client import AggregatorClient
from agent.transport.responses import RetryLater
from tests.fakes.https_server import Scripted

DEVICE = "urn:uuid:6c1f2b3e-0000-4000-8000-000000000001"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TASK = Task("t", "pehdr29/fixed-v1", "logistic", 4, Mode.LOCAL, 10, 100, 1000, 1)
OFFER = {
    "status": "wait",
    "next_poll_s": 1800,
    "task": TASK.to_json(),
    "model_version": 3,
    "model_digest": "ab" * 32,
    "round": None,
    "contributed": False,
    "time": 1_700_000_000,
    "join_opens": 0,
    "join_closes": 0,
}


@pytest.fixture
def client(server, authority, tmp_path):
    file = IdentityFile(tmp_path, MemoryKeyStore())
    file.create()
    file.set_certificate(
        DEVICE,
        authority.issue_device(file.csr_pem(), DEVICE),
        authority.pem,
        "5e" * 16,
        public_hex(KEY),
    )
    opened = AggregatorClient(server.url, authority.pem, public_hex(KEY), file.load())
    yield opened
    opened.close()


def scripted(value, **options):
    return Scripted(body=json.dumps(value).encode(), **options)


def signed(name, context, value):
    return scripted(
        {
            name: value,
            "signature": sign(KEY, context, value),
            **({"crl_pem": ""} if name == "offer" else {}),
        }
    )


def code_of(call, *args):
    with pytest.raises(AegisError) as raised:
        call(*args)
    assert raised.value.message
    return raised.value.code


def test_enrolment_end_to_end_with_a_crash_before_the_certificate_is_stored(
    server, authority, tmp_path
):
    file = IdentityFile(tmp_path, MemoryKeyStore())
    file.create()

    def register(asked):
        said = json.loads(asked.body)
        assert said["token"] == "t" * 32
        return scripted(
            {
                "device_id": DEVICE,
                "certificate_pem": authority.issue_device(said["csr_pem"], DEVICE),
                "ca_pem": authority.pem,
                "erase_secret": "5e" * 16,
                "task": TASK.to_json(),
                "signing_key": public_hex(KEY),
            }
        )

    server.answers["/api/v1/register"] = register
    client = AggregatorClient(server.url, authority.pem, public_hex(KEY))
    client.register("t" * 32, file.csr_pem())
    file.create()
    given = client.register("t" * 32, file.csr_pem())
    file.set_certificate(
        given.device_id, given.certificate_pem, given.ca_pem, given.erase_secret, given.signing_key
    )
    client.close()
    assert file.load().device_id == DEVICE
    assert given.task == TASK


@pytest.mark.parametrize(
    "change",
    [
        {"ca_pem": "other"},
        {"signing_key": "00" * 32},
        {"device_id": 5},
        {"extra": 1},
        {"task": {}},
        {"erase_secret": None},
    ],
)
def test_a_registration_that_does_not_fit_the_invitation_is_refused(
    server, client, authority, change
):
    good = {
        "device_id": DEVICE,
        "certificate_pem": "",
        "ca_pem": authority.pem,
        "erase_secret": "5e" * 16,
        "task": TASK.to_json(),
        "signing_key": public_hex(KEY),
    }
    server.answers["/api/v1/register"] = scripted({**good, **change})
    assert code_of(client.register, "t" * 32, "csr") in {"BAD_ANSWER", "BAD_MESSAGE"}


def test_an_offer_is_read_and_its_signature_checked(server, client):
    server.answers["/api/v1/rounds/offer"] = signed("offer", Context.OFFER, OFFER)
    offer = client.offer()
    assert (offer.status, offer.task, offer.round, offer.model_version) == ("wait", TASK, None, 3)
    server.answers["/api/v1/rounds/offer"] = scripted(
        {
            "offer": {**OFFER, "model_version": 4},
            "signature": sign(KEY, Context.OFFER, OFFER),
            "crl_pem": "",
        }
    )
    assert code_of(client.offer) == "BAD_SIGNATURE"
    signature = sign(KEY, Context.OFFER, OFFER)
    server.answers["/api/v1/rounds/offer"] = scripted(
        {"offer": OFFER, "signature": signature, "crl_pem": "c" * 2_000_000}
    )
    assert len(client.offer().crl_pem) == 2_000_000
    server.answers["/api/v1/rounds/offer"] = scripted(
        {"offer": OFFER, "signature": signature, "crl_pem": "c" * MAX_OFFER_BYTES}
    )
    assert code_of(client.offer) == "ANSWER_TOO_LARGE"
    server.answers["/api/v1/rounds/offer"] = signed("offer", Context.RECEIPT, OFFER)
    assert code_of(client.offer) == "BAD_SIGNATURE"


def test_a_ready_device_says_for_which_model(server, client):
    server.answers["/api/v1/rounds/offer?ready=true&trained=3"] = signed(
        "offer", Context.OFFER, {**OFFER, "join_opens": 5, "join_closes": 9}
    )
    offer = client.offer(ready=True, trained=3)
    assert (offer.join_opens, offer.join_closes, offer.crl_pem) == (5, 9, "")


@pytest.mark.parametrize(
    "change",
    [
        {"status": "maybe"},
        {"next_poll_s": -1},
        {"next_poll_s": True},
        {"round": {}},
        {"round": []},
        {"task": None},
        {"more": 1},
        {"join_opens": "5"},
    ],
)
def test_a_signed_offer_outside_the_contract_is_refused(server, client, change):
    server.answers["/api/v1/rounds/offer"] = signed("offer", Context.OFFER, {**OFFER, **change})
    assert code_of(client.offer) in {"BAD_ANSWER", "BAD_MESSAGE"}


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"{", b"[" * 100_000, b"\xff\xfe", b'{"offer": 1, "signature": 2}'],
)
def test_p11_nonsense_is_a_bad_answer(server, client, body):
    server.answers["/api/v1/rounds/offer"] = Scripted(body=body)
    assert code_of(client.offer) == "BAD_ANSWER"


def test_a_model_is_fetched_once(server, client):
    metadata = b'{"version":3}'

    def model(asked):
        if asked.headers.get("If-None-Match") == f'"{"ab" * 32}"':
            return Scripted(304, b"")
        headers = {
            "X-Model-Version": "3",
            "X-Model-Metadata": base64.urlsafe_b64encode(metadata).decode(),
            "X-Model-Signature": "cd",
        }
        return Scripted(200, b"weights", headers)

    server.answers["/api/v1/model"] = model
    download = client.model()
    assert (download.metadata, download.signature, download.model) == (metadata, "cd", b"weights")
    assert client.model("ab" * 32) is None
    server.answers["/api/v1/model"] = Scripted(200, b"weights")
    assert code_of(client.model) == "BAD_ANSWER"


def test_files_of_the_repository_come_whole_or_not_at_all(server, client):
    server.answers["/api/v1/metadata/1.root.json"] = Scripted(200, b"root")
    server.answers["/api/v1/metadata/2.root.json"] = Scripted(500, b"")
    assert client.public_file("metadata/1.root.json", 100) == b"root"
    assert client.public_file("metadata/9.root.json", 100) is None
    assert code_of(client.public_file, "metadata/2.root.json", 100) == "SERVER_ERROR"
    assert code_of(client.public_file, "metadata/1.root.json", 3) == "ANSWER_TOO_LARGE"


def receipt_for(body, **changes):
    said = {
        "task_id": "t",
        "round_id": 1,
        "device_id": DEVICE,
        "body_sha256": hashlib.sha256(body).hexdigest(),
        "bytes": len(body),
        "received_at": 1_700_000_000,
        **changes,
    }
    return signed("receipt", Context.RECEIPT, said)


def test_an_update_goes_out_byte_for_byte_and_its_receipt_is_checked(server, client):
    body = bytes(range(256)) * 10
    server.answers["/api/v1/updates"] = receipt_for(body)
    assert client.send_update(body).bytes == 2560
    assert server.asked[1].body == body
    assert server.asked[1].headers["Content-Type"] == "application/vnd.aegisai.envelope"
    for change in ({"body_sha256": "00" * 32}, {"device_id": DEVICE + "2"}, {"bytes": 1}):
        server.answers["/api/v1/updates"] = receipt_for(body, **change)
        assert code_of(client.send_update, body) == "BAD_ANSWER"


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (403, "TOKEN_USED", "TOKEN_USED"),
        (403, "TOKEN_EXPIRED", "TOKEN_EXPIRED"),
        (409, "ALREADY_CONTRIBUTED", "ALREADY_CONTRIBUTED"),
        (410, "ROUND_CLOSED", "ROUND_CLOSED"),
        (403, "REVOKED", "REVOKED"),
        (401, "whatever", "REJECTED_IDENTITY"),
        (403, "NOT_IN_GROUP", "NOT_IN_GROUP"),
        (422, "ROSTER_SIGNATURE", "MESSAGE_REFUSED"),
        (500, "whatever", "SERVER_ERROR"),
        (302, "", "SERVER_ERROR"),
    ],
)
def test_problems_become_errors_with_a_remedy_and_without_the_servers_words(
    server, client, status, code, expected
):
    problem = {
        "type": f"urn:aegisai:problem:{code}",
        "title": "Call +1 555 SCAM",
        "status": status,
        "code": code,
        "remedy": "pay",
    }
    server.answers["/api/v1/updates"] = scripted(problem, status=status)
    with pytest.raises(AegisError) as raised:
        client.send_update(b"x")
    assert raised.value.code == expected
    assert raised.value.remedy
    assert "SCAM" not in str(raised.value)


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7), ("", 60), ("soon", 60), ("99999999", 86400), ("9" * 5000, 60)]
)
def test_a_busy_server_names_its_patience(server, client, header, seconds):
    server.answers["/api/v1/stats"] = Scripted(
        429, b"{}", {"Retry-After": header} if len(header) < 1000 else {"Retry-After": header[:100]}
    )
    with pytest.raises(RetryLater) as raised:
        client.stats()
    assert raised.value.retry_after_s == seconds


def test_erase_by_certificate_and_by_secret(server, client, authority):
    server.answers["/api/v1/device"] = Scripted(204, b"")
    client.erase()
    assert server.asked[-1].peer
    bare = AggregatorClient(server.url, authority.pem, "")
    bare.erase_by_secret(DEVICE, "5e" * 16)
    bare.close()
    assert json.loads(server.asked[-1].body) == {"device_id": DEVICE, "erase_secret": "5e" * 16}
    assert not server.asked[-1].peer


def test_the_module_costs_little_until_it_is_used():
    script = (
        "import sys, agent.identity.identity, agent.identity.os_keyring, agent.transport.client,"
        " agent.models.store, agent.protocol.invitation;sys.exit(' '.join({'requests',"
        " 'cryptography', 'keyring', 'tuf', 'numpy'} & set(sys.modules)) or None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def test_p2_a_client_that_was_closed_sends_nothing_more(server, client, authority):
    server.answers["/api/v1/stats"] = scripted({})
    client.stats()
    client.close()
    assert code_of(client.stats) == "OFFLINE"
    assert code_of(client.send_update, b"x") == "NO_IDENTITY"
    unused = AggregatorClient(server.url, authority.pem, "")
    unused.close()
    assert code_of(unused.stats) == "OFFLINE"
    assert len(server.asked) == 1


def test_p2_closed_between_the_nonce_and_the_update_the_update_stays_here(server, client):
    def challenge(asked):
        client.close()
        return scripted({"nonce": "n"})

    server.answers["/api/v1/challenge"] = challenge
    server.answers["/api/v1/updates"] = receipt_for(b"x")
    assert code_of(client.send_update, b"x") == "OFFLINE"
    assert [asked.path for asked in server.asked] == ["/api/v1/challenge"]


def test_an_unreachable_server_is_one_error_of_the_persons_kind(authority):
    client = AggregatorClient("https://localhost:1", authority.pem, "")
    with pytest.raises(UserActionError) as raised:
        client.stats()
    assert raised.value.code == "OFFLINE"
