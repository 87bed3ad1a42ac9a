import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.consent import RecordedConsent


@pytest.fixture
def consent(tmp_path):
    consent = RecordedConsent(tmp_path, FakeClock())
    yield consent
    consent.database.close()
