"""Below the minimum, files that nobody named stay unread, and the reason says what is missing."""

import sys
from dataclasses import replace

import pytest

from agent.sandbox.minimum import Offered, missing, offered_here, refusal

WHOLE = Offered(system_calls=True, landlock=1, private_agent=True)


@pytest.mark.parametrize("version", [1, 2, 7, 99])
def test_the_first_version_of_landlock_is_enough(version):
    assert refusal(replace(WHOLE, landlock=version)) == ""
    assert missing(replace(WHOLE, landlock=version)) == ()


@pytest.mark.parametrize(
    ("lack", "word"),
    [
        ({"system_calls": False}, "seccomp"),
        ({"landlock": 0}, "Landlock"),
        ({"private_agent": False}, "closed to other programs"),
    ],
)
def test_p12_each_missing_part_is_enough_to_leave_unnamed_files_alone(lack, word):
    why = refusal(replace(WHOLE, **lack))
    assert why.startswith("AegisAI reads only files that you name")
    assert word in why


def test_all_that_is_missing_is_named():
    assert len(missing(Offered(system_calls=False, landlock=0, private_agent=False))) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_this_kernel_is_asked():
    found = offered_here()
    assert found.system_calls
    assert found.landlock >= 0


def test_another_system_offers_none_of_it(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    assert len(missing(offered_here())) == 3
