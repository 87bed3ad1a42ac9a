"""The `aegis` command: asks the running agent over its channel, or works in-process under the
home's lock when none runs.

Everything heavy is imported where it is used, so that `aegis status` answers at once. Exit codes: 0
done, 1 refused or failed, 2 usage.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent import __version__
from agent.daemon.instance_lock import HomeLock
from agent.errors import AegisError, UserActionError
from agent.ipc.client import Channel, NoAgentError, socket_path
from agent.paths import Home, default_home

if TYPE_CHECKING:
    from agent.app import Agent

LOCK_WAIT_S = 3.0
"""Commands are short; one waits for another."""
MAX_LOG_BYTES = 512 * 1024
EXTERNAL = {
    "tray": "the icon in the notification area; also aegis without a command",
    "window": "the window",
    "demo": "an aggregator and many devices on this machine, with a report",
    "simulate": "many devices in one process, for research",
}
"""Commands that other packages add through the entry-point group "aegisai.commands"; found when
called."""

EPILOG = """first steps:
  aegis scan ~/Downloads                       score programs here; nothing is sent
  aegis enroll INVITATION                      store an invitation; nobody is contacted yet
  aegis consent show                           what you are asked, and how to say yes
  aegis status                                 what happens, and every reason why it waits

exit codes: 0 done, 1 refused or failed (one line on stderr), 2 not understood"""

Command = Callable[[argparse.Namespace], int]


def main(argv: list[str] | None = None) -> int:
    """Run one command; its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["--worker"]:  # a bundled program starts its worker through itself
        from agent.worker.__main__ import main as work

        return int(work(words[1:]) or 0)
    try:
        if not words or words[0] in EXTERNAL:
            return _external(words[0] if words else "tray", words[1:])
        options = _parser().parse_args(words)
        return int(options.run(options))
    except AegisError as error:
        return _fail(error, as_json="--json" in words)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except KeyboardInterrupt:
        return 130


def _fail(error: AegisError, *, as_json: bool) -> int:
    print(f"aegis: {error.code}: {error}", file=sys.stderr)
    if as_json:
        print(json.dumps({"error": error.to_json()}))
    return 1


def _external(name: str, words: list[str]) -> int:
    from importlib.metadata import entry_points

    for point in entry_points(group="aegisai.commands", name=name):
        try:
            command = point.load()
        except ImportError as error:
            raise UserActionError(
                "PART_MISSING",
                f"aegis {name} needs a part that is not installed.",
                "Install aegisai with its extras.",
                str(error),
            ) from error
        return int(command(words) or 0)
    raise UserActionError(
        "PART_MISSING", f"aegis {name} is not installed.", "Install aegisai with its extras."
    )


# How a command reaches the agent.


def request(options: argparse.Namespace, method: str, **params: Any) -> dict[str, Any]:
    """Ask the running agent, else answer in-process. Raises AegisError."""
    result: dict[str, Any] = _reach(
        options,
        lambda channel: channel.call(method, params),
        lambda agent: _run_async(agent, method, params),
    )
    return result


def _reach(
    options: argparse.Namespace, over: Callable[[Channel], Any], within: "Callable[[Agent], Any]"
) -> Any:
    home = _home(options)
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        with suppress(NoAgentError):
            channel = Channel(socket_path(home.root, os.environ))
            try:
                return over(channel)
            finally:
                channel.close()
        with _locked(home) as held:
            if held:
                return _with_agent(home, within)
        if time.monotonic() > deadline:
            raise UserActionError(
                "HOME_IN_USE",
                "Another AegisAI process is using this home.",
                "Wait for it to end, or choose another home with --home.",
            )
        time.sleep(0.05)


@contextmanager
def _locked(home: Home) -> Iterator[bool]:
    home.prepare()
    lock = HomeLock(home.lock)
    held = lock.acquire()
    try:
        yield held
    finally:
        lock.release()


