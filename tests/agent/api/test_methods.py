"""The table of methods: parameters are checked before a method sees them."""

import pytest

from agent.api.methods import Method, Service, check_paths, page_bounds
from agent.errors import AegisError, PeerError


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("nonsense", {}, "UNKNOWN_METHOD"),
        ("status", {"more": 1}, "BAD_PARAMS"),
        ("pause", {"seconds": "15"}, "BAD_PARAMS"),
        ("pause", {"seconds": True}, "BAD_PARAMS"),
        ("pause", {"seconds": -5}, "BAD_VALUE"),
        ("pause", {"seconds": 10**12}, "BAD_VALUE"),
        ("pause", {"until": 5}, "BAD_VALUE"),
        ("samples.add", {"paths": ["/x"]}, "BAD_PARAMS"),
        ("samples.add", {"paths": ["/x"], "label": "odd"}, "BAD_VALUE"),
        ("scan", {"paths": []}, "BAD_PARAMS"),
        ("scan", {"paths": [1]}, "BAD_PARAMS"),
        ("scan", {"paths": ["a\0b"]}, "BAD_PARAMS"),
        (
            "consent.grant",
            {"notice_id": "x", "text_sha256": "y", "surface": "cli", "locale": "en"},
            "NOTICE_CHANGED",
        ),
        ("consent.grant", {"notice_id": "x"}, "BAD_PARAMS"),
        ("enroll", {}, "BAD_PARAMS"),
        ("enroll", {"invitation": "x", "server": "y"}, "BAD_PARAMS"),
        ("enroll", {"invitation": "x" * 60_000}, "INVITATION_BAD"),
        ("invitation.inspect", {"invitation": "aegis1.x.y"}, "INVITATION_BAD"),
        ("settings.set", {"key": "cpu.share_idle", "value": []}, "BAD_VALUE"),
        ("export", {"path": "relative.json"}, "BAD_VALUE"),
        ("sent.show", {"attempt": "none"}, "NOT_FOUND"),
    ],
)
async def test_p11_a_bad_request_is_refused_and_changes_nothing(device, method, params, code):
    before = device.agent.status()
    with pytest.raises(AegisError) as raised:
        await device.agent.service.call(method, params)
    assert raised.value.code == code
    assert device.agent.status() == before


class Topic:
    """Two methods that note their parameters."""

    def __init__(self):
        self.calls = []

    def methods(self):
        return {
            "count": Method(self.note, {"number": int}, {"label": str}),
            "any": Method(self.note, {}, {"value": object}),
        }

    async def note(self, **params):
        self.calls.append(params)
        return {"calls": len(self.calls)}


async def test_a_method_receives_exactly_its_parameters():
    topic = Topic()
    service = Service(topic)
    assert service.names == {"count", "any"}
    assert await service.call("count", {"number": 3, "label": "x"}) == {"calls": 1}
    assert await service.call("any", {"value": [True]}) == {"calls": 2}
    assert topic.calls == [{"number": 3, "label": "x"}, {"value": [True]}]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "Missing parameters: number."),
        ({"number": "3"}, "number: expected int."),
        ({"number": True}, "number: expected int."),
        ({"number": None}, "number: expected int."),
        ({"number": 3, "label": 4}, "label: expected str."),
        ({"number": 3, "more": 1}, "Unknown parameters: more."),
    ],
)
async def test_p11_other_parameters_never_reach_a_method(params, message):
    topic = Topic()
    with pytest.raises(PeerError) as raised:
        await Service(topic).call("count", params)
    assert (raised.value.code, raised.value.message) == ("BAD_PARAMS", message)
    assert topic.calls == []


def test_p11_a_long_unknown_name_is_cut_short():
    with pytest.raises(PeerError) as raised:
        Service().call("x" * 10_000, {}).send(None)
    assert len(raised.value.message) < 100


def test_a_page_stays_within_its_bounds():
    assert page_bounds(-5, 0) == (0, 1)
    assert page_bounds(7, 10**9) == (7, 1000)


@pytest.mark.parametrize("paths", [[], [""], [1], ["a\0b"], ["a", None]], ids=repr)
def test_p11_paths_are_names_of_files(paths):
    with pytest.raises(PeerError):
        check_paths(paths)
