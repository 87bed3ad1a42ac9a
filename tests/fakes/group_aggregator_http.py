"""The meeting aggregator behind real TLS and HTTP: the device's own client speaks to it, with
certificates, nonces and signed requests.
"""

import base64
import json
import secrets
from dataclasses import asdict
from urllib.parse import parse_qs, urlsplit

from cryptography.x509 import load_pem_x509_certificate

from agent.errors import PeerError
from agent.protocol.http_signature import verify_request
from agent.protocol.signing import Context, sign
from tests.fakes.group_aggregator import FakeGroupAggregator, FakeGroupClient
from tests.fakes.https_server import HttpsServer, Scripted

STATUS = {"ROUND_CLOSED": 410, "ALREADY_CONTRIBUTED": 409, "NOT_IN_GROUP": 403}


class GroupAggregatorSite:
    """`with MeetingSite(folder, host) as site:` serves `host` (a MeetingAggregator) at its own
    `server` address.
    """

    def __init__(self, folder, host: FakeGroupAggregator):
        self.host = host
        certificate, key = host.authority.issue_server()
        self._https = HttpsServer(folder, certificate, key, host.authority.pem)
        self._https.answers = self
        host.server = self._https.url
        self._nonces = set()
        self._keys = {}
        self.bytes_in = {}
        """Kind of message -> body bytes that came."""

    def __enter__(self):
        self._https.__enter__()
        return self

    def __exit__(self, *error):
        self._https.__exit__(*error)

    def get(self, path, _):
        """What the scripted server asks for a path."""
        return lambda asked: self._answer(asked, urlsplit(path))

    def _answer(self, asked, place):
        try:
            return self._route(asked, place)
        except PeerError as error:
            return Scripted(STATUS.get(error.code, 422), json.dumps({"code": error.code}).encode())

    def _route(self, asked, place):
        parts = place.path.removeprefix("/api/v1/").split("/")
        line = FakeGroupClient(self.host, _Caller(asked.peer))
        if parts == ["challenge"]:
            return _json({"nonce": self._nonce()})
        if parts == ["register"]:
            made = line.register(**json.loads(asked.body))
            self._keys[made.device_id] = load_pem_x509_certificate(
                made.certificate_pem.encode()
            ).public_key()
            return _json({**asdict(made), "task": made.task.to_json()})
        if asked.method == "GET":
            return self._read(line, parts, parse_qs(place.query))
        self._check(asked, line)
        kind = parts[-1]
        self.bytes_in[kind] = self.bytes_in.get(kind, 0) + len(asked.body)
        after = {"Replay-Nonce": self._nonce()}
        if parts == ["updates"]:
            receipt = vars(line.send_update(asked.body)).copy()
            signature = receipt.pop("signature")
            return _json({"receipt": receipt, "signature": signature}, after)
        line.send_phase(int(parts[1]), parts[2], asked.body)
        return Scripted(202, b"{}", after)

    def _read(self, line, parts, query):
        host = self.host
        if parts == ["rounds", "offer"]:
            made = line.offer(
                ready=query.get("ready") == ["true"],
                trained=int(query["trained"][0]) if "trained" in query else None,
            )
            offer = {
                **vars(made),
                "task": made.task.to_json(),
                "round": made.round.to_json() if made.round else None,
            }
            crl_pem = offer.pop("crl_pem")
            return _json(
                {
                    "offer": offer,
                    "signature": sign(host.signing_key, Context.OFFER, offer),
                    "crl_pem": crl_pem,
                }
            )
        if parts == ["model"]:
            made = line.model()
            facts = {
                "X-Model-Metadata": base64.urlsafe_b64encode(made.metadata).decode(),
                "X-Model-Signature": made.signature,
            }
            return Scripted(200, made.model, facts)
        heard = line.inbox(int(parts[1]), query["after"][0])
        return Scripted(204, b"") if heard is None else Scripted(200, heard)

    def _check(self, asked, line):
        lower = {name.lower(): value for name, value in asked.headers.items()}
        signed = verify_request(
            asked.method,
            asked.headers["Host"],
            asked.path,
            lower,
            asked.body,
            lambda _: self._keys[line.device_id],
        )
        assert signed.nonce in self._nonces
        self._nonces.remove(signed.nonce)

    def _nonce(self):
        nonce = secrets.token_urlsafe(24)
        self._nonces.add(nonce)
        return nonce


class _Caller:
    """Stands for the identity: the device id that the client's certificate names."""

    def __init__(self, peer):
        names = dict((peer or {}).get("subjectAltName", ()))
        self.device_id = names.get("URI", "")


def _json(value, headers=None):
    return Scripted(200, json.dumps(value).encode(), headers or {})
