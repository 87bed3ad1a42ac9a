"""Read a device's ledger and recompute ε from its charges, with a second implementation.

usage: python docs/examples/recompute_epsilon.py FILE

FILE is what `aegis export FILE` wrote, or the output of `aegis ledger --json --limit 1000000`.
A charge holds ρ in units of 2⁻⁴⁰. A sum of ρ becomes ε at δ by the smallest value over a > 1 of

    a·ρ + ln(1 - 1/a) - ln(δ·a)/(a - 1)          (Canonne, Kamath, Steinke 2020)

Every a gives a valid ε, so a coarse search errs on the safe side. Nothing of AegisAI is imported.
"""

import json
import math
import sys
from pathlib import Path


def epsilon(rho: float, delta: float) -> float:
    """ε of ρ-zCDP at δ, searched on a fine grid of a."""
    if not rho:
        return 0.0
    orders = (1 + math.exp(step / 1000) for step in range(-5000, 15000))
    return min(a * rho + math.log1p(-1 / a) - math.log(delta * a) / (a - 1) for a in orders)


def shown(value: float) -> str:
    """Six decimals, rounded up."""
    return f"{math.ceil(value * 1e6) / 1e6:.6f}"


def main() -> int:
    """Compare with what the program says; 1 when they differ."""
    document = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    ledger = document.get("ledger", document)
    charges, said = ledger["charges"], ledger["totals"]["epsilon_lifetime"]
    delta = ledger["totals"]["delta"]
    rho, rho_local = (
        sum(charge[name] for charge in charges) / 2**40 for name in ("rho_units", "rho_local_units")
    )
    ours = epsilon(rho, delta)
    print(f"{len(charges)} charges, ρ = {rho:.6f}, δ = {delta:g}")
    print(f"lifetime ε: recomputed {shown(ours)}, the program says {shown(said)}")
    print(f"if the protection of the sums failed: {shown(epsilon(rho_local, delta))}")
    return 0 if math.isclose(ours, said, rel_tol=1e-5, abs_tol=1e-9) else 1


if __name__ == "__main__":
    sys.exit(main())
