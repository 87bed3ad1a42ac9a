import pytest

from agent.errors import PeerFault
from server_stub.nonces import LIFE_S, Nonces

DEVICE = "urn:uuid:1"


def test_a_nonce_is_good_for_its_device_and_its_time():
    nonces = Nonces(b"k" * 32)
    nonce = nonces.make(DEVICE, 1000)
    assert nonces.check(nonce, DEVICE, 1000) == 1000 + LIFE_S
    assert nonces.check(nonce, DEVICE, 1000 + LIFE_S - 1) == 1000 + LIFE_S
    assert nonces.make(DEVICE, 1000) != nonce


@pytest.mark.parametrize(
    ("change", "device", "now"),
    [
        (lambda n: n, DEVICE, 1000 + LIFE_S),
        (lambda n: n, DEVICE, 999),
        (lambda n: n, "urn:uuid:2", 1000),
        (lambda n: n[:-1] + ("A" if n[-1] != "A" else "B"), DEVICE, 1000),
        (lambda n: "B" + n[1:], DEVICE, 1000),
        (lambda n: n + "AAAA", DEVICE, 1000),
        (lambda _: "", DEVICE, 1000),
        (lambda _: "....", DEVICE, 1000),
        (lambda n: Nonces(b"x" * 32).make(DEVICE, 1000) if n else n, DEVICE, 1000),
    ],
)
def test_any_other_is_not(change, device, now):
    nonces = Nonces(b"k" * 32)
    with pytest.raises(PeerFault) as caught:
        nonces.check(change(nonces.make(DEVICE, 1000)), device, now)
    assert caught.value.code == "NONCE_EXPIRED"


def test_a_nonce_has_one_spelling():
    """Else the same nonce could be spent twice."""
    nonces = Nonces(b"k" * 32)
    nonce = nonces.make(DEVICE, 1000)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_="
    good = []
    for letter in alphabet:
        try:
            nonces.check(nonce[:-1] + letter, DEVICE, 1000)
            good.append(letter)
        except PeerFault:
            pass
    assert good == [nonce[-1]]
