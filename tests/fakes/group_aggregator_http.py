"""The fake aggregator of groups behind real TLS and HTTP.

The device's own client speaks to it, with certificates, nonces and signed requests.
"""

import base64
import json
import secrets
from dataclasses import asdict
from urllib.parse import parse_qs, urlsplit

from cryptography.x509 import load_pem_x509_certificate

from agent.errors import PeerError
from agent.protocol.http_signature import verify_request
from agent.protocol.ledger_heads import HeadStep, Ready, ShownHeads
from agent.protocol.signing import Context, sign
from tests.fakes.group_aggregator import FakeGroupAggregator, FakeGroupClient
from tests.fakes.https_server import HttpsServer, Scripted

STATUS = {"ROUND_CLOSED": 410, "ALREADY_CONTRIBUTED": 409, "NOT_IN_GROUP": 403}


class GroupAggregatorSite:
    """Context manager that serves `host` and makes its `server` the address."""

    def __init__(self, folder, host: FakeGroupAggregator):
        self.host = host
        certificate, key = host.authority.issue_server()
        self._https = HttpsServer(folder, certificate, key, host.authority.pem)
        self._https.answers = self
        host.server = self._https.url
        self._nonces = set()
        self._keys = {}
        self.bytes_in = {}
        """Kind of message -> bytes received in bodies."""

    def __enter__(self):
        self._https.__enter__()
        return self

    def __exit__(self, *error):
        self._https.__exit__(*error)

    def get(self, path, _):
        """Return the handler of `path`, as HttpsServer asks for it."""
        return lambda request: self._answer(request, urlsplit(path))

    def _answer(self, request, url):
        try:
            return self._route(request, url)
        except PeerError as error:
            return Scripted(STATUS.get(error.code, 422), json.dumps({"code": error.code}).encode())

    def _route(self, request, url):
        parts = url.path.removeprefix("/api/v1/").split("/")
        client = FakeGroupClient(self.host, _PeerIdentity(request.peer))
        if parts == ["challenge"]:
            return _json({"nonce": self._nonce()})
        if parts == ["register"]:
            registration = client.register(**json.loads(request.body))
            self._keys[registration.device_id] = load_pem_x509_certificate(
                registration.certificate_pem.encode()
            ).public_key()
            return _json({**asdict(registration), "task": registration.task.to_json()})
        if request.method == "GET":
            return self._read(client, parts, parse_qs(url.query))
        self._check_signature(request, client)
        kind = parts[-1]
        self.bytes_in[kind] = self.bytes_in.get(kind, 0) + len(request.body)
        next_nonce = {"Replay-Nonce": self._nonce()}
        if parts == ["updates"]:
            query, step = parse_qs(url.query), None
            if query:
                step = HeadStep(int(query["count"][0]), query["before"][0], query["after"][0])
            receipt = vars(client.send_update(request.body, step)).copy()
            signature = receipt.pop("signature")
            return _json({"receipt": receipt, "signature": signature}, next_nonce)
        if parts == ["rounds", "ready"]:
            body = json.loads(request.body)
            shown = body.pop("ledger")
            shown = shown and ShownHeads(shown["count"], tuple(shown["heads"]))
            return self._offer(client.ready(Ready(**body, shown=shown)), next_nonce)
        client.send_phase(int(parts[1]), parts[2], request.body)
        return Scripted(202, b"{}", next_nonce)

    def _read(self, client, parts, query):
        if parts == ["rounds", "offer"]:
            return self._offer(client.offer())
        if parts == ["model"]:
            download = client.model()
            headers = {
                "X-Model-Metadata": base64.urlsafe_b64encode(download.metadata).decode(),
                "X-Model-Signature": download.signature,
            }
            return Scripted(200, download.model, headers)
        dealer = int(query["dealer"][0]) if "dealer" in query else None
        outcome = client.inbox(int(parts[1]), query["after"][0], dealer)
        return Scripted(204, b"") if outcome is None else Scripted(200, outcome)

    def _offer(self, statement, headers=None):
        offer = {
            **vars(statement),
            "task": statement.task.to_json(),
            "round": statement.round.to_json() if statement.round else None,
            "ledger": statement.ledger and asdict(statement.ledger),
        }
        crl_pem = offer.pop("crl_pem")
        signature = sign(self.host.signing_key, Context.OFFER, offer)
        return _json({"offer": offer, "signature": signature, "crl_pem": crl_pem}, headers)

    def _check_signature(self, request, client):
        headers = {name.lower(): value for name, value in request.headers.items()}
        signed = verify_request(
            request.method,
            request.headers["Host"],
            request.path,
            headers,
            request.body,
            lambda _: self._keys[client.device_id],
        )
        assert signed.nonce in self._nonces
        self._nonces.remove(signed.nonce)

    def _nonce(self):
        nonce = secrets.token_urlsafe(24)
        self._nonces.add(nonce)
        return nonce


class _PeerIdentity:
    """Stands for the client's identity: the device id that its certificate names."""

    def __init__(self, peer):
        names = dict((peer or {}).get("subjectAltName", ()))
        self.device_id = names.get("URI", "")


def _json(value, headers=None):
    return Scripted(200, json.dumps(value).encode(), headers or {})
