"""A scan without an agent answers as an agent does, and leaves the home as it was."""

import asyncio
from pathlib import Path

import psutil
import pytest
import setuptools

from agent import scanner
from agent.errors import UserActionError
from agent.paths import Home
from tests.fakes.device import Device

PROGRAM = Path(setuptools.__file__).parent / "cli-64.exe"


def scan(folder, *paths, environ=None, report=lambda *_: None):
    params = {"paths": list(map(str, paths))}
    return asyncio.run(scanner.scan(Home(folder), environ or {}, params, report))


async def test_it_answers_what_an_agent_answers_and_reports_progress(tmp_path):
    device, steps = Device(tmp_path), []
    home = Home(tmp_path / "none")
    params = {"paths": [str(PROGRAM), str(tmp_path / "missing")]}
    answer = await scanner.scan(home, {}, params, lambda *step: steps.append(step))
    assert answer.keys() == (await device.call("scan", paths=["/x"])).keys()
    assert [one["verdict"] for one in answer["results"]] == ["benign", "error"]
    assert sum(answer["counts"].values()) == len(answer["results"]) == steps[-1][1]
    assert not home.root.exists()
    device.close()


def test_p11_no_path_is_refused_and_no_worker_stays(tmp_path):
    (tmp_path / "agent.sqlite3").write_bytes(b"no database" * 100)
    others = set(psutil.Process().children())  # of other tests, such as multiprocessing's own
    with pytest.raises(UserActionError) as raised:
        scan(tmp_path, PROGRAM)
    assert raised.value.code == "STORE_DAMAGED"
    assert set(psutil.Process().children()) <= others