def _with_agent(home: Home, use: "Callable[[Agent], Any]") -> Any:
    from agent.app import build

    agent = build(home.root, on_machine=True)
    try:
        return use(agent)
    finally:
        agent.close()


def _run_async(agent: "Agent", method: str, params: dict[str, Any]) -> dict[str, Any]:
    import asyncio

    return asyncio.run(agent.service.call(method, params))


def _home(options: argparse.Namespace) -> Home:
    return Home(
        Path(options.home).absolute() if options.home else default_home(os.environ).absolute()
    )


def _show(
    options: argparse.Namespace, result: dict[str, Any], as_text: Callable[[dict[str, Any]], str]
) -> int:
    print(json.dumps(result, ensure_ascii=False) if options.json else as_text(result), flush=True)
    return 0


# Commands.


def _run(options: argparse.Namespace) -> int:
    import asyncio

    home = _home(options)
    _no_core_dumps()
    with _locked(home) as held:
        if not held:
            raise UserActionError(
                "AGENT_RUNNING",
                "An agent is using this home already.",
                "Use aegis run-now, or aegis quit first.",
            )
        _start_log(home)
        if options.once:
            from agent.rounds.runner import CHOSEN_PATIENCE_S

            result = _with_agent(
                home,
                lambda agent: asyncio.run(
                    agent.run_cycle(hold_s=0, group_wait_s=CHOSEN_PATIENCE_S)
                ).to_json(),
            )
            return _show(options, result, lambda shown: f"{shown['outcome']}: {shown['text']}")
        _with_agent(home, lambda agent: asyncio.run(_serve(agent)))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # a blocking call may still hang in the network; quitting does not wait for it


async def _serve(agent: "Agent") -> None:
    from agent.daemon.loop import Loop

    await Loop(agent).run()


def _status(options: argparse.Namespace) -> int:
    from agent.cli.render import status_text

    if options.watch:
        return _watch(options)
    return _show(options, request(options, "status"), status_text)


def _watch(options: argparse.Namespace) -> int:
    from agent.cli.render import status_text

    try:
        channel = Channel(socket_path(_home(options).root, os.environ))
    except NoAgentError as error:
        raise _no_agent() from error
    try:
        for status in channel.events():
            print(
                (
                    json.dumps(status, ensure_ascii=False)
                    if options.json
                    else status_text(status) + "\n"
                ),
                flush=True,
            )
    finally:
        channel.close()
    return 0


def _consent_show(options: argparse.Namespace) -> int:
    from agent.cli.render import notice_text

    return _show(options, request(options, "consent.show", locale=_locale()), notice_text)


def _consent_grant(options: argparse.Namespace) -> int:
    from agent.cli.render import notice_text, status_text

    notice = request(options, "consent.show", locale=_locale())
    if not options.json:
        print(notice_text(notice))
    if options.accept != notice["notice_id"]:
        why = "The notice above has another id." if options.accept else "Nothing was agreed to yet."
        raise UserActionError(
            "NOTICE_NOT_ACCEPTED",
            why,
            f"To agree: aegis consent grant --accept {notice['notice_id']}",
        )
    result = request(
        options,
        "consent.grant",
        notice_id=notice["notice_id"],
        text_sha256=notice["text_sha256"],
        surface="cli",
        locale=notice["locale"],
    )
    return _show(options, result, status_text)


def _consent_withdraw(options: argparse.Namespace) -> int:
    from agent.cli.render import withdrawn_text

    result = request(options, "consent.withdraw", surface="cli")
    page = {} if options.json else request(options, "ledger")
    return _show(options, result, lambda status: withdrawn_text(status, page))


def _pause(options: argparse.Namespace) -> int:
    from agent.cli.render import status_text

    return _show(options, request(options, "pause", **_pause_params(options.duration)), status_text)


