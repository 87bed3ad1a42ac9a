"""Every command of `aegis-server`, as one table.

A command turns its options into a JSON answer; `main` prints that answer as JSON or as text.
Modules that only one command needs are imported there, so that short commands start fast.
"""

import logging
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from urllib.parse import urlsplit

from agent.clock import SystemClock
from agent.errors import OperatorActionError
from agent.protocol.invitation import Invitation, Operator, PrivacyFigures, format_invitation
from agent.protocol.messages import Mode, Task, TrainingRows
from agent.protocol.signing import public_hex
from server_stub.ca import server_certificate
from server_stub.ca.authority import Authority
from server_stub.cli import render
from server_stub.cli.detectors import Detector, detector_of
from server_stub.cli.init import create_home
from server_stub.cli.model_commands import END_ROUND, MODEL_COMMANDS
from server_stub.cli.parser import Answer, Command, argument
from server_stub.cli.setting_options import SETTING_OPTIONS, apply_setting_options
from server_stub.cli.stored_models import better_version, newest, refuse_in_a_round
from server_stub.cli.values import positive, seconds
from server_stub.config.home import ServerHome
from server_stub.config.host_names import is_loopback
from server_stub.config.settings import ServerSettings, bad_setting, default_task, override
from server_stub.coordinator.exclusions import device_evidence, device_inventory
from server_stub.coordinator.statistics import round_summary, statistics
from server_stub.publishing import heads, key_ceremony, models
from server_stub.rounds.abort_odds import DROP_PERCENT, odds
from server_stub.rounds.join_window import plan_groups
from server_stub.rounds.lifecycle import RoundPlan, group_config, next_identity
from server_stub.storage.store import Store

DAY_S = 24 * 3600
LOG = logging.getLogger("aegisai.server")
CLOCK = SystemClock()


def _home(options: Namespace) -> ServerHome:
    return ServerHome(options.home)


@contextmanager
def _store(home: ServerHome) -> Iterator[Store]:
    """Open the database of an existing server. Raises OperatorActionError NO_SERVER, DATABASE."""
    home.settings()
    with closing(Store(home.database_url)) as store:
        yield store


# Running a server.


def _init(options: Namespace) -> Answer:
    home = _home(options)
    operator = Operator(
        options.operator_name, options.contact, options.recipients, options.retention
    )
    task = _task(options)
    detector = detector_of(options, task)
    task = task if detector is None else detector.task
    plan = RoundPlan() if detector is None else detector.plan
    settings = ServerSettings(operator, task, plan, tuple(options.host_name))
    settings = override(apply_setting_options(settings, options), url=options.url)
    content = _start_model(options, detector)
    models.check_file(content, task)
    now = CLOCK.now()
    create_home(home, settings, now, b"" if detector is None else detector.base)
    if detector is not None:
        detector.write(home)
    with closing(Store(home.database_url)) as store:
        model = models.publish(
            home,
            store,
            task,
            content,
            origin="start model",
            demonstration=_is_demonstration(options, detector),
            now=now,
        )
    Authority(home.authority, CLOCK).close()
    return {
        "home": str(home.folder),
        "task_id": task.task_id,
        "mode": task.mode.value,
        "model": task.model,
        "group_floor": render.group_text(settings),
        "model_version": model.version,
        "signing_key": public_hex(home.signing_key()),
        "warnings": _address_warnings(settings),
    }


def _address_warnings(settings: ServerSettings) -> list[str]:
    """Say that no other computer reaches the address that invitations will hold."""
    host = urlsplit(settings.url).hostname or "" if settings.url else settings.host
    if not is_loopback(host):
        return []
    return [
        f"Invitations will point at {host}, which only this computer reaches. For other devices,"
        " give --url, --host-name and --host."
    ]


def _is_demonstration(options: Namespace, detector: Detector | None) -> bool:
    return detector.is_demonstration if detector is not None else options.model is None


