"""Evidence of a fault, and the verdict of its judge.

Evidence is complete in itself: a judge needs it and the pinned authority, and believes nothing
else.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from agent.errors import PeerError


@dataclass(frozen=True)
class Verdict:
    """Whose fault it is."""

    device_id: str
    code: str
    """The fault, as docs/ERRORS.md lists it."""


@dataclass(frozen=True)
class Evidence:
    """Facts for one kind of judge. They consist of what JSON can hold."""

    judge: str
    facts: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {"judge": self.judge, **self.facts}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Evidence":
        """Raises PeerError NO_PROOF."""
        facts = dict(value)
        judge = facts.pop("judge", None)
        if not isinstance(judge, str):
            raise no_proof("it names no judge")
        return cls(judge, facts)


@dataclass(frozen=True)
class Proof:
    """A verdict and the evidence that it rests on."""

    verdict: Verdict
    evidence: Evidence

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self.verdict), "evidence": self.evidence.to_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Proof":
        """Read what `to_json` made. It is not judged again."""
        verdict = Verdict(value["device_id"], value["code"])
        return cls(verdict, Evidence.from_json(value["evidence"]))


Judge = Callable[[Mapping[str, Any], str], Verdict]
"""Takes the facts and the authority's certificate (PEM). Raises PeerError NO_PROOF when the facts
prove nothing."""


def judged(evidence: Evidence, ca_pem: str, judges: Mapping[str, Judge]) -> Verdict:
    """Judge evidence. Raises PeerError NO_PROOF."""
    judge = judges.get(evidence.judge)
    if judge is None:
        raise no_proof("nobody here judges it")
    return judge(evidence.facts, ca_pem)


def no_proof(detail: str) -> PeerError:
    """The evidence proves nothing against anybody."""
    return PeerError("NO_PROOF", "The evidence proves no fault.", "Exclude nobody for it.", detail)
