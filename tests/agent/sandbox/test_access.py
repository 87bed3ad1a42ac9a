"""Of Python's import path, a job may read what belongs to Python and this program."""

from pathlib import Path

import agent
from agent.sandbox.access import program_files

OWN = str(Path(agent.__file__).parent)


def test_python_its_packages_and_the_systems_libraries_may_be_read():
    found = program_files(
        [
            "/opt/python/lib/python311.zip",
            "/opt/python/lib/python3.11",
            "/home/ada/.venv/lib/python3.11/site-packages",
            "/home/ada/.local/lib/python3.11/site-packages",
            "/usr/lib/python3/dist-packages",
        ],
        ["/home/ada/.venv", "/opt/python", ""],
    )
    assert found[:2] == ("/home/ada/.venv/lib", "/opt/python/lib")
    assert {
        "/opt/python/lib/python3.11",
        "/home/ada/.venv/lib/python3.11/site-packages",
        "/home/ada/.local/lib/python3.11/site-packages",
        "/usr/lib/python3/dist-packages",
        "/usr/lib",
        "/etc/ld.so.cache",
        OWN,
    } <= set(found)
    assert not {"/", "/home/ada", "/home/ada/.venv", "/opt/python"} & set(found)


def test_p12_a_folder_of_a_person_on_the_import_path_stays_closed():
    found = program_files(["/home/ada/project", "", ".", "/home/ada"], ["/usr"])
    assert not [path for path in found if path.startswith("/home/ada") or not path.startswith("/")]
    assert OWN in found


def test_the_folders_of_a_library_path_count():
    found = program_files([], ["/usr"], "/opt/libs::relative:/opt/more")
    assert {"/opt/libs", "/opt/more"} <= set(found)
    assert "" not in found
    assert "relative" not in found


def test_nothing_is_named_twice():
    found = program_files(["/usr/lib/python3.11"] * 2, ["/usr", "/usr"])
    assert len(found) == len(set(found))
