"""An invitation survives mail programs, and each copying error or change is one clear error."""

import base64
import dataclasses
import hashlib
import zlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.errors import PeerError, UserActionError
from agent.protocol.canonical import canonical
from agent.protocol.invitation import (
    Invitation,
    Operator,
    PrivacyFigures,
    format_invitation,
    parse_invitation,
)
from agent.protocol.messages import Mode
from agent.protocol.signing import Context, public_hex, sign, verify

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
INVITATION = Invitation(
    server="https://localhost:8443",
    token="t" * 32,
    ca_pem="-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
    signing_key=public_hex(KEY),
    task_id="pe-header",
    root_sha256="",
    operator=Operator("Örtliche Klinik", "help@example.org", "nobody else", "90 days"),
    privacy=PrivacyFigures(Mode.LOCAL, 1000, 100_000, 365, 5000),
)


def test_an_invitation_survives_the_line_breaks_of_a_mail_program():
    text = format_invitation(INVITATION, KEY)
    folded = "\r\n  ".join(text[at : at + 60] for at in range(0, len(text), 60))
    assert parse_invitation(f" {folded}\n") == INVITATION


def test_every_changed_character_is_detected():
    text = format_invitation(INVITATION, KEY)
    for at in range(0, len(text), 7):
        altered = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
        with pytest.raises(UserActionError) as raised:
            parse_invitation(altered)
        assert raised.value.code in {"INVITATION_BAD", "INVITATION_VERSION"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "aegis1.",
        "aegis1..",
        "aegis1.AAAA.00000000",
        "aegis1.é.é",
        "x" * 100_000,
        "aegis1." + "A" * 20_000,
    ],
)
def test_malformed_text_is_one_clear_error(text):
    with pytest.raises(UserActionError, match="cannot be read") as raised:
        parse_invitation(text)
    assert raised.value.code == "INVITATION_BAD"
    assert raised.value.remedy


def test_another_version_is_named():
    with pytest.raises(UserActionError) as raised:
        parse_invitation("aegis2.abc.def")
    assert raised.value.code == "INVITATION_VERSION"


def _packed(body: bytes) -> str:
    packed = base64.urlsafe_b64encode(zlib.compress(body, 9)).decode().rstrip("=")
    return f"aegis1.{packed}.{hashlib.sha256(packed.encode()).hexdigest()[:8]}"


def test_a_decompression_bomb_is_refused_within_bounds():
    bomb = _packed(b"[" * 8_000_000)
    assert len(bomb) < 16_000
    with pytest.raises(UserActionError, match="cannot be read"):
        parse_invitation(bomb)


CHANGES = [
    {"server": "http://localhost"},
    {"server": "https://user@localhost"},
    {"server": "https://localhost/path"},
    {"server": "https://localhost:99999"},
    {"token": "short"},
    {"ca_pem": INVITATION.ca_pem * 2},
    {"signing_key": "00"},
    {"root_sha256": "xyz"},
    {"privacy": PrivacyFigures(Mode.LOCAL, 1000, 100_000, 365, 500)},
    {"privacy": PrivacyFigures(Mode.LOCAL, 1000, 10, 365, 5000)},
    {"operator": Operator("", "a", "b", "c")},
    {"operator": Operator("evil\x1b[2J", "a", "b", "c")},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_fields_out_of_range_are_refused_on_both_ends(change):
    wrong = dataclasses.asdict(dataclasses.replace(INVITATION, **change))
    with pytest.raises(
        ValueError, match=r"(?i)server|port|token|ca_pem|key|root_sha256|privacy|operator"
    ):
        format_invitation(dataclasses.replace(INVITATION, **change), KEY)
    with pytest.raises(UserActionError, match="cannot be read"):
        parse_invitation(
            _packed(
                canonical({"invitation": wrong, "signature": sign(KEY, Context.INVITATION, wrong)})
            )
        )


def test_unknown_and_mistyped_fields_are_refused():
    good = dataclasses.asdict(INVITATION)
    for wrong in (
        {**good, "extra": 1},
        {**good, "token": 5},
        {**good, "operator": []},
        {**good, "privacy": {"mode": "local"}},
    ):
        with pytest.raises(UserActionError, match="cannot be read"):
            parse_invitation(
                _packed(
                    canonical(
                        {"invitation": wrong, "signature": sign(KEY, Context.INVITATION, wrong)}
                    )
                )
            )


def test_a_signature_is_worth_nothing_under_another_label_or_key():
    signature = sign(KEY, Context.OFFER, {"a": 1})
    verify(public_hex(KEY), Context.OFFER, {"a": 1}, signature)
    other = public_hex(Ed25519PrivateKey.generate())
    for key, context, value, signed in [
        (public_hex(KEY), Context.MODEL, {"a": 1}, signature),
        (other, Context.OFFER, {"a": 1}, signature),
        (public_hex(KEY), Context.OFFER, {"a": 2}, signature),
        (public_hex(KEY), Context.OFFER, {"a": 1}, "zz"),
        ("short", Context.OFFER, {"a": 1}, signature),
    ]:
        with pytest.raises(PeerError) as raised:
            verify(key, context, value, signed)
        assert raised.value.code == "BAD_SIGNATURE"
