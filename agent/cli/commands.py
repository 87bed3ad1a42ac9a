"""Every command of `aegis` that this package answers, as one table.

A command turns its options into a JSON answer; `main` prints that answer as JSON or as text.
"""

import argparse
import io
import os
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import agent as agent_package
from agent.cli import render, scan
from agent.cli.backend import (
    Answer,
    channel_to_agent,
    home_of,
    locked,
    no_agent,
    no_lock,
    own_home,
    reach,
    request,
    with_agent,
)
from agent.cli.parser import Argument, Command, argument
from agent.errors import AegisError, UserActionError
from agent.files import atomic_file
from agent.ipc.client import NoAgentError
from agent.printable import LogFormatter, json_text

if TYPE_CHECKING:
    from agent.container import Agent
    from agent.paths import Home
    from agent.program.process import Program

MAX_LOG_BYTES = 512 * 1024
MAX_INVITATION_CHARS = 32 * 1024
MAX_TEXT_FILE_CHARS = 64 * 1024
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _ask(method: str, *names: str) -> Callable[[Namespace], Answer]:
    """A command that calls one method; its parameters are the options called `names`."""

    def answer(options: Namespace) -> Answer:
        params = {name: getattr(options, name) for name in names}
        return request(options, method, **{k: v for k, v in params.items() if v is not None})

    return answer


# Running an agent.


def _run(options: Namespace) -> Answer | None:
    import asyncio

    from agent.program.process import this_program

    home = home_of(options)
    program = this_program(Path(agent_package.__file__))
    with own_home(options):
        _start_log(home)
        if options.once:
            return with_agent(
                home, lambda agent: asyncio.run(_run_once(agent)), options.passphrase_file
            )
        must_restart = with_agent(
            home,
            lambda agent: asyncio.run(_serve(agent, program, options.session)),
            options.passphrase_file,
        )
        sys.stdout.flush()
        sys.stderr.flush()
        if must_restart:
            with suppress(OSError):  # its files have just gone again
                program.execute()
    os._exit(0)  # A blocking network call may still hang; quitting does not wait for it.


async def _run_once(agent: "Agent") -> Answer:
    from agent.rounds.runner import MANUAL_GROUP_WAIT_S

    _ask_passphrase(agent)
    result = await agent.cycles.run(hold_s=None, group_wait_s=MANUAL_GROUP_WAIT_S)
    return result.to_json()


async def _serve(agent: "Agent", program: "Program", session: str) -> bool:
    from agent.daemon.loop import Loop

    _ask_passphrase(agent)
    loop = Loop(agent, program=program, session=session)
    await loop.run()
    return loop.must_restart


def _ask_passphrase(agent: "Agent") -> None:
    """Ask now, while the person looks at the terminal, for the passphrase that work will need."""
    if agent.gate.denial() is None:
        agent.keys.open_file()


def _start_log(home: "Home") -> None:
    """Log fixed event names with fields to stderr and into the home."""
    import logging
    import logging.handlers

    class PlainFile(logging.handlers.RotatingFileHandler):
        """Follows no link to another file."""

        def _open(self) -> io.TextIOWrapper:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            descriptor = atomic_file.open_plain(self.baseFilename, flags)
            return io.TextIOWrapper(os.fdopen(descriptor, "ab"), encoding="utf-8")

    logging.raiseExceptions = False  # a full disk: the log is lost, and the agent lives on
    file = PlainFile(home.logs / "agent.log", maxBytes=MAX_LOG_BYTES, backupCount=1, delay=True)
    handlers = (logging.StreamHandler(sys.stderr), file)
    for handler in handlers:
        handler.setFormatter(LogFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=handlers)


def _status(options: Namespace) -> Answer | None:
    if not options.watch:
        return request(options, "status")
    try:
        channel = channel_to_agent(options)
    except NoAgentError as error:
        raise no_agent() from error
    try:
        for status in channel.events():
            text = render.shown(status, None if options.json else render.status_text)
            print(text if options.json else f"{text}\n", flush=True)
    finally:
        channel.close()
    return None