def _resume(options: argparse.Namespace) -> int:
    from agent.cli.render import status_text

    return _show(options, request(options, "resume"), status_text)


def _run_now(options: argparse.Namespace) -> int:
    from agent.cli.render import status_text

    def no_agent(_: "Agent") -> dict[str, Any]:
        raise _no_agent()

    result = _reach(options, lambda channel: channel.call("run_now", {}), no_agent)
    return _show(options, result, status_text)


def _quit(options: argparse.Namespace) -> int:
    result = _reach(
        options,
        lambda channel: {"was_running": True, **channel.call("quit", {})},
        lambda _: {"was_running": False},
    )
    return _show(
        options,
        result,
        lambda shown: "The agent ends." if shown["was_running"] else "No agent is running.",
    )


def _discard(options: argparse.Namespace) -> int:
    from agent.cli.render import status_text

    return _show(options, request(options, "discard"), status_text)


def _enroll(options: argparse.Namespace) -> int:
    from agent.cli.render import enrolled_text

    if options.invitation and not (options.server or options.token or options.ca):
        params = {"invitation": _invitation(options.invitation)}
    elif options.server and options.token and not options.invitation:
        params = {
            "server": options.server,
            "token": options.token,
            "ca_pem": _read_text(options.ca) if options.ca else "",
        }
    else:
        raise UserActionError(
            "BAD_PARAMS",
            "Give either an invitation, or --server with --token (and --ca).",
            "See aegis enroll --help.",
        )
    return _show(options, request(options, "enroll", **params), enrolled_text)


def _settings_get(options: argparse.Namespace) -> int:
    from agent.cli.render import settings_text

    params = {"key": options.key} if options.key else {}
    return _show(options, request(options, "settings.get", **params), settings_text)


def _settings_set(options: argparse.Namespace) -> int:
    from agent.cli.render import setting_text

    return _show(
        options,
        request(options, "settings.set", key=options.key, value=options.value),
        setting_text,
    )


def _samples_add(options: argparse.Namespace) -> int:
    from agent.cli.render import added_text

    result = request(options, "samples.add", paths=_whole_paths(options.paths), label=options.label)
    return _show(options, result, added_text) or _failed_all(
        result["added"] + result["known"], result["refused"]
    )


def _samples_import(options: argparse.Namespace) -> int:
    from agent.cli.render import added_text

    result = request(options, "samples.import", path=_whole_paths([options.file])[0])
    return _show(options, result, added_text) or _failed_all(
        result["added"] + result["known"], result["refused"]
    )


def _samples_list(options: argparse.Namespace) -> int:
    from agent.cli.render import samples_text

    return _show(
        options,
        request(options, "samples.list", offset=options.offset, limit=options.limit),
        samples_text,
    )


def _samples_clear(options: argparse.Namespace) -> int:
    return _show(
        options,
        request(options, "samples.clear"),
        lambda shown: f"{shown['removed']} rows removed.",
    )


def _scan(options: argparse.Namespace) -> int:
    from agent.cli.render import scan_text

    result = request(options, "scan", paths=_whole_paths(options.paths))
    return _show(options, result, scan_text)


def _ledger(options: argparse.Namespace) -> int:
    from agent.cli.render import ledger_text

    result = request(
        options, "ledger", verify=options.verify, offset=options.offset, limit=options.limit
    )
    _show(options, result, ledger_text)
    return 1 if result["verified"] is False else 0


def _sent(options: argparse.Namespace) -> int:
    return _show(
        options,
        request(options, "sent.show", attempt=options.attempt),
        lambda shown: json.dumps(shown, indent=2, ensure_ascii=False),
    )


def _export(options: argparse.Namespace) -> int:
    result = request(
        options, "export", path=_whole_paths([options.file])[0], server=options.with_server
    )
    return _show(
        options, result, lambda shown: f"{shown['bytes']} bytes written to {shown['file']}"
    )


