"""The device's client makes one request for each thing that it asks of the aggregator."""

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
from agent.protocol.ledger_heads import HeadEcho, HeadStep, Ready, ShownHeads
from agent.protocol.limits import MAX_OFFER_BYTES
from agent.protocol.messages import Mode, Task
from agent.protocol.signing import Context, public_hex, sign
from agent.transport.client import AggregatorClient
from tests.agent.transport.conftest import DEVICE_ID
from tests.fakes.https_server import Scripted

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
    "ledger": None,
}


@pytest.fixture
def client(server, authority, identity_file):
    opened = AggregatorClient(server.url, authority.pem, public_hex(KEY), identity_file.load())
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

    def register(request):
        sent = json.loads(request.body)
        assert sent["token"] == "t" * 32
        return scripted(
            {
                "device_id": DEVICE_ID,
                "certificate_pem": authority.issue_device(sent["csr_pem"], DEVICE_ID),
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
    registration = client.register("t" * 32, file.csr_pem())
    file.set_certificate(
        registration.device_id,
        registration.certificate_pem,
        registration.ca_pem,
        registration.erase_secret,
        registration.signing_key,
    )
    client.close()
    assert file.load().device_id == DEVICE_ID
    assert registration.task == TASK


def test_an_offer_has_room_for_a_long_list_of_revoked_certificates_and_no_more(server, client):
    signature = sign(KEY, Context.OFFER, OFFER)
    server.answers["/api/v1/rounds/offer"] = scripted(
        {"offer": OFFER, "signature": signature, "crl_pem": "c" * 2_000_000}
    )
    assert len(client.offer().crl_pem) == 2_000_000
    server.answers["/api/v1/rounds/offer"] = scripted(
        {"offer": OFFER, "signature": signature, "crl_pem": "c" * MAX_OFFER_BYTES}
    )
    assert code_of(client.offer) == "ANSWER_TOO_LARGE"


def test_an_offer_under_another_signature_is_refused(server, client):
    server.answers["/api/v1/rounds/offer"] = signed("offer", Context.RECEIPT, OFFER)
    assert code_of(client.offer) == "BAD_SIGNATURE"


SHOWN = ShownHeads(2, ("aa" * 32, "bb" * 32))
ECHO = {"count": 2, "head": "bb" * 32, "lease_s": 60}


def test_a_ready_device_names_its_model_and_shows_its_ledger(server, client):
    server.answers["/api/v1/rounds/ready"] = signed(
        "offer", Context.OFFER, {**OFFER, "join_opens": 5, "join_closes": 9, "ledger": ECHO}
    )
    offer = client.ready(Ready(3, "cc" * 16, SHOWN))
    assert (offer.join_opens, offer.join_closes, offer.crl_pem) == (5, 9, "")
    assert offer.ledger == HeadEcho(2, "bb" * 32, 60)
    assert json.loads(server.asked[-1].body) == {
        "trained": 3,
        "session": "cc" * 16,
        "ledger": {"count": 2, "heads": ["aa" * 32, "bb" * 32]},
    }
    assert "Signature" in server.asked[-1].headers


@pytest.mark.parametrize(
    "echo",
    [None, {**ECHO, "count": 1}, {**ECHO, "head": "aa" * 32}, {**ECHO, "lease_s": -1}, {}],
    ids=str,
)
def test_p11_an_answer_about_another_head_is_refused(server, client, echo):
    server.answers["/api/v1/rounds/ready"] = signed(
        "offer", Context.OFFER, {**OFFER, "ledger": echo}
    )
    assert code_of(client.ready, Ready(3, "cc" * 16, SHOWN)) == "BAD_ANSWER"


def test_an_update_carries_the_step_of_its_ledger_in_the_signed_path(server, client):
    body, step = b"sealed", HeadStep(2, "aa" * 32, "bb" * 32)
    path = f"/api/v1/updates?count=2&before={'aa' * 32}&after={'bb' * 32}"
    server.answers[path] = receipt_for(body, ledger_count=2, ledger_head="bb" * 32)
    assert client.send_update(body, step).ledger_head == "bb" * 32
    for change in ({}, {"ledger_count": 2, "ledger_head": "aa" * 32}):
        server.answers[path] = receipt_for(body, **change)
        assert code_of(client.send_update, body, step) == "BAD_ANSWER"


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


def test_a_file_of_the_repository_arrives_whole_or_not_at_all(server, client):
    server.answers["/api/v1/metadata/1.root.json"] = Scripted(200, b"root")
    server.answers["/api/v1/metadata/2.root.json"] = Scripted(500, b"")
    assert client.public_file("metadata/1.root.json", 100) == b"root"
    assert client.public_file("metadata/9.root.json", 100) is None
    assert code_of(client.public_file, "metadata/2.root.json", 100) == "SERVER_ERROR"
    assert code_of(client.public_file, "metadata/1.root.json", 3) == "ANSWER_TOO_LARGE"


def receipt_for(body, **changes):
    receipt = {
        "task_id": "t",
        "round_id": 1,
        "device_id": DEVICE_ID,
        "body_sha256": hashlib.sha256(body).hexdigest(),
        "bytes": len(body),
        "received_at": 1_700_000_000,
        "ledger_count": 0,
        "ledger_head": "",
        **changes,
    }
    return signed("receipt", Context.RECEIPT, receipt)


def test_an_update_is_sent_byte_for_byte_and_its_receipt_checked(server, client):
    body = bytes(range(256)) * 10
    server.answers["/api/v1/updates"] = receipt_for(body)
    assert client.send_update(body).bytes == 2560
    assert server.asked[1].body == body
    assert server.asked[1].headers["Content-Type"] == "application/vnd.aegisai.envelope"
    for change in ({"body_sha256": "00" * 32}, {"device_id": DEVICE_ID + "2"}, {"bytes": 1}):
        server.answers["/api/v1/updates"] = receipt_for(body, **change)
        assert code_of(client.send_update, body) == "BAD_ANSWER"


def test_a_device_is_erased_by_certificate_or_by_secret(server, client, authority):
    server.answers["/api/v1/device"] = Scripted(204, b"")
    client.erase()
    assert server.asked[-1].peer
    bare = AggregatorClient(server.url, authority.pem, "")
    bare.erase_by_secret(DEVICE_ID, "5e" * 16)
    bare.close()
    assert json.loads(server.asked[-1].body) == {"device_id": DEVICE_ID, "erase_secret": "5e" * 16}
    assert not server.asked[-1].peer


def test_no_heavy_library_is_imported_before_the_first_request():
    script = (
        "import sys, agent.identity.identity, agent.identity.os_keyring, agent.transport.client,"
        " agent.models.store, agent.protocol.invitation;sys.exit(' '.join({'requests',"
        " 'cryptography', 'keyring', 'tuf', 'numpy'} & set(sys.modules)) or None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def test_an_unreachable_server_is_an_error_that_the_person_can_act_on(authority):
    client = AggregatorClient("https://localhost:1", authority.pem, "")
    with pytest.raises(UserActionError) as raised:
        client.device()
    assert raised.value.code == "OFFLINE"