def _run_now(options: Namespace) -> Answer:
    def refuse(_: "Agent") -> Answer:
        raise no_agent()

    return reach(options, lambda channel: channel.call("run_now", {}), refuse, is_reading=True)


def _quit(options: Namespace) -> Answer:
    return reach(
        options,
        lambda channel: {"was_running": True, **channel.call("quit", {})},
        lambda _: {"was_running": False},
        is_reading=True,
    )


def _pause(options: Namespace) -> Answer:
    return request(options, "pause", **_pause_params(options.duration))


def _pause_params(duration: str | None) -> dict[str, Any]:
    if duration is None:
        return {}
    if duration == "tomorrow":
        today = time.localtime()
        midnight = time.mktime((today.tm_year, today.tm_mon, today.tm_mday + 1, 0, 0, 0, 0, 0, -1))
        return {"until": int(midnight)}
    number, unit = (duration[:-1], duration[-1]) if duration[-1:] in UNITS_S else (duration, "m")
    if not number.isdigit() or len(number) > 6:
        raise UserActionError(
            "BAD_VALUE",
            f"A duration is a number with s, m, h or d, or tomorrow; got {duration[:20]!r}.",
            "Example: aegis pause 15m",
        )
    return {"seconds": int(number) * UNITS_S[unit]}


# Consent and enrolment.


def _consent_show(options: Namespace) -> Answer:
    return request(options, "consent.show", locale=_locale())


def _consent_grant(options: Namespace) -> Answer:
    notice = _consent_show(options)
    if not options.json:
        print(render.shown(notice, render.notice_text))
    if options.accept != notice["notice_id"]:
        raise UserActionError(
            "NOTICE_NOT_ACCEPTED",
            "The notice above has another id." if options.accept else "You have not agreed yet.",
            f"To agree: aegis consent grant --accept {notice['notice_id']}",
        )
    return request(
        options,
        "consent.grant",
        notice_id=notice["notice_id"],
        text_sha256=notice["text_sha256"],
        surface="cli",
        locale=notice["locale"],
    )


def _withdraw(options: Namespace) -> Answer | None:
    from agent.cli import withdrawal

    return withdrawal.withdraw(options)


def _erase(options: Namespace) -> Answer:
    if not options.json:
        print(
            "Erasing deletes the record of what was charged. The lifetime ε starts at 0 again,"
            " although what was sent stays sent.",
            flush=True,
        )
    try:
        return request(options, "erase", here_only=options.here_only)
    except AegisError as error:
        if error.code != "STORE_DAMAGED":
            raise
    # The store cannot be read, so it is removed first; an agent that runs would have read it.
    from agent.store.database import database_files

    home = home_of(options)
    with locked(home) as is_ours:
        if not is_ours:
            raise no_lock(home)
        for path in database_files(home.database):
            path.unlink(missing_ok=True)
    return request(options, "erase", here_only=options.here_only)


def _locale() -> str:
    names = ("LC_ALL", "LC_MESSAGES", "LANG")
    return next((os.environ[name] for name in names if os.environ.get(name)), "en")


def _enroll(options: Namespace) -> Answer:
    if options.invitation and not (options.server or options.token or options.ca):
        return request(options, "enroll", invitation=_invitation(options.invitation))
    if options.server and options.token and not options.invitation:
        ca_pem = _read_text(options.ca) if options.ca else ""
        return request(options, "enroll", server=options.server, token=options.token, ca_pem=ca_pem)
    if not (options.invitation or options.server or options.token or options.ca):
        return request(options, "enroll")  # the policy may propose an invitation
    raise UserActionError(
        "BAD_PARAMS",
        "Give either an invitation, or --server with --token (and --ca).",
        "See aegis enroll --help.",
    )


