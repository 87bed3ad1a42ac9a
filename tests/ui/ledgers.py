"""Ledgers of many updates, as the agent's `ledger` answers them."""

from dataclasses import replace

from agent.status import SentView
from tests.fakes import agent_client as fakes


def ledger_with(states):
    """A ledger with one charge for each state of its outbox entry; models 11, 12, …"""
    ledger = fakes.ledger_answer()
    for place, state in enumerate(states):
        ledger["outbox"][place]["state"] = state
    return ledger


def many(count, newest_at=fakes.NOW):
    """A ledger of `count` acknowledged updates, one a day, as a function of the params."""
    charge, entry = fakes.ledger_answer()["charges"][0], fakes.ledger_answer()["outbox"][0]

    def at(place):
        return newest_at - (count - 1 - place) * fakes.DAY

    def answer(params):
        places = range(count)[params.get("offset", 0) :][: params["limit"]]
        names = [(place, f"{place:032x}") for place in places]
        return {
            **fakes.ledger_answer(),
            "charges": [
                {**charge, "seq": place + 1, "attempt": name, "at": at(place)}
                for place, name in names
            ],
            "outbox": [
                {
                    **entry,
                    "charge_seq": place + 1,
                    "round_id": place,
                    "attempt": name,
                    "created_at": at(place),
                    "settled_at": at(place),
                }
                for place, name in names
            ],
            "totals": {
                **fakes.ledger_answer()["totals"],
                "charges": count,
                "sent": count,
                "bytes_up": 936 * count,
            },
        }

    return answer


def status_of(count):
    """A status after `count` updates."""
    status = fakes.status()
    return replace(
        status,
        budget=replace(status.budget, charges=count),
        sent=SentView(count, 936 * count, fakes.NOW),
    )
