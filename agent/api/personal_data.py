"""Methods that export and erase everything stored about a person."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.api.erasure import Erasure
from agent.api.methods import Method, Result
from agent.consent.gate import Gate
from agent.enrolment.client import EnrolmentClient
from agent.errors import UserActionError
from agent.reports.export import Export
from agent.rounds.completion import run_to_completion
from agent.rounds.runner import RoundRunner


@dataclass(frozen=True)
class PersonalDataMethods:
    """Exports a person's data, and erases it."""

    gate: Gate
    runner: RoundRunner
    enrolment_client: EnrolmentClient
    document: Export
    erasure: Erasure

    def methods(self) -> Mapping[str, Method]:
        """Return the methods by name."""
        return {
            "export": Method(self.export, {"path": str}, {"server": bool}),
            "erase": Method(self.erase, {}, {"here_only": bool}),
        }

    async def export(self, path: str, server: bool = False) -> Result:
        """Write the export to `path`.

        With `server` it includes what the aggregator stores about this device. That needs a live
        consent, because the device's key does.
        """
        target = Path(path)
        if not target.is_absolute():
            raise UserActionError(
                "BAD_VALUE", "The path of the file must be absolute.", "Nothing was written."
            )
        from_server = None
        if server:
            permit = self.gate.permit()
            # A withdrawal ends the request.
            from_server = await self.runner.run_until_withdrawn(
                permit, self.enrolment_client.server_data(permit)
            )
        document = {**self.document.document(), "server": from_server}
        content = json.dumps(document, indent=1, ensure_ascii=False).encode()
        _write(target, content)
        return {"file": path, "bytes": len(content)}

    async def erase(self, here_only: bool = False) -> Result:
        return await run_to_completion(self.erasure.erase(here_only=here_only))


def _write(target: Path, content: bytes) -> None:
    """Replace `target`, readable by its owner only. Raises UserActionError CANNOT_WRITE."""
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        draft.touch(mode=0o600, exist_ok=False)
        draft.write_bytes(content)
        draft.replace(target)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise UserActionError(
            "CANNOT_WRITE",
            f"The file could not be written ({error.strerror}).",
            "Choose another place.",
        ) from error