def _invitation(text: str) -> str:
    """The invitation itself, a file that holds it, or "-" for standard input."""
    if text == "-":
        return sys.stdin.read(MAX_INVITATION_CHARS)
    return text if text.startswith("aegis") else _read_text(text)


def _read_text(name: str) -> str:
    try:
        with Path(name).open(encoding="utf-8") as file:
            return file.read(MAX_TEXT_FILE_CHARS)
    except (OSError, ValueError) as error:
        raise UserActionError(
            "CANNOT_READ", f"The file {name!r} cannot be read.", "Check its name."
        ) from error


# Files and samples. Paths are made absolute here, because the agent has another working folder.


def _samples_add(options: Namespace) -> Answer:
    paths = [_absolute(path) for path in options.paths]
    return request(options, "samples.add", paths=paths, label=options.label)


def _samples_import(options: Namespace) -> Answer:
    return request(options, "samples.import", path=_absolute(options.file))


def _samples_mark(options: Namespace) -> Answer:
    paths = [_absolute(path) for path in options.paths]
    return request(options, "samples.mark", paths=paths, label=options.label)


def _sources_set(*, on: bool) -> Callable[[Namespace], Answer]:
    """A command that switches a source. What it does is printed before it is switched on."""

    def answer(options: Namespace) -> Answer:
        locale = _locale()
        shown = request(options, "sources.show", locale=locale)["sources"]
        found = next((one for one in shown if one["source"] == options.source), None)
        if on and found and not options.json:
            text = render.shown(found, lambda one: f"{one['title']}\n  {one['text']}\n")
            print(text, flush=True)
        params = {"text_sha256": found["text_sha256"]} if found else {}
        return request(
            options,
            "sources.set",
            source=options.source,
            on=on,
            surface="cli",
            locale=locale,
            **params,
        )

    return answer


def _sources_search(options: Namespace) -> Answer:
    if sys.stderr.isatty():
        print("Looking within your limits; this may take a while. Ctrl-C ends it.", file=sys.stderr)
    return request(options, "sources.search")


def _sources_path(method: str) -> Callable[[Namespace], Answer]:
    return lambda options: request(options, method, path=_absolute(options.path))


def _doctor(options: Namespace) -> Answer:
    if options.policy is None:
        return request(options, "doctor")
    return request(options, "doctor", policy=_read_text(options.policy) or "\n")


def _failed_if_policy_does_not_count(answer: Answer) -> int:
    return int(answer.get("policy_counts") is False)


def _export(options: Namespace) -> Answer:
    path = _absolute(options.file)
    return request(options, "export", path=path, server=options.with_server)


def _absolute(path: str) -> str:
    return os.path.abspath(path)  # noqa: PTH100 - Path.absolute() keeps "..", resolve() follows links


def _failed_if_all_refused(answer: Answer) -> int:
    return int(bool(answer["refused"]) and not answer["added"] + answer["known"])


def _failed_if_unverified(answer: Answer) -> int:
    return int(answer["verified"] is False)


PATHS = argument("paths", nargs="+", metavar="PATH", help="a file, or a folder to search")
PAGE: tuple[Argument, ...] = (
    argument("--offset", type=int, default=0, metavar="N", help="skip the first N"),
    argument("--limit", type=int, default=200, metavar="N", help="show at most N (default: 200)"),
)
LABELLED_PATHS = (
    PATHS,
    argument(
        "--label",
        required=True,
        choices=("malicious", "benign"),
        help="what all these files are",
    ),
)

SOURCE = argument("source", metavar="SOURCE", help="as aegis sources show lists it")
FOLDER = argument("path", metavar="FOLDER", help="a folder; it is searched with all below it")
PASSPHRASE = argument(
    "--passphrase-file",
    metavar="FILE",
    default="",
    help="where the key store's passphrase is (key_store = passphrase): the first line of this"
    " file, or - for standard input; without it, it is asked for at the terminal",
)

