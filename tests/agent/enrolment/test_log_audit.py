"""An audit asks for a new head, this device's entry and the growth since the last one; it is made
once a day.
"""

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256

from agent.enrolment.log_audit import AUDIT_PERIOD_S, LogAuditor, check_log
from agent.errors import AegisError
from agent.protocol.canonical import canonical
from agent.protocol.issuance import LogHead, head_bytes
from agent.protocol.log_tree import Tree, leaf_hash
from agent.store.database import Database
from agent.store.values import Values
from tests.fakes.ca import TestAuthority
from tests.fakes.clock import FakeClock

MINE = "ab" * 32
AUTHORITY = TestAuthority()


class Log:
    """An authority's log as the server answers for it; `size` is how much of it is shown."""

    def __init__(self, size=8, mine=2, key=AUTHORITY.key):
        names = [MINE if place == mine else f"{place:064x}" for place in range(20)]
        self.entries = [
            canonical({"event": "issued", "certificate_sha256": name}) for name in names
        ]
        self.tree = Tree(leaf_hash(entry) for entry in self.entries)
        self.size, self.mine, self.key = size, mine, key
        self.asked = []

    def head(self, size=None):
        size = size or self.size
        return LogHead(size, self.tree.root(size).hex())

    def log_head(self):
        self.asked.append("head")
        signature = self.key.sign(head_bytes(self.head()), ECDSA(SHA256())).hex()
        return {"size": self.size, "root": self.head().root, "signature": signature}

    def log_proof(self, certificate_sha256, size):
        self.asked.append(("proof", certificate_sha256, size))
        proof = [step.hex() for step in self.tree.inclusion_proof(self.mine, size)]
        entry = self.entries[self.mine].decode()
        return {"index": self.mine, "size": size, "entry": entry, "proof": proof}

    def log_consistency(self, earlier, size):
        self.asked.append(("growth", earlier, size))
        proof = [step.hex() for step in self.tree.consistency_proof(earlier, size)]
        return {"earlier": earlier, "size": size, "proof": proof}


async def ask(call):
    return call()


async def refusal(log, seen=None):
    with pytest.raises(AegisError) as raised:
        await check_log(ask, log, AUTHORITY.pem, MINE, seen)
    assert raised.value.code == "ISSUANCE_LOG"
    return raised.value.message


async def test_the_first_audit_remembers_the_head():
    log = Log()
    assert await check_log(ask, log, AUTHORITY.pem, MINE, None) == log.head()
    assert log.asked == ["head", ("proof", MINE, 8)]


@pytest.mark.parametrize("earlier", [1, 5, 8])
async def test_a_later_one_checks_that_the_log_only_grew(earlier):
    log = Log()
    assert await check_log(ask, log, AUTHORITY.pem, MINE, log.head(earlier)) == log.head()
    assert log.asked[-1] == ("growth", earlier, 8)


async def test_a_log_that_became_shorter_is_refused_before_more_is_asked():
    log = Log()
    assert "shorter" in await refusal(log, log.head(9))
    assert log.asked == ["head"]


async def test_a_log_with_another_past_is_refused():
    assert "was changed" in await refusal(Log(), Log(mine=3).head(5))


async def test_a_head_by_another_key_is_refused():
    assert "not signed" in await refusal(Log(key=TestAuthority().key))


async def test_a_log_without_this_devices_certificate_is_refused():
    log = Log()
    log.entries[log.mine] = canonical({"event": "issued", "certificate_sha256": "cd" * 32})
    assert "does not hold" in await refusal(log)


async def test_what_the_network_raises_is_passed_on():
    async def withdrawn(_):
        raise RuntimeError("no request may be made any more")

    with pytest.raises(RuntimeError, match="no request"):
        await check_log(withdrawn, Log(), AUTHORITY.pem, MINE, None)


class Person:
    """Somebody who has agreed, until they withdraw."""

    has_agreed = True

    def check(self):
        if not self.has_agreed:
            raise AegisError("NO_CONSENT", "Consent was withdrawn.")


class Device:
    """An auditor with its store, and the log that it asks."""

    def __init__(self, folder):
        self.database = Database(folder / "agent.sqlite3")
        self.clock, self.person, self.log = FakeClock(), Person(), Log()
        self.auditor = LogAuditor(self.clock, Values(self.database, "value"), ask)

    async def audit(self, certificate=MINE, ca_pem=AUTHORITY.pem):
        """What the log was asked."""
        self.log.asked.clear()
        await self.auditor.audit(self.person, self.log, ca_pem, certificate)
        return self.log.asked


@pytest.fixture
def device(tmp_path):
    device = Device(tmp_path)
    yield device
    device.database.close()


async def test_a_log_is_audited_once_a_day(device):
    assert await device.audit() == ["head", ("proof", MINE, 8)]
    device.clock.advance(AUDIT_PERIOD_S - 1)
    assert await device.audit() == []
    device.clock.advance(1)
    assert await device.audit() == ["head", ("proof", MINE, 8), ("growth", 8, 8)]


async def test_a_clock_that_was_set_back_does_not_put_the_audit_off(device):
    await device.audit()
    device.clock.wall -= 10 * AUDIT_PERIOD_S
    assert await device.audit()


async def test_a_new_certificate_is_looked_for_at_once_and_the_past_still_counts(device):
    await device.audit()
    device.log.mine, device.log.size = 5, 12
    device.log.entries[5] = canonical({"event": "issued", "certificate_sha256": "cd" * 32})
    device.log.tree = Tree(leaf_hash(entry) for entry in device.log.entries)
    with pytest.raises(AegisError, match="was changed"):
        await device.audit("cd" * 32)


async def test_another_authority_begins_another_past(device):
    await device.audit()
    other = TestAuthority()
    device.log.key, device.log.size = other.key, 3
    assert await device.audit(ca_pem=other.pem) == ["head", ("proof", MINE, 3)]


async def test_a_server_that_cannot_be_reached_is_audited_the_next_time(device, caplog):
    await device.audit()
    device.clock.advance(AUDIT_PERIOD_S)
    reachable, device.log.log_head = device.log.log_head, unreachable
    await device.audit()
    assert "OFFLINE" in caplog.text
    device.log.log_head = reachable
    assert ("growth", 8, 8) in await device.audit()


def unreachable():
    raise AegisError("OFFLINE", "The server cannot be reached.")


async def test_p2_after_a_withdrawal_nothing_is_asked(device):
    device.person.has_agreed = False
    with pytest.raises(AegisError, match="withdrawn"):
        await device.audit()
    assert device.log.asked == []
