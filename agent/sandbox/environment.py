"""The environment variables of a worker. Apart from the rules, because a scan needs them first."""

from collections.abc import Mapping

KEPT = ("PATH", "PYTHONPATH", "SYSTEMROOT", "TMPDIR", "LD_LIBRARY_PATH")
"""The variables of the agent's environment that a worker gets."""


def environment(base: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of a worker: nothing personal, and one thread per numerical
    library, because their idle threads spin.
    """
    threads = (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
    )
    kept = {name: base[name] for name in KEPT if name in base}
    return {
        **kept,
        **dict.fromkeys(threads, "1"),
        "LC_ALL": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