def _start_model(options: Namespace, detector: Detector | None) -> bytes:
    if options.model is not None:
        content: bytes = options.model.read_bytes()
        return content
    return models.start_model() if detector is None else detector.head


def _task(options: Namespace) -> Task:
    """The default task with the given options. Raises OperatorActionError BAD_SETTING."""
    given = {
        name: value
        for name in ("task_id", *_TASK_NUMBERS)
        if (value := getattr(options, name)) is not None
    }
    if options.without_witness:
        given["witness"] = ""
    if options.signing_authority:
        given["signing_authorities"] = " ".join(sorted(set(options.signing_authority)))
    task = replace(default_task(Mode(options.mode)), **given)
    try:
        task.check()
    except ValueError as error:
        raise bad_setting(error) from error
    return task


def _run(options: Namespace) -> None:
    from server_stub import serve

    home = _home(options)
    settings = apply_setting_options(home.settings(), options)
    if settings.task.mode is Mode.SECAGG and settings.rounds.is_test_floor:
        sys.stderr.write(f"Warning: {render.group_text(settings)}.\n")
    if options.workers != 1:
        raise OperatorActionError(
            "WORKERS",
            "Several workers need PostgreSQL, which is not supported yet.",
            "Leave out --workers.",
        )
    if settings.task.base_sha256:
        # Before any device pays for a round that could make no model.
        heads.material(home, settings.task)
    serve.run(home, settings, database=options.database, ready_file=options.ready_file)


def _ca_run(options: Namespace) -> None:
    from server_stub.ca import process

    home = _home(options)
    home.settings()

    def renew() -> None:
        if server_certificate.renew_if_due(home, home.settings(), CLOCK.now()):
            LOG.info("tls_certificate.issued")

    process.run(home.authority, CLOCK, until_input_ends=options.until_input_ends, daily=renew)


# Devices.


def _token_create(options: Namespace) -> Answer:
    home = _home(options)
    settings, now = home.settings(), CLOCK.now()
    server = options.server or home.url(settings)
    key = home.signing_key()
    with closing(Authority(home.authority, CLOCK)) as authority:
        token = authority.add_token(options.uses, options.ttl)
    invitation = Invitation(
        server,
        token,
        home.ca_pem,
        public_hex(key),
        settings.task.task_id,
        home.root_sha256(),
        settings.operator,
        _privacy(settings),
    )
    try:
        text = format_invitation(invitation, key)
    except ValueError as error:
        raise bad_setting(error, "Correct the setting.") from error
    return {
        "invitation": text,
        "token": token,
        "server": server,
        "uses": options.uses,
        "expires_at": now + options.ttl,
    }


def _privacy(settings: ServerSettings) -> PrivacyFigures:
    return PrivacyFigures(
        settings.task.mode,
        settings.rounds.epsilon_milli,
        settings.rounds.delta_inverse,
        settings.period_days,
        settings.lifetime_epsilon_milli,
    )


def _devices_list(options: Namespace) -> Answer:
    with _store(_home(options)) as store:
        return {"devices": device_inventory(store, CLOCK.now())}


def _devices_show(options: Namespace) -> Answer:
    home, device_id = _home(options), options.device_id
    with _store(home) as store:
        answer = device_evidence(store, device_id, home.ca_pem, CLOCK.now())
    if answer is None:
        raise _no_device()
    return answer


def _devices_release(options: Namespace) -> Answer:
    with _store(_home(options)) as store:
        if not store.devices.is_known(options.device_id):
            raise _no_device()
        released = store.proofs.release(options.device_id, CLOCK.now())
    return {"device_id": options.device_id, "released": released}


def _devices_revoke(options: Namespace) -> Answer:
    home, device_id = _home(options), options.device_id
    with _store(home) as store:
        is_known = store.devices.revoke(device_id, CLOCK.now())
    with closing(Authority(home.authority, CLOCK)) as authority:
        is_known |= authority.revoke(device_id)
    if not is_known:
        raise _no_device()
    return {"revoked": device_id}


