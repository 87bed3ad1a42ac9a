"""The rules by their names. A round's record names the rule that combined it."""

from server_stub.aggregation.anchored_mean import anchored_mean
from server_stub.aggregation.centred_clipping import centred_clipping
from server_stub.aggregation.coordinate_median import coordinate_median
from server_stub.aggregation.fltrust import fltrust
from server_stub.aggregation.geometric_median import geometric_median
from server_stub.aggregation.groups import Rule
from server_stub.aggregation.mean import mean
from server_stub.aggregation.multi_krum import multi_krum
from server_stub.aggregation.norm_clipping import norm_clipping
from server_stub.aggregation.trimmed_mean import trimmed_mean

RULES: dict[str, Rule] = {
    "mean": mean,
    "coordinate-median": coordinate_median,
    "trimmed-mean": trimmed_mean,
    "geometric-median": geometric_median,
    "multi-krum": multi_krum,
    "centred-clipping": centred_clipping,
    "norm-clipping": norm_clipping,
    "fltrust": fltrust,
    "anchored-mean": anchored_mean,
}
NEED_ROOT = frozenset({"fltrust", "anchored-mean"})
"""The rules that need a root update."""
