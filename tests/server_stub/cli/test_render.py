"""What the commands print for people."""

from dataclasses import replace

import pytest

from agent.protocol.messages import Mode
from server_stub.cli import render
from server_stub.config.settings import ServerSettings, default_task, min_group_settings
from server_stub.rounds.lifecycle import RoundPlan
from tests.fakes.live_server import OPERATOR

DAY = 1_800_000_000

EXCLUSION = {
    "device_id": "urn:uuid:1",
    "code": "SECRET_FALSE",
    "round_id": 5,
    "found_at": DAY,
    "rounds": 2,
    "until_round": 7,
    "until": DAY + 2 * 86_400,
    "released_at": None,
}


def test_a_new_server_says_where_it_is_and_what_to_do_next():
    answer = {"home": "/srv/aegis", "mode": "local", "group_floor": "no groups", "warnings": []}
    assert render.created_text(answer) == (
        "Created a server in /srv/aegis: local mode, no groups. Next: aegis-server run"
    )


@pytest.mark.parametrize(
    ("mode", "size", "text"),
    [
        (Mode.LOCAL, 32, "no groups: each device adds all the noise to its update"),
        (Mode.SECAGG, 32, "floor: groups of 32 devices or more, sums of 20 or more"),
        (Mode.SECAGG, 3, "test floor: groups of 3 devices or more, sums of 2 or more"),
    ],
)
def test_the_smallest_group_is_described(mode, size, text):
    plan = replace(RoundPlan(), **min_group_settings(size))
    assert render.group_text(ServerSettings(OPERATOR, default_task(mode), plan)) == text


def test_values_are_one_line_each():
    answer = {"devices": 3, "mode": "secagg", "round": {"id": 1, "note": "ü"}, "model": None}
    assert render.pairs_text(answer).splitlines() == [
        "devices: 3",
        "mode: secagg",
        'round: {"id": 1, "note": "ü"}',
        "model: None",
    ]


def test_devices_are_one_line_each():
    device = {
        "device_id": "urn:uuid:1",
        "enrolled_at": DAY,
        "certificate_until": DAY + 7 * 86_400,
        "updates": 2,
        "revoked": False,
        "exclusion": None,
        "state": "active",
        "copies_refused": 0,
        "copy_refused_at": None,
    }
    revoked = {**device, "device_id": "urn:uuid:2", "certificate_until": None, "state": "revoked"}
    first, second = render.devices_text({"devices": [device, revoked]}).splitlines()
    assert first.startswith("urn:uuid:1  enrolled 2027-01-15")
    assert "certificate until 2027-01-22" in first
    assert first.endswith("updates 2  active")
    assert second.endswith("updates 2  REVOKED")
    (excluded,) = render.devices_text(
        {"devices": [{**device, "state": "excluded", "exclusion": EXCLUSION}]}
    ).splitlines()
    assert excluded.endswith(
        "updates 2  EXCLUDED through round 7, at the latest until 2027-01-17T08:00:00Z"
        " (SECRET_FALSE in round 5)"
    )
    copied = {**device, "state": "copied", "copies_refused": 2, "copy_refused_at": DAY}
    assert render.devices_text({"devices": [copied]}).endswith(
        "updates 2  COPIED  a copy was refused 2 times, last 2027-01-15T08:00:00Z"
    )
    assert render.devices_text({"devices": []}) == "No device is enrolled."


def test_a_device_is_shown_with_each_proof_and_what_its_judge_says_today():
    proof = {**EXCLUSION, "verified": "verified", "evidence": {}}
    released = {**proof, "rounds": 1, "released_at": DAY, "verified": "NOT VERIFIED: x"}
    answer = {"device_id": "urn:uuid:1", "exclusion": EXCLUSION, "proofs": [proof, released]}
    first, second, third = render.device_text(answer).splitlines()
    assert first.startswith("urn:uuid:1  EXCLUDED through round 7")
    assert second.endswith("excluded from 2 rounds; evidence verified")
    assert "excluded from 1 round, released 2027-01-15" in third
    assert third.endswith("evidence NOT VERIFIED: x")
    free = render.device_text({"device_id": "urn:uuid:1", "exclusion": None, "proofs": []})
    assert free == "urn:uuid:1  not excluded"


def test_a_release_says_whether_it_changed_anything():
    assert render.released_text({"device_id": "one", "released": 2}) == "Released one."
    assert render.released_text({"device_id": "one", "released": 0}) == "one was not excluded."


