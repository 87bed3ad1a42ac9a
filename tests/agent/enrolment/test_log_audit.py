"""Every audit asks for a new head, this device's entry and the growth since the last one."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256

from agent.enrolment.log_audit import audit
from agent.errors import AegisError
from agent.protocol.canonical import canonical
from agent.protocol.issuance import LogHead, head_bytes
from agent.protocol.log_tree import Tree, leaf_hash
from tests.fakes.ca import TestAuthority

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
        await audit(ask, log, AUTHORITY.pem, MINE, seen)
    assert raised.value.code == "ISSUANCE_LOG"
    return raised.value.message


async def test_the_first_audit_remembers_the_head():
    log = Log()
    assert await audit(ask, log, AUTHORITY.pem, MINE, None) == log.head()
    assert log.asked == ["head", ("proof", MINE, 8)]


@pytest.mark.parametrize("earlier", [1, 5, 8])
async def test_a_later_one_checks_that_the_log_only_grew(earlier):
    log = Log()
    assert await audit(ask, log, AUTHORITY.pem, MINE, log.head(earlier)) == log.head()
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
        await audit(withdrawn, Log(), AUTHORITY.pem, MINE, None)
