"""Each state of a Secret Service has its own code, and only a person's act raises a prompt."""

import threading

import pytest

from agent.errors import AegisError
from agent.identity.secret_service import Deadlines, SecretService
from tests.fakes.made_keyring import BUS_ERROR, LOGIN, WORK, MadeKeyring, PrivateBus

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(PrivateBus.missing()), reason="not installed: dbus-daemon"),
]
ITEM = f"{LOGIN}/1"


@pytest.fixture(scope="module")
def bus():
    bus = PrivateBus()
    yield bus
    bus.close()


@pytest.fixture
def keyring(bus, monkeypatch):
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", bus.address)
    keyring = MadeKeyring(bus.address)
    yield keyring
    keyring.close()


@pytest.fixture
def service():
    service = SecretService("AegisAI", Deadlines(call_s=2, unlock_s=0.3, create_s=0.3))
    yield service
    service.close()


def code_of(call, *args, **options):
    with pytest.raises(AegisError) as raised:
        call(*args, **options)
    assert raised.value.remedy
    return raised.value.code


def codes_without_a_person(service):
    """What every call says that the agent makes by itself."""
    return {
        code_of(service.check, ("n",)),
        code_of(service.get, "n"),
        code_of(service.put, "n", "new"),
        code_of(service.delete, "n", may_prompt=False),
    }


def test_a_secret_is_stored_replaced_and_deleted(keyring, service):
    service.put("n", "first")
    service.put("n", "second")
    assert service.get("n") == "second"
    assert service.get("other") is None
    service.delete("n", may_prompt=False)
    service.delete("n", may_prompt=False)
    assert (service.get("n"), keyring.items, keyring.shown) == (None, {}, [])


@pytest.mark.parametrize("items", [0, 1])
def test_a_locked_collection_is_told_without_a_prompt(keyring, service, items):
    if items:
        keyring.add(ITEM, "n", "s")
    keyring.collections[LOGIN] = True
    assert codes_without_a_person(service) == {"KEYRING_LOCKED"}
    assert keyring.shown == []


def test_an_item_that_is_locked_itself_is_told_without_a_prompt(keyring, service):
    keyring.add(ITEM, "n", "s", asks=True)
    assert codes_without_a_person(service) == {"KEYRING_ITEM_LOCKED"}
    assert code_of(service.check) == "KEYRING_ITEM_LOCKED"
    assert keyring.shown == []
    assert not {"Unlock", "GetSecret", "SetSecret", "Delete"} & set(keyring.calls)


def test_an_item_of_another_home_that_is_locked_is_no_fault(keyring, service):
    keyring.add(ITEM, "n", "s")
    keyring.add(f"{LOGIN}/2", "another", "s", asks=True)
    service.check(("n",))
    assert service.get("n") == "s"
    service.unlock(("n",))
    assert keyring.shown == []


def test_a_person_unlocks_collection_and_item(keyring, service):
    keyring.add(ITEM, "n", "s", asks=True)
    keyring.collections[LOGIN] = True
    service.unlock(("n",))
    assert service.get("n") == "s"
    assert keyring.shown == ["Prompt", "Prompt"]


def test_no_default_keyring_is_told_and_made_by_the_persons_act(keyring, service):
    keyring.default, keyring.collections = "", {}
    assert codes_without_a_person(service) == {"KEYRING_NO_DEFAULT"}
    assert keyring.shown == []
    service.unlock()
    service.put("n", "s")
    assert service.get("n") == "s"


def test_a_default_keyring_that_is_gone_is_told_and_made_anew(keyring, service):
    keyring.collections = {}
    assert codes_without_a_person(service) == {"KEYRING_DEFAULT_GONE"}
    assert keyring.shown == []
    service.unlock()
    service.check()


@pytest.mark.parametrize(
    ("answer", "opens", "code"),
    [
        (False, True, "KEYRING_PROMPT_CLOSED"),
        (None, True, "KEYRING_PROMPT_UNANSWERED"),
        (True, False, "KEYRING_LOCKED"),
    ],
)
def test_what_becomes_of_the_question_has_its_own_code(keyring, service, answer, opens, code):
    keyring.collections[LOGIN] = True
    keyring.answer, keyring.opens = answer, opens
    assert code_of(service.unlock) == code
    assert ("Dismiss" in keyring.calls) == (answer is None)
    assert code_of(service.get, "n") == "KEYRING_LOCKED"


