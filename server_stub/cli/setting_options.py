"""The options of `init` and `run` that override a server's settings, as one table."""

from argparse import Namespace
from typing import Any

from server_stub.cli.parser import Argument, argument
from server_stub.cli.values import not_negative, positive, seconds, thousandths
from server_stub.config.settings import ServerSettings, min_group_settings, override

LIFETIME_PERIODS = 3
"""Periods that the lifetime budget covers if only the budget of a period is given."""


def _setting(key: str, option: str, **settings: Any) -> Argument:
    """An option that overrides the setting `key`."""
    return argument(option, dest=key, **settings)


SETTING_OPTIONS = (
    _setting("host", "--host", metavar="ADDRESS", help="address to listen on"),
    _setting("port", "--port", type=int, metavar="N", help="device port; 0 picks a free one"),
    _setting(
        "operator_port",
        "--operator-port",
        type=int,
        metavar="N",
        help="operator port on loopback; 0 picks a free one",
    ),
    _setting(
        "target",
        "--rounds-target",
        type=positive,
        metavar="N",
        help="local mode: close a round after N updates",
    ),
    _setting(
        "seconds",
        "--round-seconds",
        type=seconds,
        metavar="TIME",
        help="local mode: close a round after this time at the latest",
    ),
    _setting(
        "minimum",
        "--rounds-minimum",
        type=positive,
        metavar="N",
        help="local mode: publish no model from fewer than N updates",
    ),
    _setting(
        "planned",
        "--rounds-planned",
        type=positive,
        metavar="N",
        help="number of rounds that share the epsilon of a period",
    ),
    _setting(
        "fast_spending",
        "--fast-spending",
        action="store_true",
        default=None,
        help=(
            "let a round cost more than a tenth of a period's epsilon, which devices refuse unless"
            " they are set up for demonstrations or tests"
        ),
    ),
    _setting(
        "pause_s", "--round-pause", type=seconds, metavar="TIME", help="pause between two rounds"
    ),
    _setting(
        "g_max",
        "--group-max",
        type=positive,
        metavar="N",
        help="secagg: largest number of devices in a group",
    ),
    _setting(
        "min_group",
        "--group-floor",
        type=positive,
        metavar="N",
        help=(
            "secagg: smallest number of devices in a group; below 32 it is a test floor, which"
            " devices refuse unless they are set up for tests"
        ),
    ),
    _setting(
        "ready_target",
        "--ready-target",
        type=positive,
        metavar="N",
        help="secagg: announce a join window once N devices are ready",
    ),
    _setting(
        "lead_s",
        "--lead-seconds",
        type=seconds,
        metavar="TIME",
        help="secagg: time between announcing a join window and opening it",
    ),
    _setting(
        "join_s",
        "--join-seconds",
        type=seconds,
        metavar="TIME",
        help="secagg: length of a join window",
    ),
    _setting(
        "phase_s",
        "--phase-seconds",
        type=seconds,
        metavar="TIME",
        help="secagg: longest time for each phase",
    ),
    _setting(
        "coordinates",
        "--coordinates",
        type=not_negative,
        metavar="K",
        help="each device sends K coordinates, drawn anew for each round; 0 sends all",
    ),
    _setting(
        "epsilon_milli",
        "--epsilon",
        type=thousandths,
        metavar="E",
        help="privacy budget of a device for a period",
    ),
    _setting(
        "lifetime_epsilon_milli",
        "--lifetime-epsilon",
        type=thousandths,
        metavar="E",
        help=f"privacy budget of a device over its lifetime (default: {LIFETIME_PERIODS} periods)",
    ),
    _setting("period_days", "--period-days", type=positive, metavar="N", help="length of a period"),
    _setting(
        "next_poll_s",
        "--poll-seconds",
        type=seconds,
        metavar="TIME",
        help="how often devices ask for an offer",
    ),
    _setting(
        "server_rate_milli",
        "--server-rate-milli",
        type=positive,
        metavar="N",
        help="share of the mean update that moves the model, in thousandths",
    ),
    _setting(
        "server_decay_milli",
        "--server-decay-milli",
        type=not_negative,
        metavar="N",
        help="divide that share by the round's number to the power of N/1000",
    ),
    _setting(
        "server_shrink_milli",
        "--server-shrink-milli",
        type=positive,
        metavar="N",
        help="with a base: each round's share is N/1000 of that of the round before",
    ),
)


def apply_setting_options(settings: ServerSettings, options: Namespace) -> ServerSettings:
    """Return `settings` with the given options.

    Raises OperatorActionError BAD_SETTING, PRICE_TOO_HIGH.
    """
    given = {
        key: value
        for key in (one.settings["dest"] for one in SETTING_OPTIONS)
        if (value := getattr(options, key)) is not None
    }
    if "epsilon_milli" in given:
        lifetime = max(LIFETIME_PERIODS * given["epsilon_milli"], 1)
        given.setdefault("lifetime_epsilon_milli", lifetime)
    if "min_group" in given:
        given.update(min_group_settings(given.pop("min_group")))
    return override(settings, **given)
