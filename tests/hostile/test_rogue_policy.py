"""A person cannot lift IT's denial, nor pass a policy of their own off as IT's word: the real
program as an ordinary user, on a machine with a policy in /etc.
"""

import os

import pytest

from tests.fakes.other_user import needs_users
from tests.fakes.person import UID, Person

pytestmark = [pytest.mark.system, needs_users]
DENIAL = 'contribute = false\nreason = "Not on build servers."\n'


@pytest.fixture
def person():
    person = Person()
    yield person
    person.close()


def refusal(person, **environ):
    code, _, err = person.run("run", "--once", **environ)
    assert code == 1
    return err


def test_p3_no_variable_lifts_the_denial(person):
    person.set_policy(DENIAL)
    mine = person.login / "home" / "mine.toml"
    mine.write_text("contribute = true\n")
    os.chown(mine, UID, UID)
    for environ in (
        {},
        {"AEGIS_POLICY": "/none"},
        {"AEGIS_POLICY": str(mine)},
        {"AEGIS_POLICY": str(mine), "PROGRAMDATA": "/tmp", "XDG_CONFIG_DIRS": "/tmp"},
    ):
        assert "DENIED_BY_POLICY: Your organisation" in refusal(person, **environ)
    checks = {c["name"]: c for c in person.json("doctor", AEGIS_POLICY=str(mine))["checks"]}
    assert checks["policy"]["ok"] is False
    assert "Not on build servers." in checks["policy"]["value"]
    assert checks["policy contribute"]["value"].startswith("false: applied")


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"mode": 0o666}, "(mode 0666)"),
        ({"mode": 0o664}, "(mode 0664)"),
        ({"owner": UID}, "does not belong to the administrator"),
        ({"folder_mode": 0o777}, "(mode 0777)"),
    ],
    ids=["file for all", "file for a group", "file of the person", "folder for all"],
)
def test_p3_a_policy_that_others_can_write_is_not_its_word(person, how, why):
    person.set_policy('contribute = true\n[settings]\n"network.proxy" = "http://evil:1"\n', **how)
    err = refusal(person)
    assert "DENIED_BY_POLICY: The policy of this computer cannot be trusted" in err
    assert why in err
    settings = person.json("settings", "get", "network.proxy")["settings"]
    assert settings[0]["value"] == ""
    # Mended by IT, it holds.
    person.set_policy('contribute = true\n[settings]\n"network.proxy" = "http://good:1"\n')
    assert "NO_CONSENT" in refusal(person)
    settings = person.json("settings", "get", "network.proxy")["settings"]
    assert (settings[0]["value"], settings[0]["origin"]) == ("http://good:1", "policy")


def test_p3_a_link_into_a_persons_place_is_not_its_word(person):
    mine = person.login / "home" / "mine.toml"
    mine.write_text("contribute = true\n")
    os.chown(mine, UID, UID)
    person.policy.parent.mkdir()
    person.policy.symlink_to(mine)
    assert "cannot be trusted" in refusal(person)
    # Nor is a file of root that lies in a folder of the person.
    os.chown(mine, 0, 0)
    assert "cannot be trusted" in refusal(person)
    person.policy.unlink()
    assert "NO_CONSENT" in refusal(person)


def test_p5_a_looser_budget_is_refused_in_words(person):
    person.set_policy('[settings]\n"budget.epsilon" = 5\n')
    checks = {c["name"]: c for c in person.json("doctor")["checks"]}
    assert checks["policy"]["value"] == "policy.toml sets nothing"
    assert checks["policy budget.epsilon"]["value"].startswith("5: looser; refused")
    assert person.json("status")["budget"]["epsilon_period"] == 1.0
