"""The `aegis-server` command."""

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from agent.clock import SystemClock, utc
from agent.errors import AegisError, InternalError, OperatorActionError
from agent.paths import default_home
from agent.protocol.invitation import Invitation, Operator, PrivacyFigures, format_invitation
from agent.protocol.messages import Mode
from agent.protocol.signing import public_hex
from server_stub.ca import server_certificate
from server_stub.ca.authority import Authority
from server_stub.cli.init import create_home
from server_stub.config.home import ServerHome
from server_stub.config.settings import ServerSettings, default_task, min_group_settings, override
from server_stub.coordinator.statistics import round_summary, statistics
from server_stub.publishing import key_ceremony, models
from server_stub.rounds.lifecycle import RoundPlan
from server_stub.storage.store import Store

Answer = dict[str, Any]
T = TypeVar("T")
MAX_DATA_BYTES = 4 << 30


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. 0 done, 1 refused or failed (one line on stderr), 2 usage."""
    options = _parser().parse_args(argv)
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING,
        stream=sys.stderr,
        format="%(asctime)s %(name)s %(message)s",
    )
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        answer = options.act(ServerHome(options.home), options)
    except AegisError as error:
        print(f"{error.code}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1
    except OSError as error:
        print(f"FILE: {error.strerror or error}: {error.filename or ''}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1
    if answer is not None:
        print(json.dumps(answer, ensure_ascii=False) if options.json else options.show(answer))
    return 0


def _init(home: ServerHome, options: argparse.Namespace) -> Answer:
    operator = Operator(
        options.operator_name, options.contact, options.recipients, options.retention
    )
    task = replace(
        default_task(Mode(options.mode)),
        **{name: value for name, value in _task_options(options).items() if value is not None},
    )
    settings = override(
        ServerSettings(operator, task, RoundPlan(), tuple(options.host_name)),
        **_run_options(options),
        url=options.url,
    )
    try:
        task.check()
    except ValueError as error:
        raise OperatorActionError(
            "BAD_SETTING", f"A setting cannot be used: {error}.", "Correct the option."
        ) from error
    content = options.model.read_bytes() if options.model else models.start_model()
    models.check_file(content, task)
    now = SystemClock().now()
    create_home(home, settings, now)
    store = Store(home.database_url)
    try:
        is_demonstration = options.model is None
        model = models.make_model(
            1, content, origin="start model", demonstration=is_demonstration, now=now
        )
        store.models.add(model, now)
        models.bring_up_to_date(home, store, task, now)
    finally:
        store.close()
    Authority(home.authority, SystemClock()).close()
    return {
        "home": str(home.folder),
        "task_id": task.task_id,
        "mode": task.mode.value,
        "group_floor": _floor(settings),
        "model_version": 1,
        "signing_key": public_hex(home.signing_key()),
    }


def _run(home: ServerHome, options: argparse.Namespace) -> None:
    from server_stub import serve

    settings = override(home.settings(), **_run_options(options))
    if settings.task.mode is Mode.SECAGG and settings.rounds.is_test_floor:
        print(f"Attention, {_floor(settings)}.", file=sys.stderr)
    if options.workers != 1:
        raise OperatorActionError(
            "WORKERS",
            "Several workers need PostgreSQL, which is not supported yet.",
            "Leave --workers away.",
        )
    serve.run(home, settings, database=options.database, ready_file=options.ready_file)


def _ca_run(home: ServerHome, options: argparse.Namespace) -> None:
    from server_stub.ca import process

    clock = SystemClock()
    home.settings()

    def renew() -> None:
        if server_certificate.renew_if_due(home, home.settings(), clock.now()):
            print(
                "The server's TLS certificate was renewed; the server takes it up by itself.",
                file=sys.stderr,
            )

    process.run(home.authority, clock, until_input_ends=options.until_input_ends, daily=renew)


def _token_create(home: ServerHome, options: argparse.Namespace) -> Answer:
    settings, now = home.settings(), SystemClock().now()
    server = options.server or home.url(settings)
    figures = PrivacyFigures(
        settings.task.mode,
        settings.rounds.epsilon_milli,
        settings.rounds.delta_inverse,
        settings.period_days,
        settings.lifetime_epsilon_milli,
    )
    key = home.signing_key()
    authority = Authority(home.authority, SystemClock())
    try:
        token = authority.add_token(options.uses, options.ttl)
    finally:
        authority.close()
    invitation = Invitation(
        server,
        token,
        home.ca_pem,
        public_hex(key),
        settings.task.task_id,
        home.root_sha256(),
        settings.operator,
        figures,
    )
    try:
        text = format_invitation(invitation, key)
    except ValueError as error:
        raise OperatorActionError(
            "BAD_SETTING", f"No invitation can be made: {error}.", "Correct the setting."
        ) from error
    return {
        "invitation": text,
        "token": token,
        "server": server,
        "uses": options.uses,
        "expires_at": now + options.ttl,
    }


def _devices_list(home: ServerHome, _options: argparse.Namespace) -> Answer:
    return {"devices": _with_store(home, lambda store: store.devices.inventory())}


def _devices_revoke(home: ServerHome, options: argparse.Namespace) -> Answer:
    now = SystemClock().now()
    home.settings()
    known = _with_store(home, lambda store: store.devices.revoke(options.device_id, now))
    authority = Authority(home.authority, SystemClock())
    try:
        known = authority.revoke(options.device_id) or known
    finally:
        authority.close()
    if not known:
        raise OperatorActionError(
            "NO_DEVICE", "There is no such device.", "See `aegis-server devices list`."
        )
    return {"revoked": options.device_id}


def _rounds_list(home: ServerHome, _options: argparse.Namespace) -> Answer:
    settings = home.settings()
    return {
        "rounds": [
            round_summary(held, settings)
            for held in _with_store(home, lambda store: store.rounds.all())
        ]
    }


def _rounds_show(home: ServerHome, options: argparse.Namespace) -> Answer:
    settings = home.settings()
    held = _with_store(home, lambda store: store.rounds.get(options.round_id))
    if held is None:
        raise OperatorActionError(
            "NO_ROUND", "There is no such round.", "See `aegis-server rounds list`."
        )
    return {**round_summary(held, settings), "config": held.config.to_json()}


def _stats(home: ServerHome, _options: argparse.Namespace) -> Answer:
    settings = home.settings()
    return _with_store(home, lambda store: statistics(store, settings))


def _model_show(home: ServerHome, _options: argparse.Namespace) -> Answer:
    return {"models": _with_store(home, lambda store: store.models.inventory())}


def _keys_show(home: ServerHome, _options: argparse.Namespace) -> Answer:
    return key_ceremony.show(home, SystemClock().now())


def _keys_renew(home: ServerHome, options: argparse.Namespace) -> Answer:
    return key_ceremony.renew(
        home,
        SystemClock().now(),
        offline=options.offline,
        replace_online_key=options.replace_online_key,
    )


def _model_publish(home: ServerHome, options: argparse.Namespace) -> Answer:
    content = options.file.read_bytes()
    return _publish(home, content, "operator", is_demonstration=False)


def _model_rollback(home: ServerHome, options: argparse.Namespace) -> Answer:
    wanted = options.to
    if wanted is None:
        wanted = _with_store(home, lambda store: store.models.newest_version()) - 1
    model = _with_store(home, lambda store: store.models.get(wanted))
    if model is None:
        raise OperatorActionError(
            "NO_MODEL", f"There is no model of version {wanted}.", "See `aegis-server model show`."
        )
    return _publish(
        home, model.content, f"version {wanted}", is_demonstration=bool(model.demonstration)
    )


def _publish(home: ServerHome, content: bytes, origin: str, *, is_demonstration: bool) -> Answer:
    """A new version, also for an older model: devices refuse to go back."""
    settings, now = home.settings(), SystemClock().now()
    models.check_file(content, settings.task)

    def publish(store: Store) -> Answer:
        version = store.models.newest_version() + 1
        model = models.make_model(
            version, content, origin=origin, demonstration=is_demonstration, now=now
        )
        store.models.add(model, now)
        models.bring_up_to_date(home, store, settings.task, now)
        return {"version": version, "sha256": model.sha256, "origin": origin}

    return _with_store(home, publish)


def _evaluate(home: ServerHome, options: argparse.Namespace) -> Answer:
    import numpy as np

    from agent.detector.model import from_safetensors, metrics, probability
    from agent.detector.transform import transform

    home.settings()
    model = _with_store(home, lambda store: store.models.newest())
    if model is None:
        raise OperatorActionError("NO_MODEL", "There is no model.", "Publish one.")
    try:
        with np.load(options.data, allow_pickle=False) as table:
            rows, labels = np.asarray(table["X"]), np.asarray(table["y"]).astype(np.int64)
        if (
            rows.ndim != 2
            or rows.shape[1] != 29
            or labels.shape != rows.shape[:1]
            or not np.isin(labels, (0, 1)).all()
        ):
            raise ValueError("shape")
    except (ValueError, KeyError, TypeError, EOFError) as error:
        raise OperatorActionError(
            "BAD_TABLE",
            "The table cannot be used.",
            "Expected a .npz file with X (n, 29) and y (n,) of 0 and 1.",
        ) from error
    figures = metrics(labels, probability(from_safetensors(model.content), transform(rows)))
    return {
        "model_version": model.version,
        "rows": len(labels),
        **{name: round(value, 6) for name, value in figures.__dict__.items()},
    }


def _with_store(home: ServerHome, act: Callable[[Store], T]) -> T:
    home.settings()
    store = Store(home.database_url)
    try:
        return act(store)
    finally:
        store.close()


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--home", type=Path, default=_default_home(), metavar="DIR", help="the server's folder"
    )
    common.add_argument("--json", action="store_true", help="print one JSON document")
    common.add_argument("--verbose", action="store_true", help="log what happens to stderr")
    parser = argparse.ArgumentParser(prog="aegis-server", description="The aggregator of AegisAI.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        group: Any, name: str, act: Callable[..., Any], show: Callable[[Answer], str], text: str
    ) -> argparse.ArgumentParser:
        made = group.add_parser(name, parents=[common], help=text, description=text)
        made.set_defaults(act=act, show=show)
        assert isinstance(made, argparse.ArgumentParser)  # noqa: S101  (argparse's types do not say so)
        return made

    def group(name: str, text: str) -> Any:
        return commands.add_parser(name, help=text).add_subparsers(required=True, metavar="COMMAND")

    _add_init(
        add(
            commands,
            "init",
            _init,
            lambda a: (
                f"The server in {a['home']} is made. {a['mode']} mode, {a['group_floor']}. Next:"
                " aegis-server run"
            ),
            "make keys, task and start model",
        )
    )
    _add_run(add(commands, "run", _run, str, "serve"))
    authority = add(
        group("ca", "the enrolment authority"), "run", _ca_run, str, "run the authority by itself"
    )
    authority.add_argument(
        "--until-input-ends", action="store_true", help="end with the program that started it"
    )
    tokens = group("token", "invitations")
    create = add(
        tokens,
        "create",
        _token_create,
        lambda a: str(a["invitation"]),
        "print an invitation with a new token",
    )
    create.add_argument(
        "--uses", type=_positive, default=1, metavar="N", help="1 for a person, more for a roll-out"
    )
    create.add_argument(
        "--ttl",
        type=_seconds,
        default=24 * 3600,
        metavar="TIME",
        help="how long it is good: 900, 15m, 24h, 7d",
    )
    create.add_argument("--server", metavar="URL", help="where devices reach this server")
    devices = group("devices", "inventory")
    add(devices, "list", _devices_list, _show_devices, "list devices")
    add(
        devices,
        "revoke",
        _devices_revoke,
        lambda a: f"Revoked: {a['revoked']}",
        "refuse a device from now on",
    ).add_argument("device_id")
    rounds = group("rounds", "rounds")
    add(rounds, "list", _rounds_list, _show_rounds, "list rounds")
    add(rounds, "show", _rounds_show, _show_round, "show a round").add_argument(
        "round_id", type=int
    )
    add(commands, "stats", _stats, _show_pairs, "figures")
    models = group("model", "models")
    add(models, "publish", _model_publish, _show_pairs, "publish a model file").add_argument(
        "file", type=Path
    )
    add(models, "show", _model_show, _show_models, "list models")
    rollback = add(
        models,
        "rollback",
        _model_rollback,
        _show_pairs,
        "publish an earlier model again, as a new version",
    )
    rollback.add_argument(
        "--to", type=int, metavar="VERSION", help="default: the one before the newest"
    )
    keys = group("keys", "the keys that sign models")
    add(keys, "show", _keys_show, key_ceremony.show_text, "when their signatures end")
    renew = add(
        keys,
        "renew",
        _keys_renew,
        key_ceremony.show_text,
        "sign root and targets for another year with the offline keys",
    )
    renew.add_argument(
        "--offline",
        type=Path,
        metavar="DIR",
        help="where the offline keys are (default: where init left them)",
    )
    renew.add_argument(
        "--replace-online-key",
        action="store_true",
        help="make a new online key; the old one signs nothing any more",
    )
    evaluate = add(
        commands, "evaluate", _evaluate, _show_pairs, "score the current model on labelled rows"
    )
    evaluate.add_argument("--data", type=Path, required=True, metavar="FILE.npz")
    return parser


def _add_init(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--operator-name",
        default="The operator of this aggregator",
        help="who asks; shown to every person before they say yes",
    )
    parser.add_argument(
        "--contact", default="Ask whoever gave you the invitation", help="how to reach the operator"
    )
    parser.add_argument("--recipients", default="The operator only", help="who receives updates")
    parser.add_argument(
        "--retention",
        default="Updates are deleted when their round has ended",
        help="how long updates are kept",
    )
    parser.add_argument(
        "--host-name",
        action="append",
        default=[],
        metavar="NAME",
        help="a name or address of this server (repeatable)",
    )
    parser.add_argument("--url", help="where devices reach this server")
    parser.add_argument(
        "--model",
        type=Path,
        metavar="FILE",
        help="the start model (default: the packaged demonstration model)",
    )
    parser.add_argument("--task-id")
    parser.add_argument(
        "--mode",
        choices=[mode.value for mode in Mode],
        default=Mode.SECAGG.value,
        help=(
            "secagg (default): only sums over groups can be read; local: full noise on each device,"
            " no groups"
        ),
    )
    for name in ("train-steps", "train-rate-milli", "clip-milli", "min-rows", "weight-cap"):
        parser.add_argument(f"--{name}", type=_positive, metavar="N")
    _add_settings(parser)


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ready-file",
        type=Path,
        metavar="FILE",
        help="write where it listens, as JSON, when it is ready",
    )
    parser.add_argument("--database", default="", metavar="URL", help="sqlite:///FILE")
    parser.add_argument("--workers", type=_positive, default=1, metavar="N")
    _add_settings(parser)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help="address to listen on")
    parser.add_argument("--port", type=int, help="device port; 0: any")
    parser.add_argument("--operator-port", type=int, help="operator port on loopback; 0: any")
    parser.add_argument(
        "--rounds-target",
        type=_positive,
        metavar="N",
        help="a round closes when so many updates are in",
    )
    parser.add_argument(
        "--round-seconds", type=_seconds, metavar="TIME", help="... or after this time"
    )
    parser.add_argument(
        "--rounds-minimum", type=_positive, metavar="N", help="fewest updates for a new model"
    )
    parser.add_argument(
        "--rounds-planned",
        type=_positive,
        metavar="N",
        help="rounds that share the epsilon of a period",
    )
    parser.add_argument("--round-pause", type=_seconds, metavar="TIME", help="between two rounds")
    parser.add_argument(
        "--group-max", type=_positive, metavar="N", help="secagg: most devices in a group"
    )
    parser.add_argument(
        "--group-floor",
        type=_positive,
        metavar="N",
        help=(
            "secagg: fewest devices in a group; below 32 it is a test floor, which devices refuse"
            " unless they were made for tests"
        ),
    )
    parser.add_argument(
        "--ready-target",
        type=_positive,
        metavar="N",
        help="secagg: announce a join window when so many devices are ready",
    )
    parser.add_argument(
        "--lead-seconds",
        type=_seconds,
        metavar="TIME",
        help="secagg: between announcing a join window and its opening",
    )
    parser.add_argument(
        "--join-seconds", type=_seconds, metavar="TIME", help="secagg: length of the join window"
    )
    parser.add_argument(
        "--phase-seconds", type=_seconds, metavar="TIME", help="secagg: longest time for each phase"
    )
    parser.add_argument(
        "--coordinates",
        type=_whole,
        metavar="K",
        help="each device sends K coordinates, the same for all, drawn anew for each round; 0: all",
    )
    parser.add_argument(
        "--epsilon", type=_number, metavar="E", help="privacy budget of a device per period"
    )
    parser.add_argument("--lifetime-epsilon", type=_number, metavar="E")
    parser.add_argument("--period-days", type=_positive, metavar="N")
    parser.add_argument(
        "--poll-seconds", type=_seconds, metavar="TIME", help="how often devices ask for offers"
    )
    parser.add_argument(
        "--server-rate-milli",
        type=_positive,
        metavar="N",
        help="share of the mean update that is applied, in thousandths",
    )
    parser.add_argument(
        "--server-decay-milli",
        type=_whole,
        metavar="N",
        help="that share falls with the round's number to this power",
    )


def _run_options(options: argparse.Namespace) -> dict[str, Any]:
    epsilon = None if options.epsilon is None else round(options.epsilon * 1000)
    lifetime = None if options.lifetime_epsilon is None else round(options.lifetime_epsilon * 1000)
    return {
        "host": options.host,
        "port": options.port,
        "operator_port": options.operator_port,
        "target": options.rounds_target,
        "seconds": options.round_seconds,
        "minimum": options.rounds_minimum,
        "planned": options.rounds_planned,
        "pause_s": options.round_pause,
        "epsilon_milli": epsilon,
        "lifetime_epsilon_milli": (
            lifetime if lifetime is not None or epsilon is None else max(3 * epsilon, 1)
        ),
        "period_days": options.period_days,
        "next_poll_s": options.poll_seconds,
        "server_rate_milli": options.server_rate_milli,
        "g_max": options.group_max,
        **({} if options.group_floor is None else min_group_settings(options.group_floor)),
        "ready_target": options.ready_target,
        "lead_s": options.lead_seconds,
        "join_s": options.join_seconds,
        "phase_s": options.phase_seconds,
        "server_decay_milli": options.server_decay_milli,
        "coordinates": options.coordinates,
    }


def _floor(settings: ServerSettings) -> str:
    """The group floor in words."""
    if settings.task.mode is not Mode.SECAGG:
        return "no groups: each device adds all the noise to its update"
    plan = settings.rounds
    kind = "test floor" if plan.is_test_floor else "floor"
    return f"{kind}: groups of {plan.min_group} devices or more, sums of {plan.min_sum} or more"


def _task_options(options: argparse.Namespace) -> dict[str, Any]:
    return {
        name: getattr(options, name)
        for name in (
            "task_id",
            "train_steps",
            "train_rate_milli",
            "clip_milli",
            "min_rows",
            "weight_cap",
        )
    }


def _default_home() -> Path:
    given = os.environ.get("AEGIS_SERVER_HOME")
    return (
        Path(given)
        if given
        else default_home({**os.environ, "AEGIS_HOME": ""}).with_name("aegisai-server")
    )


def _number(text: str) -> float:
    number = float(text)
    if not abs(number) < 1e9:  # also for "nan"
        raise argparse.ArgumentTypeError(f"expected a number, got {text[:40]}")
    return number


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("expected a positive number")
    return number


def _whole(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("expected zero or a positive number")
    return number


def _seconds(text: str) -> int:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    number, unit = (text[:-1], text[-1]) if text[-1:] in units else (text, "s")
    if not number.isascii() or not number.isdigit() or len(number) > 9:
        raise argparse.ArgumentTypeError("expected a time such as 900, 15m, 24h or 7d")
    return int(number) * units[unit]


def _show_pairs(answer: Answer) -> str:
    return "\n".join(
        f"{name}: {json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value}"
        for name, value in answer.items()
    )


def _show_round(answer: Answer) -> str:
    rest = {name: value for name, value in answer.items() if name != "groups"}
    lines = [
        f"group {number}: {group['state']}{', ' + group['failure'] if group['failure'] else ''};"
        f" {group['size']} advertised, {group['dealers']} shared, {group['survivors']} in the sum,"
        f" {group['signed']} signed, {group['unmasked']} opened it; m {group['m']}, c {group['c']},"
        f" noise {group['noise_sd_units_planned']} units"
        for number, group in enumerate(answer["groups"])
    ]
    return "\n".join([_show_pairs(rest), *lines])


def _show_devices(answer: Answer) -> str:
    rows = answer["devices"]
    lines = [
        f"{row['device_id']}  enrolled {utc(row['enrolled_at'])}  certificate until"
        f" {utc(row['certificate_until'] or 0)}  updates"
        f" {row['updates']}{'  REVOKED' if row['revoked'] else ''}"
        for row in rows
    ]
    return "\n".join(lines) or "No device is enrolled."


def _show_rounds(answer: Answer) -> str:
    lines = [
        f"{row['round_id']:>5}  {row['state']:<10} updates {row['updates']}/{row['target']}  model"
        f" {row['base_version']} → {row['model_version'] or '–'}  ε {row['epsilon_ledger']}"
        for row in answer["rounds"]
    ]
    return "\n".join(lines) or "There was no round yet."


def _show_models(answer: Answer) -> str:
    return "\n".join(
        f"{row['version']:>5}  {utc(row['published_at'])}  {row['sha256'][:16]}…  {row['origin']}"
        f"{'  demonstration model' if row['demonstration'] else ''}"
        for row in answer["models"]
    )


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except InternalError as error:
        raise SystemExit(str(error)) from error