def _no_device() -> OperatorActionError:
    return OperatorActionError(
        "NO_DEVICE", "No device has this id.", "Run `aegis-server devices list`."
    )


# Rounds and figures.


def _plan(options: Namespace) -> Answer:
    settings, devices = _home(options).settings(), options.devices
    if settings.task.mode is not Mode.SECAGG:
        raise bad_setting(ValueError("the task forms no groups"))
    planned = plan_groups(devices, settings.rounds)
    # The identity does not matter for what is planned.
    identity = next_identity(
        settings.task, settings.rounds, round_id=1, model_version=0, model_digest="00" * 32, now=0
    )
    config = group_config(
        settings.task, settings.rounds, identity, g_max=planned.g_max, min_sum=planned.min_sum
    )
    rows = [asdict(odds(config, count)) for count in sorted({config.min_group, devices})]
    return {
        "g_max": config.g_max,
        "min_group": config.min_group,
        "min_sum": config.min_sum,
        "colluders": config.colluders,
        "drop_percent": list(DROP_PERCENT),
        "devices": rows,
    }


def _rounds_list(options: Namespace) -> Answer:
    home = _home(options)
    with _store(home) as store:
        rounds, settings = store.rounds.all(), home.settings()
    return {"rounds": [round_summary(one, settings) for one in rounds]}


def _rounds_show(options: Namespace) -> Answer:
    home = _home(options)
    with _store(home) as store:
        found = store.rounds.get(options.round_id)
    if found is None:
        raise OperatorActionError(
            "NO_ROUND", "No round has this number.", "Run `aegis-server rounds list`."
        )
    return {**round_summary(found, home.settings()), "config": found.config.to_json()}


def _stats(options: Namespace) -> Answer:
    home = _home(options)
    with _store(home) as store:
        return statistics(store, home.settings())


# Models and their keys.


def _model_show(options: Namespace) -> Answer:
    with _store(_home(options)) as store:
        return {"models": store.models.inventory()}


def _model_publish(options: Namespace) -> Answer:
    content = options.file.read_bytes()
    return _publish(options, content, "operator", is_demonstration=False)


def _model_rollback(options: Namespace) -> Answer:
    home = _home(options)
    with _store(home) as store:
        version = _version_to_restore(options, home, store)
        if version is None:
            kept = newest(store)
            return {"version": kept.version, "sha256": kept.sha256, "origin": kept.origin}
        model = store.models.get(version)
    if model is None:
        raise OperatorActionError(
            "NO_MODEL", f"No model has the version {version}.", "Run `aegis-server model show`."
        )
    content = heads.recalibrated(home, home.settings().task, model.content)
    return _publish(
        options, content, f"version {version}", is_demonstration=bool(model.demonstration)
    )


def _version_to_restore(options: Namespace, home: ServerHome, store: Store) -> int | None:
    """The version to publish again; None where the newest one stays."""
    if options.canary:
        if options.to is not None:
            raise bad_setting(ValueError("--to and --canary exclude each other"))
        return better_version(home, store)
    return options.to if options.to is not None else store.models.newest_version() - 1


def _publish(options: Namespace, content: bytes, origin: str, *, is_demonstration: bool) -> Answer:
    """Publish a new version, even of an older model: devices never go back to a lower version.

    Raises OperatorActionError ROUND_IN_PROGRESS, unless the operator accepts what that costs.
    """
    home = _home(options)
    task = home.settings().task
    models.check_file(content, task)
    with _store(home) as store:
        if not options.end_round:
            refuse_in_a_round(store)
        model = models.publish(
            home,
            store,
            task,
            content,
            origin=origin,
            demonstration=is_demonstration,
            now=CLOCK.now(),
        )
    return {"version": model.version, "sha256": model.sha256, "origin": origin}


