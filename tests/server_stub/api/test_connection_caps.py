"""Who may connect, who has to go for whom, and that nothing is counted twice or for ever."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server_stub.api.connection_caps import (
    Caps,
    OpenConnections,
    address_key,
    port_caps,
)
from server_stub.config.limits import DevicePortLimits

HERE, THERE = "192.0.2.1", "192.0.2.2"


def filled(connections, count, address=HERE, *steps):
    """New connections that have taken these steps."""
    numbers = [connections.admit(address).number for _ in range(count)]
    for number in numbers:
        for step in steps:
            getattr(connections, step)(number)
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
    connections.ask(first)
    assert connections.admit(HERE).victim == second
    assert connections.admit(HERE).victim == third
    assert elsewhere in connections
    assert first in connections


def test_an_address_full_of_requests_gets_no_further_connection_while_others_do():
    connections = OpenConnections(Caps(100, 3, 2))
    filled(connections, 3, HERE, "ask")
    assert connections.admit(HERE) is None
    assert connections.admit(THERE).victim is None
    assert connections.refused == 1


def victims(connections, address, count):
    """Who goes for so many new connections, each of which asks at once."""
    found = []
    for _ in range(count):
        admission = connections.admit(address)
        found.append(admission and admission.victim)
        if admission is not None:
            connections.ask(admission.number)
    return found


def test_of_a_full_address_the_mute_go_first_and_then_who_took_its_last_step_longest_ago():
    connections = OpenConnections(Caps(50, 6, 2))
    mute = filled(connections, 2)
    (silent,) = filled(connections, 1, HERE, "speak", "greet")
    greeting = filled(connections, 2, HERE, "speak")
    (rested,) = filled(connections, 1, HERE, "ask", "rest")
    assert victims(connections, HERE, 7) == [*mute, silent, *greeting, rested, None]


def test_of_a_full_port_also_those_go_that_ask_and_last_the_devices_that_rest():
    connections = OpenConnections(Caps(6, 6, 2))
    rested, served, proven = filled(connections, 3, HERE)
    for number, device in ((rested, "a"), (served, "a"), (proven, "b")):
        assert connections.prove(number, device)
    connections.ask(served)
    connections.ask(rested)
    connections.rest(rested)
    asking = filled(connections, 1, HERE, "ask")
    silent = filled(connections, 1, HERE, "ask", "rest")
    mute = filled(connections, 1)
    assert victims(connections, THERE, 3) == [*mute, *asking, *silent]
    for number in range(mute[0] + 1, mute[0] + 4):
        assert connections.prove(number, f"device {number}")
        connections.ask(number)
    assert victims(connections, THERE, 1) == [proven]


def test_known_devices_do_not_count_for_their_address_and_in_a_request_never_make_room():
    connections = OpenConnections(Caps(4, 2, 2))
    for number, device in zip(filled(connections, 2), ("a", "b"), strict=True):
        assert connections.prove(number, device)
        connections.ask(number)
    assert victims(connections, HERE, 2) == [None, None]
    for number in (3, 4):
        assert connections.prove(number, "c")
        connections.ask(number)
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
    connections.ask(number)
    connections.rest(number)
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
            st.sampled_from(["admit", "speak", "greet", "ask", "rest", "prove", "release"]),
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
                address_of.pop(admission.victim, None)
                device_of.pop(admission.victim, None)
                address_of[admission.number] = address
        elif event == "prove":
            if number not in device_of and connections.prove(number, address):
                device_of[number] = address
        elif event == "release":
            connections.release(number)
            address_of.pop(number, None)
            device_of.pop(number, None)
        else:
            getattr(connections, event)(number)
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