@pytest.mark.parametrize(
    ("answer", "opens", "code"),
    [
        (False, True, "KEYRING_PROMPT_CLOSED"),
        (None, True, "KEYRING_PROMPT_UNANSWERED"),
        (True, False, "KEYRING_NO_DEFAULT"),
    ],
)
def test_a_default_keyring_that_was_not_made(keyring, service, answer, opens, code):
    keyring.default, keyring.collections = "", {}
    keyring.answer, keyring.opens = answer, opens
    assert code_of(service.unlock) == code


def test_an_item_is_found_where_it_is_when_the_default_keyring_changes(keyring, service):
    keyring.collections[WORK] = False
    keyring.add(f"{WORK}/1", "n", "s")
    assert service.get("n") == "s"
    service.put("n", "t")
    keyring.default = ""
    assert service.get("n") == "t"
    service.unlock(("n",))
    service.delete("n", may_prompt=False)
    assert keyring.items == {}


def test_an_item_that_another_locked_keyring_may_hold_is_not_lost(keyring, service):
    keyring.collections[WORK] = True
    assert code_of(service.get, "n") == "KEYRING_LOCKED"
    service.unlock(("n",))
    assert service.get("n") is None


def test_making_and_deleting_by_way_of_a_prompt(keyring, service):
    keyring.by_prompt = True
    service.put("n", "s")
    assert service.get("n") == "s"
    keyring.shown.clear()
    assert code_of(service.delete, "n", may_prompt=False) == "KEYRING_ITEM_LOCKED"
    assert keyring.shown == []
    service.delete("n", may_prompt=True)
    assert (keyring.shown, keyring.items) == (["Prompt"], {})


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (f"{BUS_ERROR}AccessDenied", "KEYRING_DENIED"),
        (f"{BUS_ERROR}NoReply", "KEYRING_TIMEOUT"),
        (f"{BUS_ERROR}ServiceUnknown", "KEYRING_ABSENT"),
        (f"{BUS_ERROR}Spawn.ChildExited", "KEYRING_ABSENT"),
        ("org.freedesktop.Secret.Error.IsLocked", "KEYRING_ITEM_LOCKED"),
    ],
)
def test_a_refusal_has_its_code(keyring, service, error, code):
    keyring.add(ITEM, "n", "s")
    keyring.refuses["GetSecret"] = error
    assert code_of(service.get, "n") == code


@pytest.mark.parametrize("method", ["ReadAlias", "Get", "SearchItems", "GetSecret", "Prompt"])
def test_a_service_that_does_not_answer_costs_one_deadline(keyring, method):
    service = SecretService("AegisAI", Deadlines(call_s=0.2, unlock_s=0.2, create_s=0.2))
    keyring.add(ITEM, "n", "s", asks=method == "Prompt")
    keyring.silent.add(method)
    call = service.unlock if method == "Prompt" else lambda: service.get("n")
    assert code_of(call) in ("KEYRING_TIMEOUT", "KEYRING_PROMPT_UNANSWERED")
    keyring.silent.clear()
    keyring.asks_for.clear()
    assert service.get("n") == "s"
    service.close()


def test_without_a_bus_or_a_service_there_is_no_keyring(bus, service, monkeypatch):
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", bus.address)
    assert code_of(service.check) == "KEYRING_ABSENT"
    for address in ("unix:path=/nonexistent", "nonsense", ""):
        other = SecretService("AegisAI", Deadlines())
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        assert code_of(other.check) == "KEYRING_ABSENT"


def test_a_bus_that_comes_back_is_used_again(monkeypatch, service):
    for _ in range(2):
        bus = PrivateBus()
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", bus.address)
        keyring = MadeKeyring(bus.address)
        keyring.add(ITEM, "n", "s")
        assert service.get("n") == "s"
        keyring.close()
        bus.close()
    assert code_of(service.get, "n") == "KEYRING_ABSENT"


def test_no_thread_is_left_behind(keyring, service):
    before = threading.active_count()
    service.put("n", "s")
    assert threading.active_count() == before
