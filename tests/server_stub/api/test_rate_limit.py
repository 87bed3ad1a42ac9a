import pytest

from server_stub.api import rate_limit
from server_stub.api.rate_limit import Buckets
from server_stub.config.limits import Rate
from server_stub.errors import BusyError


def test_a_bucket_allows_a_burst_and_then_its_rate():
    buckets, rate = Buckets(), Rate(3, 0.5)
    for _ in range(3):
        buckets.take("address", "a", rate, 0.0)
    with pytest.raises(BusyError) as caught:
        buckets.take("address", "a", rate, 0.0)
    assert (caught.value.code, caught.value.retry_after_s) == ("TOO_MANY", 2)
    buckets.take("address", "b", rate, 0.0)
    buckets.take("address", "a", rate, 2.0)
    with pytest.raises(BusyError):
        buckets.require("address", "a", rate, 2.1)


def test_the_number_of_buckets_is_bounded(monkeypatch):
    monkeypatch.setattr(rate_limit, "MAX_BUCKETS", 10)
    buckets = Buckets()
    for number in range(1000):
        buckets.take("address", str(number), Rate(1, 1.0), 0.0)
    assert len(buckets) == 10