def _keys_show(options: Namespace) -> Answer:
    return key_ceremony.show(_home(options), CLOCK.now())


def _keys_renew(options: Namespace) -> Answer:
    return key_ceremony.renew(
        _home(options),
        CLOCK.now(),
        offline=options.offline,
        replace_online_key=options.replace_online_key,
    )


_TASK_NUMBERS = {
    "train_steps": "gradient steps in a device's training",
    "train_rate_milli": "learning rate of a device's training, in thousandths",
    "clip_milli": "bound on the length of an update, in thousandths",
    "min_rows": "fewest rows that a device trains on",
    "weight_cap": "weigh devices by their rows, up to N rows (default: all alike)",
    "peer_days": "days for which every device of a group must have been enrolled (default: 0)",
}

_INIT_ARGUMENTS = (
    argument(
        "--operator-name",
        required=True,
        metavar="NAME",
        help="who asks; every person sees it before they agree (required)",
    ),
    argument(
        "--contact",
        required=True,
        metavar="TEXT",
        help="how people reach the operator (required)",
    ),
    argument(
        "--recipients",
        default="The operator only.",
        metavar="TEXT",
        help="who receives updates, as a sentence",
    ),
    argument(
        "--retention",
        default="Updates are deleted when their round has ended.",
        metavar="TEXT",
        help="how long updates are kept, as a sentence",
    ),
    argument(
        "--host-name",
        action="append",
        default=[],
        metavar="NAME",
        help="a host name or address of this server (repeatable)",
    ),
    argument("--url", metavar="URL", help="where devices reach this server"),
    argument(
        "--model",
        type=Path,
        metavar="FILE",
        help="the first model (default: the bundled demonstration model)",
    ),
    argument(
        "--detector",
        type=Path,
        metavar="DIR",
        help=(
            'a folder of `model train`: devices train a head on its base; "demonstration" is the'
            " one that comes with the program, trained on generated rows"
        ),
    ),
    argument(
        "--rows",
        type=Path,
        metavar="FILE.npz",
        help="the operator's own rows for a detector (default: those in its folder)",
    ),
    argument(
        "--train-on",
        choices=[rows.value for rows in TrainingRows],
        help="which rows devices train a head on: benign ones only (default), or all",
    ),
    argument("--task-id", metavar="NAME", help="name of the task (default: malware-pe)"),
    argument(
        "--mode",
        choices=[mode.value for mode in Mode],
        default=Mode.SECAGG.value,
        help=(
            "secagg (default): the server can read only sums over groups; local: each device adds"
            " full noise, there are no groups"
        ),
    ),
    argument(
        "--signing-authority",
        action="append",
        default=[],
        metavar="SHA256",
        help=(
            "a certificate authority, by the SHA-256 of its certificate in hex: devices whose owner"
            " switched that on learn programs signed under it as benign; may be repeated"
        ),
    ),
    argument(
        "--without-witness",
        action="store_true",
        help=(
            "let no witness draw the groups: for tests, as only devices created for tests accept it"
        ),
    ),
    *(
        argument(f"--{name.replace('_', '-')}", type=positive, metavar="N", help=text)
        for name, text in _TASK_NUMBERS.items()
    ),
)

_DEVICE_ID = argument("device_id", metavar="DEVICE_ID", help="as `devices list` prints it")

GROUPS = {
    "ca": "run the enrolment authority",
    "token": "invite devices",
    "devices": "list, revoke and release devices, and show the proofs against them",
    "rounds": "list and show rounds",
    "model": "train, calibrate, evaluate, list, publish and roll back models",
    "rows": "add to the operator's own rows, which the server learns from",
    "keys": "show and renew the keys that sign models",
}

