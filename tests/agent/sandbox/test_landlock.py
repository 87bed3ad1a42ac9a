"""All that a version of Landlock can forbid is asked for, and a confined process opens nothing
else.
"""

import pytest

from agent.sandbox import landlock
from agent.sandbox.landlock import handled, names, version
from tests.fakes.confined import run

pytestmark = pytest.mark.skipif(not version(), reason="this kernel has no Landlock")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "named").mkdir()
    (tmp_path / "named/in").write_text("x")
    (tmp_path / "other").write_text("x")
    (tmp_path / "link").symlink_to("other")
    return tmp_path


def outcome(folder, program, **access):
    done = run(program, access=f"Access(**{access!r})", cwd=folder)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("asked", "files", "network", "scopes", "size"),
    [
        (1, 0x1FFF, 0, 0, 8),
        (2, 0x3FFF, 0, 0, 8),
        (3, 0x7FFF, 0, 0, 8),
        (4, 0x7FFF, 3, 0, 16),
        (5, 0xFFFF, 3, 0, 16),
        (6, 0xFFFF, 3, 3, 24),
        (99, 0xFFFF, 3, 3, 24),
    ],
)
def test_each_version_is_asked_for_all_that_it_can_forbid(asked, files, network, scopes, size):
    wanted = handled(asked)
    assert (wanted.files, wanted.network, wanted.scopes, wanted.size) == (
        files,
        network,
        scopes,
        size,
    )


def test_later_versions_are_named_as_what_they_add():
    assert names(0) == ()
    assert names(1) == ("named files only",)
    assert names(99) == ("named files only", "no TCP", "no abstract sockets", "no signals")


def test_p12_a_named_folder_is_readable_and_nothing_beside_it(folder):
    program = (
        "print(open('named/in').read(), refused(lambda: open('other')),"
        " refused(lambda: open('link')), refused(lambda: os.listdir('.')), os.listdir('named'))"
    )
    assert outcome(folder, program, read=(str(folder / "named"),)) == [
        "x", "True", "True", "True", "['in']",
    ]  # fmt: skip


def test_p12_a_named_file_opens_no_neighbour(folder):
    program = "print(open('other').read(), refused(lambda: open('named/in')))"
    assert outcome(folder, program, read=(str(folder / "other"),)) == ["x", "True"]


def test_p12_the_scratch_folder_takes_files_and_nothing_else(folder):
    program = (
        "fd = os.open('named/new', os.O_WRONLY | os.O_CREAT | os.O_EXCL); os.write(fd, b'x');"
        "os.rename('named/new', 'named/newer'); os.unlink('named/in');"
        "print(refused(lambda: os.mkdir('named/f')), refused(lambda: os.symlink('x', 'named/s')),"
        " refused(lambda: os.rename('named/newer', 'moved')),"
        " refused(lambda: os.open('other', os.O_WRONLY)))"
    )
    assert outcome(folder, program, write=(str(folder / "named"),)) == ["True"] * 4
    assert [path.name for path in (folder / "named").iterdir()] == ["newer"]


def test_a_path_that_is_not_there_needs_no_rule(folder):
    program = "print(open('other').read())"
    missing = (str(folder / "gone"), "nul\0", str(folder / "other"))
    assert outcome(folder, program, read=missing) == ["x"]


def test_a_kernel_without_it_confines_nothing_and_says_so(monkeypatch):
    monkeypatch.setattr(landlock, "version", lambda: 0)
    assert landlock.confine(landlock.Access(), ()) == ()
