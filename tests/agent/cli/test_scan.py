"""`aegis scan` says first what it found, lists what deserves a look, and escapes names."""

import io
from argparse import Namespace

import pytest

from agent.cli import render
from agent.cli.scan import (
    EXIT_FOUND,
    FEW_LISTED,
    MOST_LISTED,
    ProgressBar,
    exit_code,
    scan,
    scan_text,
)

REASON = {"fields": ["CheckSum"], "text": "has no checksum", "weight": 1.5}


def one(path, verdict, probability=None, message="", **more):
    return {
        "path": path,
        "verdict": verdict,
        "probability": probability,
        "code": "",
        "message": message,
        "reasons": [],
        "provenance": "",
        **more,
    }


def answer(results, **changes):
    verdicts = ("benign", "malicious", "unsure", "not_pe", "error")
    return {
        "results": results,
        "counts": {name: sum(each["verdict"] == name for each in results) for name in verdicts},
        "model_version": 7,
        "demonstration": False,
        "model_age_days": 12,
        "model_too_old": False,
        "benign_below": 0.5,
        "malicious_from": 0.8,
        "false_positive_rate": 0.01,
        **changes,
    }


def shown(found, *, everything=False):
    options = Namespace(all=everything)
    return render.shown(found, lambda values: scan_text(values, options))


MANY = [
    *(one(f"/a/{number}.exe", "benign", 0.1) for number in range(1240)),
    one("/a/odd.exe", "unsure", 0.6),
    one("/a/bad.exe", "malicious", 0.91),
    one("/a/worse.exe", "malicious", 0.99, reasons=[REASON], provenance="from a package"),
    *(one(f"/a/{number}.txt", "not_pe") for number in range(1564)),
    one("/a/cut.exe", "error", message="It is cut off."),
]


def test_the_summary_comes_first_and_only_problems_are_listed():
    assert shown(answer(MANY)).split("\n\n") == [
        "1,243 programs: 1,240 look benign, 1 unsure, 2 suspicious; 1,564 other files;"
        " 1 file not read.",
        "Suspicious:\n  /a/worse.exe: score 0.990\n      from a package\n"
        "      raises it: has no checksum\n  /a/bad.exe: score 0.910",
        "Unsure:\n  /a/odd.exe: score 0.600",
        "Not read:\n  /a/cut.exe: It is cut off.",
        "Scored by model version 7, 12 days old.\n"
        "A score is the probability of being malicious, from the file's header alone: suspicious"
        " from 0.8, benign below 0.5.\n"
        "By its operator's measurement it calls 1 % of benign programs suspicious.",
    ]


def test_every_line_is_there_on_request_and_in_a_small_scan():
    assert shown(answer(MANY), everything=True).count("/a/") == len(MANY)
    few = [one(f"/a/{number}.exe", "benign", 0.1) for number in range(FEW_LISTED)]
    assert shown(answer(few)).count("/a/") == FEW_LISTED
    assert shown(answer([*few, few[0]])).count("/a/") == 0


def test_a_long_list_of_problems_is_cut_and_says_so():
    broken = [one(f"/a/{number}", "error") for number in range(MOST_LISTED + 1200)]
    text = shown(answer(broken))
    assert text.count("/a/") == MOST_LISTED
    assert "\n  1,200 more; --all lists them." in text


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"demonstration": True}, "made from invented files: no protection."),
        ({"model_too_old": True, "model_age_days": 400}, "The model is too old"),
        ({"false_positive_rate": None}, "has not been measured."),
        ({"model_age_days": 1}, "version 7, 1 day old."),
    ],
)
def test_what_the_verdicts_are_worth_is_said(changes, line):
    assert line in shown(answer([one("/a", "benign", 0.1)], **changes))


def test_without_a_score_nothing_is_said_of_its_worth():
    assert shown(answer([one("/a", "error")])).splitlines() == [
        "0 programs; 0 other files; 1 file not read.",
        "",
        "Not read:",
        "  /a: ",
    ]


@pytest.mark.parametrize(
    ("results", "summary"),
    [
        ([], "0 programs; 0 other files."),
        ([one("/a", "benign", 0.1)], "1 program: 1 looks benign, 0 unsure, 0 suspicious;"),
        ([one("/a", "not_pe")], "0 programs; 1 other file."),
        ([one("/a", "error"), one("/b", "error")], "; 2 files not read."),
    ],
)
def test_counts_are_in_plain_words(results, summary):
    assert summary in shown(answer(results)).splitlines()[0]


def test_a_name_that_a_terminal_would_obey_is_escaped():
    text = shown(answer([one("/a/\x1b[2J\u202eexe.txt\udcff", "malicious", 0.9)]))
    assert r"/a/\x1b[2J\u202eexe.txt\xff: score 0.900" in text
    assert not {"\x1b", "\u202e"} & set(text)


@pytest.mark.parametrize(
    ("verdict", "fail_on", "code"),
    [
        ("malicious", None, 0),
        ("malicious", "malicious", EXIT_FOUND),
        ("unsure", "malicious", 0),
        ("unsure", "unsure", EXIT_FOUND),
        ("malicious", "unsure", EXIT_FOUND),
        ("benign", "unsure", 0),
        ("error", "unsure", 0),
    ],
)
def test_the_exit_code_says_what_was_found_where_that_was_asked(verdict, fail_on, code):
    assert exit_code(answer([one("/a", verdict, 0.5)]), Namespace(fail_on=fail_on)) == code


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_bar_appears_on_a_terminal_only_after_a_moment_and_leaves_nothing():
    seconds = iter([0.0, 0.1, 1.0])
    bar = ProgressBar(stream := Terminal(), lambda: next(seconds))
    bar.show(256, 4000)
    assert stream.getvalue() == ""
    bar.show(2000, 4000)
    assert "2,000 of 4,000 files; Ctrl-C cancels" in stream.getvalue()
    bar.remove()
    assert stream.getvalue().endswith("\r\x1b[K")


def test_without_a_terminal_there_is_no_bar():
    bar = ProgressBar(stream := io.StringIO())
    bar.show(1, 2)
    bar.remove()
    assert stream.getvalue() == ""


class Agent:
    """A channel to a running agent, which answers what the early worker did."""

    def __init__(self, early):
        self._early = early

    def call(self, method, params, report):
        return {"method": method, "paths": params["paths"], "early": self._early.did}

    def close(self):
        pass


class Early:
    def __init__(self):
        self.did = []

    def announce(self, request):
        self.did.append("announced")

    def close(self):
        self.did.append("closed")


def test_where_an_agent_runs_the_early_worker_ends_before_the_scan(monkeypatch):
    early = Early()
    monkeypatch.setattr("agent.cli.backend.channel_to_agent", lambda _: Agent(early))
    options = Namespace(paths=["/a.exe"], sarif="", early=early)
    assert scan(options) == {"method": "scan", "paths": ["/a.exe"], "early": ["closed"]}
