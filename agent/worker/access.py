"""What each job may open, as its request says. Pure."""

import json
import os

from agent.protocol.jobs import Job
from agent.protocol.pipe import Frame
from agent.sandbox.access import Access


def access(request: Frame) -> Access:
    """Return what the job may open beside Python itself; nothing for a job that makes no sense."""
    header = request.header
    try:
        match header.get("job"):
            case Job.EXTRACT | Job.SCAN:
                return Access(read=tuple(map(str, json.loads(request.parts[0]))))
            case Job.COLLECT:
                asked = json.loads(request.parts[0])
                places = [path for one in asked["sources"].values() for path in one["paths"]]
                return Access(read=tuple(map(str, (*asked["folders"], *places))))
            case Job.IMPORT:
                return Access(read=(str(header["path"]),))
            # An escape is tried from the widest sandbox that any job has.
            case Job.TRAIN | Job.EXAMPLE | Job.ESCAPE:
                # Drafts and checkpoints stand beside the update.
                return Access(write=(_folder(str(header["scratch"])),))
            case Job.SEAL:
                return Access(read=(str(header["scratch"]),))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        pass  # The job itself reports it.
    return Access()


def _folder(path: str) -> str:
    return os.path.dirname(os.path.abspath(path))  # noqa: PTH100, PTH120 - paths stay text