TABLE = (
    Command(
        "init",
        "create a server: keys, task and first model",
        _init,
        render.created_text,
        _INIT_ARGUMENTS + SETTING_OPTIONS,
    ),
    Command(
        "run",
        "serve devices until SIGTERM or SIGINT",
        _run,
        arguments=(
            argument(
                "--ready-file",
                type=Path,
                metavar="FILE",
                help="write the server's addresses to FILE, as JSON, once it is ready",
            ),
            argument(
                "--database",
                default="",
                metavar="URL",
                help="sqlite:///FILE (default: in the server's folder)",
            ),
            argument(
                "--workers",
                type=positive,
                default=1,
                metavar="N",
                help="number of server processes; only 1 is supported",
            ),
            *SETTING_OPTIONS,
        ),
    ),
    Command(
        "ca run",
        "run the enrolment authority as a process of its own",
        _ca_run,
        arguments=(
            argument(
                "--until-input-ends",
                action="store_true",
                help="end when standard input closes, with the program that started it",
            ),
        ),
    ),
    Command(
        "token create",
        "print an invitation with a new token",
        _token_create,
        render.invitation_text,
        (
            argument(
                "--uses",
                type=positive,
                default=1,
                metavar="N",
                help="how many devices may use it: 1 for a person (default), more for a roll-out",
            ),
            argument(
                "--ttl",
                type=seconds,
                default=DAY_S,
                metavar="TIME",
                help="how long it is valid: 900, 15m, 24h (default), 7d",
            ),
            argument("--server", metavar="URL", help="where devices reach this server"),
        ),
    ),
    Command("devices list", "list all devices", _devices_list, render.devices_text),
    Command(
        "devices show",
        "show the proofs against a device, and judge them again",
        _devices_show,
        render.device_text,
        (_DEVICE_ID,),
    ),
    Command(
        "devices revoke",
        "refuse a device from now on",
        _devices_revoke,
        render.revoked_text,
        (_DEVICE_ID,),
    ),
    Command(
        "devices release",
        "let an excluded device take part again; its proofs no longer count",
        _devices_release,
        render.released_text,
        (_DEVICE_ID,),
    ),
    Command(
        "plan",
        "show the groups that a number of devices makes, and how often drop-outs end one",
        _plan,
        render.plan_text,
        (
            argument(
                "--devices",
                type=positive,
                required=True,
                metavar="N",
                help="devices that are ready at the same time",
            ),
        ),
    ),
    Command("rounds list", "list all rounds", _rounds_list, render.rounds_text),
    Command(
        "rounds show",
        "show a round and its groups",
        _rounds_show,
        render.round_text,
        (argument("round_id", type=int, metavar="NUMBER", help="the round's number"),),
    ),
    Command("stats", "show the aggregator's figures", _stats, render.pairs_text),
    Command("model show", "list all models", _model_show, render.models_text),
    Command(
        "model publish",
        "publish a model file",
        _model_publish,
        render.pairs_text,
        (argument("file", type=Path, metavar="FILE", help="a safetensors file"), END_ROUND),
    ),
    Command(
        "model rollback",
        "publish an earlier model again, as a new version",
        _model_rollback,
        render.pairs_text,
        (
            argument(
                "--to",
                type=int,
                metavar="VERSION",
                help="the version to publish again (default: the one before the newest)",
            ),
            argument(
                "--canary",
                action="store_true",
                help="only if the newest model fails the canary on the operator's rows of today,"
                " the newest version that passes",
            ),
            END_ROUND,
        ),
    ),
    *MODEL_COMMANDS,
    Command("keys show", "show when the signatures end", _keys_show, render.keys_text),
    Command(
        "keys renew",
        "sign root and targets for another year with the offline keys",
        _keys_renew,
        render.keys_text,
        (
            argument(
                "--offline",
                type=Path,
                metavar="DIR",
                help="folder of the offline keys (default: where `init` put them)",
            ),
            argument(
                "--replace-online-key",
                action="store_true",
                help="make a new online key; the old one can no longer sign",
            ),
        ),
    ),
)
