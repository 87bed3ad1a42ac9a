"""Creates a server: keys, enrolment authority, model repository and settings in one folder."""

from datetime import UTC, datetime

from server_stub.ca import authority, server_certificate
from server_stub.config.home import ServerHome
from server_stub.config.settings import ServerSettings, bad_setting
from server_stub.publishing import tuf_repository
from server_stub.rounds.lifecycle import rho_units_per_round

MAX_NAME_BYTES = 44
"""Of the operator's name in the authority's: a common name holds 64 (RFC 5280, ub-common-name)."""


def create_home(home: ServerHome, settings: ServerSettings, now: int, base: bytes = b"") -> None:
    """Create keys, authority and repository, then write the settings. `base`: of the task.

    An interrupted run leaves a folder without settings, which no command takes for a server.
    Raises OperatorActionError HOME_EXISTS, BAD_SETTING.
    """
    try:
        settings.check()
        rho_units_per_round(settings.rounds)
    except ValueError as error:
        raise bad_setting(error) from error
    home.create_folders()
    authority.create(home.authority, _authority_name(settings.operator.name), now)
    home.create_keys()
    root_sha256 = tuf_repository.create(
        home.repository, settings.task, datetime.fromtimestamp(now, UTC), None, base
    )
    home.write_root_sha256(root_sha256)
    server_certificate.issue(home, settings, now)
    home.write_settings(settings)


def _authority_name(operator: str) -> str:
    name = operator.encode()[:MAX_NAME_BYTES].decode(errors="ignore").strip()
    return f"{name} enrolment authority"
