"""Who may connect, who has to go for whom, and that nothing is counted twice or for ever."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server_stub.api.connection_caps import (
    Caps,
    OpenConnections,
    Stage,
    address_key,
    port_caps,
)
from server_stub.config.limits import DevicePortLimits

HERE, THERE = "192.0.2.1", "192.0.2.2"


def filled(connections, count, address=HERE, stage=Stage.MUTE):
    numbers = [connections.admit(address).number for _ in range(count)]
    for number in numbers:
        connections.advance(number, stage)
    return numbers


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("unknown", "unknown", True),
    ],
)
def test_an_address_is_one_ipv4_address_or_one_ipv6_64(one, other, is_same):
    assert (address_key(one) == address_key(other)) is is_same


def test_a_full_address_loses_its_own_oldest_early_connection_and_no_other():
    connections = OpenConnections(Caps(100, 3, 2))
    (elsewhere,) = filled(connections, 1, THERE)
    first, second, third = filled(connections, 3)
    connections.advance(first, Stage.ASKING)
    assert connections.admit(HERE).victim == second
    assert connections.admit(HERE).victim == third
    assert elsewhere in connections
    assert first in connections


def test_an_address_full_of_requests_gets_no_further_connection_while_others_do():
    connections = OpenConnections(Caps(100, 3, 2))
    filled(connections, 3, HERE, Stage.ASKING)
    assert connections.admit(HERE) is None
    assert connections.admit(THERE).victim is None
    assert connections.refused == 1


@pytest.mark.parametrize("address", [HERE, THERE], ids=["full address", "full port"])
def test_who_has_done_less_goes_first_and_of_these_the_oldest(address):
    connections = OpenConnections(Caps(5, 5, 2))
    (silent,) = filled(connections, 1, HERE, Stage.SILENT)
    greeting = filled(connections, 2, HERE, Stage.GREETING)
    mute = filled(connections, 2)
    victims = []
    for _ in range(5):
        admission = connections.admit(address)
        connections.advance(admission.number, Stage.ASKING)
        victims.append(admission.victim)
    assert victims == [*mute, *greeting, silent]
    assert connections.admit(address) is None


def test_known_devices_do_not_count_for_their_address_and_never_make_room():
    connections = OpenConnections(Caps(4, 2, 2))
    for number, device in zip(filled(connections, 2), ("a", "b"), strict=True):
        assert connections.prove(number, device)
    assert [connections.admit(HERE).victim for _ in range(2)] == [None, None]
    for number in connections.early():
        assert connections.prove(number, "c")
    assert connections.admit(THERE) is None


def test_a_device_has_only_so_many_connections_until_one_ends():
    connections = OpenConnections(Caps(10, 10, 2))
    first, second, third, fourth = filled(connections, 4)
    assert connections.prove(first, "a")
    assert connections.prove(second, "a")
    assert not connections.prove(third, "a")
    connections.release(first)
    connections.release(first)
    assert connections.prove(fourth, "a")


def test_an_ended_connection_proves_and_advances_nothing():
    connections = OpenConnections(Caps(10, 10, 2))
    (number,) = filled(connections, 1)
    connections.release(number)
    connections.advance(number, Stage.SILENT)
    assert not connections.prove(number, "a")
    assert (len(connections), connections.early(), connections.oldest()) == (0, (), None)


@pytest.mark.parametrize(
    ("available", "total", "per_address"), [(10_000, 4096, 512), (704, 704, 88), (1, 1, 1)]
)
def test_an_addresss_share_shrinks_with_the_descriptors(available, total, per_address):
    assert port_caps(DevicePortLimits(), available) == Caps(total, per_address, 16)


def test_an_operator_may_give_one_address_everything():
    limits = DevicePortLimits(connections=100, connections_per_address=100)
    assert port_caps(limits, 50) == Caps(50, 50, 16)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["admit", "greeting", "silent", "asking", "prove", "release"]),
            st.sampled_from([HERE, THERE, "2001:db8::1"]),
            st.integers(0, 30),
        ),
        max_size=200,
    )
)
def test_p11_no_order_of_events_breaks_a_cap_or_leaves_something_behind(events):
    caps = Caps(6, 3, 2)
    connections, address_of, device_of = OpenConnections(caps), {}, {}
    for event, address, pick in events:
        number = sorted(address_of)[pick % len(address_of)] if address_of else 0
        if event == "admit":
            admission = connections.admit(address)
            if admission is not None:
                assert admission.victim not in device_of
                address_of.pop(admission.victim, None)
                address_of[admission.number] = address
        elif event == "prove":
            if number not in device_of and connections.prove(number, address):
                device_of[number] = address
        elif event == "release":
            connections.release(number)
            address_of.pop(number, None)
            device_of.pop(number, None)
        else:
            connections.advance(number, Stage[event.upper()])
        assert len(connections) == len(address_of) <= caps.total
        for one in (HERE, THERE, "2001:db8::1"):
            unknown = [a for n, a in address_of.items() if a == one and n not in device_of]
            assert len(unknown) <= caps.per_address
            assert list(device_of.values()).count(one) <= caps.per_device
    for number in list(address_of):
        connections.release(number)
    assert len(connections) == 0
    assert connections.oldest() is None
    assert all(connections.admit(HERE).victim is None for _ in range(caps.per_address))