GROUPS = {
    "consent": "read the notice, agree, withdraw, allow a model more",
    "settings": "your settings",
    "samples": "local training data",
    "sources": "what may look for samples by itself; all off until you choose",
}

TABLE = (
    Command(
        "run",
        "run the agent without a screen",
        _run,
        lambda cycle: f"{cycle['outcome']}: {cycle['text']}",
        (
            argument(
                "--once",
                action="store_true",
                help="run one cycle and end; it waits only for a group that is about to meet",
            ),
            argument("--session", default="", metavar="NAME", help=argparse.SUPPRESS),
            PASSPHRASE,
        ),
    ),
    Command(
        "status",
        "state, every reason for waiting, budget, model",
        _status,
        render.status_text,
        (argument("--watch", action="store_true", help="stay and print every change"),),
    ),
    Command("consent show", "the notice, and your decision", _consent_show, render.notice_text),
    Command(
        "consent grant",
        "agree to the notice that is printed",
        _consent_grant,
        render.status_text,
        (argument("--accept", metavar="NOTICE_ID", help="the id of the notice you have read"),),
    ),
    Command(
        "consent go-on",
        "allow a model that has had its share of your privacy budget one share more",
        _ask("consent.go_on"),
        render.status_text,
    ),
    Command("consent withdraw", "withdraw; all work stops at once", _withdraw),
    Command(
        "pause",
        "pause for a while, or until you resume",
        _pause,
        render.status_text,
        (
            argument(
                "duration",
                nargs="?",
                metavar="DURATION",
                help="15m, 1h, 2d or tomorrow; without it, until you resume",
            ),
        ),
    ),
    Command("resume", "end the pause", _ask("resume"), render.status_text),
    Command("run-now", "let the running agent run one cycle now", _run_now, render.status_text),
    Command(
        "discard", "delete the finished update that waits", _ask("discard"), render.status_text
    ),
    Command("quit", "end the running agent", _quit, render.quit_text),
    Command(
        "enroll",
        "store an invitation; the server is contacted only once you have agreed",
        _enroll,
        render.enrolled_text,
        (
            argument(
                "invitation",
                nargs="?",
                metavar="INVITATION",
                help="the text, a file that holds it, or - for standard input; without it, the"
                " invitation of this computer's policy",
            ),
            argument(
                "--server",
                metavar="URL",
                help="without an invitation: the server's address, with --token",
            ),
            argument("--token", metavar="T", help="the one-time token from the server's operator"),
            argument("--ca", metavar="FILE", help="the server's certificate authority (PEM)"),
        ),
    ),
    Command(
        "settings get",
        "show one setting or all of them, with what each means",
        _ask("settings.get", "key"),
        render.settings_text,
        (argument("key", nargs="?", metavar="KEY", help="only this one"),),
    ),
    Command(
        "settings set",
        "change a setting, for example: aegis settings set cpu.share_idle 20",
        _ask("settings.set", "key", "value"),
        render.setting_text,
        (
            argument("key", metavar="KEY", help="as aegis settings get lists it"),
            argument("value", metavar="VALUE", help="the new value, without its unit"),
        ),
    ),
    Command(
        "samples add",
        "learn from program files",
        _samples_add,
        render.added_text,
        LABELLED_PATHS,
        _failed_if_all_refused,
    ),
    Command(
        "samples mark",
        "say what program files are, whatever any source has said about them",
        _samples_mark,
        render.marked_text,
        LABELLED_PATHS,
        _failed_if_all_refused,
    ),
    Command(
        "samples list",
        "list the stored rows",
        _ask("samples.list", "offset", "limit"),
        render.samples_text,
        PAGE,
    ),
    Command(
        "samples import",
        "add the rows of a table: .npz with X (n, 29) and y (n,)",
        _samples_import,
        render.added_text,
        (argument("file", metavar="FILE.npz"),),
        _failed_if_all_refused,
    ),
    Command(
        "samples clear",
        "remove all rows",
        _ask("samples.clear"),
        lambda answer: f"{answer['removed']} rows removed.",
    ),
    Command(
        "sources show",
        "each source, whether it is on, what it does, your folders",
        lambda options: request(options, "sources.show", locale=_locale()),
        render.sources_text,
    ),
    Command(
        "sources on",
        "switch a source on; what it does is printed first",
        _sources_set(on=True),
        render.sources_text,
        (SOURCE,),
    ),
    Command(
        "sources off",
        "switch a source off and remove its rows",
        _sources_set(on=False),
        render.sources_text,
        (SOURCE,),
    ),
    Command(
        "sources add",
        "choose a folder in which the sources that are on may look",
        _sources_path("sources.add"),
        render.sources_text,
        (FOLDER,),
    ),
    Command(
        "sources remove",
        "give a folder or a log up",
        _sources_path("sources.remove"),
        render.sources_text,
        (argument("path", metavar="PATH", help="a folder or log, as aegis sources show lists it"),),
    ),
    Command(
        "sources log",
        "read this log of ClamAV, or this saved output of clamscan, too",
        _sources_path("sources.log"),
        render.sources_text,
        (argument("path", metavar="FILE", help="a log with full paths"),),
    ),
    Command(
        "sources search",
        "look in the folders now, by the sources that are on",
        _sources_search,
        render.searched_text,
    ),
    Command(
        "scan",
        "score files or folders with the current model, on this computer",
        scan.scan,
        scan.scan_text,
        (
            PATHS,
            argument("--all", action="store_true", help="list every file, not only problems"),
            argument("--sarif", metavar="FILE", help="also write what was found as SARIF 2.1.0"),
            argument(
                "--fail-on",
                choices=("malicious", "unsure"),
                help="exit with 3 when a program got this verdict, or a worse one",
            ),
        ),
        scan.exit_code,
        with_options=True,
    ),
    Command(
        "ledger",
        "every upload and every privacy charge",
        _ask("ledger", "verify", "offset", "limit"),
        render.ledger_text,
        (
            argument(
                "--verify",
                action="store_true",
                help="check the chain, its seals, the stored bytes and the receipts; the seals hold"
                " against a program that may not use your keyring, not against one that may",
            ),
            *PAGE,
        ),
        _failed_if_unverified,
    ),
    Command(
        "sent",
        "one upload: header, size, digest, receipt and bytes",
        _ask("sent.show", "attempt"),
        lambda answer: json_text(answer, indent=2),
        (argument("attempt", metavar="ATTEMPT", help="as aegis ledger --json lists it"),),
    ),
    Command(
        "export",
        "write everything stored here about you to one JSON file",
        _export,
        lambda answer: f"{answer['bytes']} bytes written to {answer['file']}",
        (
            argument("file", metavar="FILE"),
            argument(
                "--with-server",
                action="store_true",
                help="also ask the server what it holds about this device",
            ),
            PASSPHRASE,
        ),
    ),
    Command(
        "erase",
        "delete everything here, the lifetime ε included, and ask the server to delete its part",
        _erase,
        render.erased_text,
        (
            argument(
                "--here-only",
                action="store_true",
                help="also when the key cannot be opened; the server's part stays",
            ),
            PASSPHRASE,
        ),
    ),
    Command(
        "unlock",
        "open the keyring, or let it make a default one; it may ask you",
        _ask("unlock"),
        render.status_text,
        (PASSPHRASE,),
    ),
    Command(
        "doctor",
        "what works on this computer, what does not, and how to fix it",
        _doctor,
        render.doctor_text,
        (
            argument(
                "--policy",
                metavar="FILE",
                help="only say what would become of each line of this policy; nothing is applied",
            ),
            PASSPHRASE,
        ),
        _failed_if_policy_does_not_count,
    ),
)
