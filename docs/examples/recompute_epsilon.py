"""Read a device's ledger and recompute ε from its charges, with a second implementation of the bound.

usage: aegis export mine.json && python docs/examples/recompute_epsilon.py mine.json
   or: aegis ledger --json --limit 1000000 > ledger.json && python docs/examples/recompute_epsilon.py ledger.json

A charge holds ρ in units of 2⁻⁴⁰. Sums of ρ become ε at δ by the smallest value over a > 1 of

    a·ρ + ln(1 − 1/a) − ln(δ·a)/(a − 1)          (Canonne, Kamath, Steinke 2020)

Every a gives a valid ε, so a coarse search can only err on the safe side. Nothing of AegisAI is imported here.
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


def main() -> int:
    """Compare with what the program says; 1 when they differ."""
    document = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    ledger = document.get("ledger", document)
    totals, delta = ledger["totals"], ledger["totals"]["delta"]
    rho = sum(charge["rho_units"] for charge in ledger["charges"]) / 2**40
    rho_local = sum(charge["rho_local_units"] for charge in ledger["charges"]) / 2**40
    print(f"{len(ledger['charges'])} charges, ρ = {rho:.6f}, δ = {delta:g}")
    print(f"lifetime ε: recomputed {epsilon(rho, delta):.6f}, the program says {totals['epsilon_lifetime']:.6f}")
    print(f"if the protection of the sums failed: {epsilon(rho_local, delta):.6f}")
    return 0 if math.isclose(epsilon(rho, delta), totals["epsilon_lifetime"], rel_tol=1e-5, abs_tol=1e-9) else 1


if __name__ == "__main__":
    sys.exit(main())