def _erase(options: argparse.Namespace) -> int:
    from agent.cli.render import erased_text

    return _show(options, request(options, "erase"), erased_text)


def _doctor(options: argparse.Namespace) -> int:
    from agent.cli.render import doctor_text

    result = request(options, "doctor")
    _show(options, result, doctor_text)
    return 0


# Small parts.


def _failed_all(kept: int, refused: list[Any]) -> int:
    return 1 if refused and not kept else 0


def _whole_paths(paths: list[str]) -> list[str]:
    """Made absolute here: the agent has another working folder."""
    return [os.path.abspath(path) for path in paths]  # noqa: PTH100 - Path.absolute() keeps "..", resolve() follows links


def _invitation(text: str) -> str:
    """The invitation itself, or "-" for standard input, or a file that holds it."""
    if text == "-":
        return sys.stdin.read(32 * 1024)
    return text if text.startswith("aegis") else _read_text(text)


def _read_text(name: str) -> str:
    try:
        with Path(name).open(encoding="utf-8") as file:
            return file.read(64 * 1024)
    except (OSError, ValueError) as error:
        raise UserActionError(
            "CANNOT_READ", f"The file {name!r} cannot be read.", "Check its name."
        ) from error


def _pause_params(duration: str | None) -> dict[str, int]:
    if duration is None:
        return {}
    if duration == "tomorrow":
        today = time.localtime()
        midnight = time.mktime((today.tm_year, today.tm_mon, today.tm_mday + 1, 0, 0, 0, 0, 0, -1))
        return {"until": int(midnight)}
    seconds = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    number, unit = (duration[:-1], duration[-1]) if duration[-1:] in seconds else (duration, "m")
    if not number.isdigit() or len(number) > 6:
        raise UserActionError(
            "BAD_VALUE",
            f"A duration is a number with s, m, h or d, or tomorrow; got {duration[:20]!r}.",
            "Example: aegis pause 15m",
        )
    return {"seconds": int(number) * seconds[unit]}


def _locale() -> str:
    return (
        os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or "en"
    )


def _no_agent() -> UserActionError:
    return UserActionError(
        "NO_AGENT",
        "No agent is running.",
        "Start one with aegis run, or make one pass with aegis run --once.",
    )


def _start_log(home: Home) -> None:
    """Fixed event names with fields, to stderr and into the home; never text of the person."""
    import logging
    import logging.handlers

    file = logging.handlers.RotatingFileHandler(
        home.logs / "agent.log", maxBytes=MAX_LOG_BYTES, backupCount=1, delay=True
    )
    form = "%(asctime)s %(levelname)s %(name)s %(message)s"
    logging.basicConfig(
        level=logging.INFO, format=form, handlers=[logging.StreamHandler(sys.stderr), file]
    )


