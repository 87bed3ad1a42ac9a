"""Every ε that one demonstration shows anywhere is a ledger's figure, rounded up."""

import io
import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from rich.console import Console

from agent.privacy.zcdp import epsilon, epsilon_between
from agent.status import Status, epsilon_in_words
from server_stub.demo import command
from server_stub.demo.device_fleet import Fleet
from server_stub.demo.local_server import LocalServer
from server_stub.demo.plan import LOGISTIC, DemoPlan
from server_stub.demo.progress import DemoScreen
from server_stub.demo.report_text import render
from tests.ui.plain_formatter import PlainFormatter
from ui.presentation.budget_labels import budget_labels

pytestmark = pytest.mark.system
PLAN = DemoPlan(devices=4, rounds=2, epsilon=1.3, family=LOGISTIC)
FIGURE = re.compile(r"(?<!\^)ε\s*(?:spent\s*)?[=≤]?\s*(\d[\d.]*)")


@dataclass
class Surfaces:
    """What the demonstration showed while it ran, by surface."""

    folder: Path
    parts: list = field(default_factory=list)
    texts: dict = field(default_factory=dict)
    status: dict = field(default_factory=dict)
    stats: dict = field(default_factory=dict)
    ledgers: tuple = ()

    def part(self, kind):
        return next(part for part in self.parts if isinstance(part, kind))

    def read(self):
        """Ask everything that runs, after the last round."""
        (scratch,) = self.folder.iterdir()
        home = str(scratch / "agent")
        environment = {**os.environ, "XDG_RUNTIME_DIR": str(scratch / "run")}

        def run(*words):
            return subprocess.run(
                [sys.executable, "-m", *words],
                env=environment,
                capture_output=True,
                text=True,
                check=True,
            ).stdout

        self.texts["aegis status"] = run("agent", "status", "--home", home)
        self.texts["aegis ledger"] = run("agent", "ledger", "--home", home)
        self.status = json.loads(run("agent", "status", "--json", "--home", home))
        server = self.part(LocalServer)
        rounds = ("server_stub.cli.main", "rounds", "list", "--home", str(scratch / "server"))
        self.texts["aegis-server rounds list"] = run(*rounds)
        self.stats = server.command("stats")
        with urllib.request.urlopen(server.operator_url, timeout=30) as page:
            self.texts["dashboard"] = page.read().decode()
        self.ledgers = self.part(Fleet).ledgers()


class ReadingScreen(DemoScreen):
    """Reads every surface after the last round, while everything still runs."""

    def __init__(self, surfaces):
        self.written = io.StringIO()
        super().__init__(Console(file=self.written, width=100))
        self._surfaces = surfaces

    def show_round(self, result, rounds):
        super().show_round(result, rounds)
        if result.number == rounds:
            self._surfaces.read()


@pytest.fixture
def short_folder():
    """Short enough for the path of a socket in it."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


def test_p5_every_epsilon_of_a_demonstration_is_a_ledgers_rounded_up(
    tmp_path, short_folder, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(short_folder))
    surfaces, drawn = Surfaces(short_folder), []
    for kind in (LocalServer, Fleet):
        monkeypatch.setattr(
            command,
            kind.__name__,
            lambda *words, kind=kind, **names: (
                surfaces.parts.append(kind(*words, **names)) or surfaces.parts[-1]
            ),
        )
    step = Axes.step
    monkeypatch.setattr(
        Axes, "step", lambda axes, x, y, **style: (drawn.extend(y), step(axes, x, y, **style))[1]
    )
    with ReadingScreen(surfaces) as screen:
        report = command.run(PLAN, screen, None, tmp_path / "demo.png")
    document = json.loads((tmp_path / "demo.json").read_text())
    ledger = json.loads((tmp_path / "demo-ledger.json").read_text())
    totals = ledger["totals"]
    terminal = io.StringIO()
    Console(file=terminal, width=100).print(render(report))

    # The figures: over all ledgers, the full agent's among them.
    ledgers = (
        *surfaces.ledgers,
        (totals["rho_units"], sum(charge["rho_local_units"] for charge in ledger["charges"])),
    )
    assert len(ledgers) == PLAN.devices
    most, alone = (max(units) for units in zip(*ledgers, strict=True))
    spent = epsilon(most, PLAN.delta)
    assert document["epsilon_spent"] == document["history"][-1]["epsilon_spent"] == spent
    assert document["epsilon_local"] == epsilon(alone, PLAN.delta)
    assert document["epsilon_between"] == epsilon_between(most, PLAN.delta)
    assert drawn == [0.0, *(line["epsilon_spent"] for line in document["history"])]
    budget = surfaces.status["budget"]
    names = ("epsilon_ledger", "epsilon_local", "epsilon_lifetime", "epsilon_local_lifetime")
    assert [budget[name] for name in names] == [totals[name] for name in names]
    assert totals["epsilon_ledger"] == epsilon(totals["rho_units"], PLAN.delta)
    price = epsilon(ledger["charges"][0]["rho_units"], PLAN.delta)
    assert surfaces.stats["round"]["epsilon_ledger"] == price

    # The texts: no ε but these, each as the one formatter writes it.
    labels = budget_labels(Status.from_json(surfaces.status).budget, PlainFormatter())
    texts = {
        **surfaces.texts,
        "progress": screen.written.getvalue(),
        "report": " ".join(terminal.getvalue().split()),
        "window": " ".join((labels.figures, labels.lifetime, labels.fallback)),
    }
    exact = {
        *(value for name, value in totals.items() if name.startswith("epsilon")),
        *(charge["epsilon"] for charge in ledger["charges"]),
        *(line["epsilon_spent"] for line in document["history"]),
        *(value for name, value in document.items() if name.startswith("epsilon")),
    }
    allowed = {epsilon_in_words(value) for value in exact}
    for surface, text in texts.items():
        shown = {figure.rstrip(".") for figure in FIGURE.findall(text)} - {"0.5"}
        assert shown <= allowed, surface
        assert shown or surface == "dashboard", surface
    assert f"<td>{epsilon_in_words(price)}</td>" in texts["dashboard"]
    assert f"ε = {epsilon_in_words(spent)} (δ" in texts["report"]
