"""False alarms are counted at the threshold that keeps the malware, source by source."""

import numpy as np
import pytest

from server_stub.simulation.figures import Holdout, Judgement, percent, spread, to_json

LABELS = np.repeat([1, 0, 0], 100)
SOURCES = np.repeat([0, 1, 2], 100)


def test_one_threshold_keeps_the_malware_and_alarms_are_counted_by_source():
    scores = np.concatenate([np.arange(100.0), np.full(100, -1.0), np.arange(100.0) - 50])
    found = Holdout(LABELS, SOURCES, ("malware", "calm", "alike")).judge(scores)
    # 97 of 100 malicious rows reach 2.97; so do 47 of the rows up to 49.
    assert found.fpr_of == {"calm": 0.0, "alike": 0.47}
    assert found.fpr == pytest.approx(0.235)
    assert 0.8 < found.auc < 1


def test_the_spread_is_over_seeds():
    judgements = [Judgement(auc, 0.5, 0.1, {"Z": 0.2}) for auc in (0.9, 0.92)]
    found = spread(judgements)
    assert found["auc"].mean == pytest.approx(0.91)
    assert found["auc"].sd == pytest.approx(0.02 / 2**0.5)
    assert spread(judgements[:1])["auc"].sd == 0
    assert to_json(found)["fpr_of"] == {"Z": {"mean": 0.2, "sd": 0.0}}
    assert percent(found["fpr Z"]) == "20.0"
    assert percent(found["auc"]) == "91.0 ± 1.4"