def _no_core_dumps() -> None:
    """Keys are in memory while the agent works."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--home",
        metavar="DIR",
        help="folder of this agent (default: AEGIS_HOME, else the platform's data folder)",
    )
    common.add_argument("--json", action="store_true", help="print one JSON document")
    parser = argparse.ArgumentParser(
        prog="aegis",
        description=(
            "Help improve a malware detector from your own computer without giving anything away."
        ),
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"aegis {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(to: Any, name: str, run: Command, text: str) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = to.add_parser(
            name, parents=[common], help=text, description=text
        )
        made.set_defaults(run=run)
        return made

    def group(name: str, text: str) -> Any:
        return commands.add_parser(name, help=text, description=text).add_subparsers(
            metavar="ACTION", required=True
        )

    run = add(commands, "run", _run, "the agent without a screen")
    run.add_argument(
        "--once",
        action="store_true",
        help="make one pass and end; waits for nothing but a group that is about to meet",
    )
    status = add(commands, "status", _status, "state, every reason for waiting, budget, model")
    status.add_argument("--watch", action="store_true", help="go on and print every change")

    consent = group("consent", "read the notice, agree, withdraw")
    add(consent, "show", _consent_show, "the notice and where you stand")
    grant = add(consent, "grant", _consent_grant, "agree to the notice that is printed")
    grant.add_argument("--accept", metavar="NOTICE_ID", help="the id of the notice you have read")
    add(consent, "withdraw", _consent_withdraw, "withdraw; work stops at once")

    pause = add(commands, "pause", _pause, "pause for a while or until resumed")
    pause.add_argument(
        "duration",
        nargs="?",
        metavar="DURATION",
        help="15m, 1h, 2d, tomorrow; without it: until resumed",
    )
    add(commands, "resume", _resume, "end the pause")
    add(commands, "run-now", _run_now, "let the running agent make one pass now")
    add(commands, "discard", _discard, "throw away the finished update that waits")
    add(commands, "quit", _quit, "end the running agent")

    enroll = add(
        commands,
        "enroll",
        _enroll,
        "keep an invitation; the server is contacted only once you have agreed",
    )
    enroll.add_argument(
        "invitation",
        nargs="?",
        metavar="INVITATION",
        help="the text, a file that holds it, or - for standard input",
    )
    enroll.add_argument(
        "--server", metavar="URL", help="without an invitation: the server's address, with --token"
    )
    enroll.add_argument(
        "--token", metavar="T", help="the one-time token that its operator gave you"
    )
    enroll.add_argument("--ca", metavar="FILE", help="the server's certificate authority (PEM)")

    settings = group("settings", "your settings")
    add(settings, "get", _settings_get, "one or all, with what each means").add_argument(
        "key", nargs="?", metavar="KEY", help="one only"
    )
    setting = add(
        settings, "set", _settings_set, "change one, such as: aegis settings set cpu.share_idle 20"
    )
    setting.add_argument("key", metavar="KEY", help="as aegis settings get lists it")
    setting.add_argument("value", metavar="VALUE", help="the new value, without its unit")

    samples = group("samples", "local training data")
    adding = add(samples, "add", _samples_add, "learn from program files")
    adding.add_argument(
        "paths", nargs="+", metavar="PATH", help="a program, or a folder that is walked"
    )
    adding.add_argument(
        "--label", required=True, choices=("malicious", "benign"), help="what all of them are"
    )
    listing = add(samples, "list", _samples_list, "what is there")
    add(
        samples, "import", _samples_import, "rows from a table: .npz with X (n, 29) and y"
    ).add_argument("file", metavar="FILE.npz")
    add(samples, "clear", _samples_clear, "remove all rows")

    scan = add(commands, "scan", _scan, "score files or folders with the current model, locally")
    scan.add_argument("paths", nargs="+", metavar="PATH", help="a file, or a folder that is walked")
    ledger = add(commands, "ledger", _ledger, "every upload and every privacy charge")
    ledger.add_argument(
        "--verify", action="store_true", help="check the chain, the stored bytes and the receipts"
    )
    for pages in (listing, ledger):
        pages.add_argument(
            "--offset", type=int, default=0, metavar="N", help="leave out the first N"
        )
        pages.add_argument(
            "--limit", type=int, default=200, metavar="N", help="show at most N (default: 200)"
        )
    add(
        commands, "sent", _sent, "one upload: header, size, digest, receipt, its bytes"
    ).add_argument("attempt", metavar="ATTEMPT")
    export = add(commands, "export", _export, "everything held about you, as one JSON file")
    export.add_argument("file", metavar="FILE")
    export.add_argument(
        "--with-server",
        action="store_true",
        help="ask the server too what it holds about this device",
    )
    add(commands, "erase", _erase, "forget everything here and at the server")
    add(commands, "doctor", _doctor, "what works on this machine and what does not, with the mend")
    for name, text in EXTERNAL.items():
        commands.add_parser(
            name, help=text, add_help=False
        )  # for the list only: main() hands them over before
    return parser