def test_rounds_are_one_line_each():
    row = {
        "round_id": 7,
        "state": "open",
        "updates": 2,
        "target": 10,
        "base_version": 4,
        "model_version": None,
        "epsilon_ledger": 0.1,
    }
    (line,) = render.rounds_text({"rounds": [row]}).splitlines()
    assert line.split() == ["7", "open", "updates", "2/10", "model", "4", "→", "–", "ε", "0.1"]
    assert render.rounds_text({"rounds": []}) == "No round has been opened yet."


def test_a_round_lists_its_groups_after_its_values():
    group = {
        "state": "aborted",
        "failure": "SURVIVORS",
        "size": 5,
        "dealers": 4,
        "survivors": 3,
        "signed": 2,
        "unmasked": 1,
        "m": 20,
        "c": 6,
        "noise_sd_units_planned": 12.5,
    }
    group |= {"blamed": {"urn:1": "SECRET_FALSE", "urn:2": "MASKED_SIGNATURE"}}
    group |= {"proven": {"urn:1": "SECRET_FALSE"}}
    earlier = {name: group[name] for name in group if name not in ("blamed", "proven")}
    answer = {"round_id": 7, "groups": [group, {**earlier, "state": "done", "failure": ""}]}
    assert render.round_text(answer).splitlines() == [
        "round_id: 7",
        "group 0: aborted, SURVIVORS; 5 advertised, 4 shared, 3 in the sum, 2 signed, 1 unmasked;"
        " m 20, c 6, noise 12.5 units; urn:1 SECRET_FALSE (proven); urn:2 MASKED_SIGNATURE (seen,"
        " not proven)",
        "group 1: done; 5 advertised, 4 shared, 3 in the sum, 2 signed, 1 unmasked; m 20, c 6,"
        " noise 12.5 units",
    ]


def test_a_combined_round_says_what_its_rule_survives_and_what_was_refused():
    figures = {"loss": 0.25, "fpr": 0.01, "tpr": 0.9}
    gate = {"energy": 130.2, "energy_limit": 166.7, "projection": -9.0}
    gate |= {"projection_low": -5.0, "projection_high": 10.0}
    group = {"state": "done", "failure": "", "size": 5, "dealers": 5, "survivors": 5, "signed": 5}
    group |= {"unmasked": 5, "m": 4, "c": 0, "noise_sd_units_planned": 3.0, "gate": gate}
    answer = {
        "round_id": 7,
        "groups": [{**group, "weight": 0.0, "refusal": "PROJECTION"}],
        "defence": {
            "rule": "anchored-mean",
            "sentence": "Operator rows.",
            "judged": 3,
            "refused": {"PROJECTION": 1},
            "false_refusals_expected": 0.009,
        },
        "canary": {
            "candidate": figures,
            "best": figures,
            "start": figures,
            "reasons": ["LOSS"],
        },
    }
    lines = render.round_text(answer).splitlines()
    assert lines[1:3] == [
        "rule: anchored-mean; 3 judged, refused: 1 PROJECTION (0.009 honest ones to expect)",
        "Operator rows.",
    ]
    assert lines[5] == (
        "canary, candidate model: loss 0.2500, false positives 1.00%, true positives 90.00%"
    )
    assert lines[6] == "canary: LOSS"
    assert lines[7].endswith(
        "energy 130 of 167 at most, projection -9.0 in [-5.0, 10.0], weight 0.000;"
        " REFUSED: PROJECTION"
    )


def test_models_are_one_line_each():
    model = {
        "version": 1,
        "published_at": DAY,
        "sha256": "ab" * 32,
        "origin": "start model",
        "demonstration": 1,
    }
    lines = render.models_text({"models": [model, {**model, "demonstration": 0}]}).splitlines()
    assert lines[0].endswith(f"{'ab' * 8}…  start model  demonstration model")
    assert lines[1].endswith("start model")


def test_keys_say_what_the_operator_should_do():
    quiet = {"ends": {"root": DAY}, "renew_soon": [], "offline_keys_here": []}
    assert render.keys_text(quiet).startswith("root       until 2027-01-15")
    assert "\n" not in render.keys_text(quiet)
    text = render.keys_text({**quiet, "renew_soon": ["root"], "offline_keys_here": ["root-1.pem"]})
    assert "Signatures that end soon: root." in text
    assert "aegis-server keys renew --offline DIR" in text
    assert text.splitlines()[-1].startswith("The offline keys are on this machine.")


def test_an_invitation_is_printed_as_it_is():
    assert render.invitation_text({"invitation": "aegis1.x", "token": "t"}) == "aegis1.x"
    assert render.revoked_text({"revoked": "urn:uuid:1"}) == "Revoked urn:uuid:1."
