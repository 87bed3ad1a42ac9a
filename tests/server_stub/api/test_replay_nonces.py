import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import PeerError
from server_stub.api.replay_nonces import LIFE_S, Nonces
from tests.fakes.clock import FakeClock

DEVICE = "urn:uuid:1"


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def nonces(clock):
    return Nonces(clock)


def refusal(nonces, nonce, device=DEVICE):
    """The code of the refusal; "" if the nonce was spent."""
    try:
        nonces.spend(nonce, device)
    except PeerError as error:
        return error.code
    return ""


def test_a_nonce_is_valid_once_for_its_device_and_its_time(nonces, clock):
    nonce, late = nonces.make(DEVICE), nonces.make(DEVICE)
    assert nonce != late
    assert refusal(nonces, nonce) == ""
    assert refusal(nonces, nonce) == "NONCE_SPENT"
    clock.advance(LIFE_S - 1)
    assert refusal(nonces, late) == ""
    assert refusal(nonces, late) == "NONCE_SPENT"


@pytest.mark.parametrize(
    ("change", "device"),
    [
        (lambda n: n, "urn:uuid:2"),
        (lambda n: n[:-1] + ("A" if n[-1] != "A" else "B"), DEVICE),
        (lambda n: "B" + n[1:], DEVICE),
        (lambda n: n + "AAAA", DEVICE),
        (lambda _: "", DEVICE),
        (lambda _: "....", DEVICE),
    ],
)
def test_any_other_nonce_is_refused(nonces, change, device):
    assert refusal(nonces, change(nonces.make(DEVICE)), device) == "NONCE_EXPIRED"


def test_a_nonce_has_one_spelling(nonces):
    """With a second spelling, one nonce could be spent twice."""
    nonce = nonces.make(DEVICE)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_="
    assert [letter for letter in alphabet if not refusal(nonces, nonce[:-1] + letter)] == [
        nonce[-1]
    ]


def test_no_nonce_outlives_the_process_that_made_it(nonces, clock):
    """A restart forgets what was spent; a captured request must stay useless."""
    spent, unspent = nonces.make(DEVICE), nonces.make(DEVICE)
    nonces.spend(spent, DEVICE)
    restarted = Nonces(clock)
    assert [refusal(restarted, one) for one in (spent, unspent)] == ["NONCE_EXPIRED"] * 2


@given(
    steps=st.lists(
        st.one_of(st.integers(0, 200), st.integers(-(10**6), 10**6).map(str)), max_size=40
    )
)
def test_a_nonce_is_never_spent_twice(steps):
    """Time passes by each number; each text sets the machine's clock.

    At each step a new nonce is spent, and all earlier ones are tried again.
    """
    clock = FakeClock()
    nonces, earlier = Nonces(clock), []
    for step in steps:
        if isinstance(step, str):
            clock.wall += int(step)
        else:
            clock.advance(step)
        assert all(refusal(nonces, one) in ("NONCE_SPENT", "NONCE_EXPIRED") for one in earlier)
        earlier.append(nonces.make(DEVICE))
        assert refusal(nonces, earlier[-1]) == ""


def test_spent_nonces_are_forgotten_once_they_have_expired(nonces, clock):
    for _ in range(10):
        for _ in range(100):
            nonces.spend(nonces.make(DEVICE), DEVICE)
        clock.advance(LIFE_S + 1)
    assert nonces.spent_count <= 200
