"""Noise and codec: samples a second, and encoding and decoding a whole update."""

import os
import random

import numpy as np

from agent.privacy.codec import decode_sum, encode_update
from agent.privacy.noise import sample, table
from agent.privacy.plan import plan_local
from agent.privacy.zcdp import rho_for_epsilon
from agent.protocol.messages import Mode, Task
from agent.protocol.stream import Stream
from tests.bench.harness import Figure, bench, median_s
from tests.bench.peer import ask
from tests.fakes.exact_gaussian import ExactGaussian
from tests.fakes.rounds import round_identity

COUNT = 1_000_000


@bench(*(f"noise.rate_per_s.sigma{sigma}" for sigma in (1, 10, 100, 1000)))
def rates():
    """Against OpenDP where it is installed, else the exact sampler of Canonne, Kamath and Steinke
    in plain Python.
    """
    stream, opendp = (
        Stream(os.urandom(32)),
        ask("opendp_gaussian", "50000", "1", "10", "100", "1000"),
    )
    for sigma in (1, 10, 100, 1000):
        if opendp is None:
            exact = ExactGaussian(random.SystemRandom())
            slow = 500 / median_s(
                lambda exact=exact, sigma=sigma: [exact.draw(sigma**2) for _ in range(500)], 1
            )
            peer = "exact CKS, plain Python (OpenDP: 60–90 k/s, quoted)"
        else:
            slow, peer = (
                opendp["sigmas"][str(sigma)]["rate"],
                f"OpenDP {opendp['version']}, same run",
            )
        fast = COUNT / median_s(lambda sigma=sigma: sample(COUNT, sigma**2, stream))
        yield Figure(f"noise.rate_per_s.sigma{sigma}", fast, "1/s", slow, peer)


@bench("noise.table_ms.sigma1000")
def tables():
    yield Figure(
        "noise.table_ms.sigma1000", median_s(lambda: table.__wrapped__(1000**2)) * 1e3, "ms"
    )


@bench(
    *(f"codec.{way}_ms.{size}" for size in ("d10k", "d100k", "d1m") for way in ("encode", "decode"))
)
def codec():
    for size, d in (("d10k", 10_000), ("d100k", 100_000), ("d1m", 1_000_000)):
        task = Task("task", "schema", "logistic", d, Mode.LOCAL, 10, 100, 1000, 1)
        config = plan_local(
            task, round_identity(), rho_units_per_round=rho_for_epsilon(8.0, 1e-5) // 10
        )
        vector = np.random.default_rng(1).normal(size=d)
        words = encode_update(vector, config, os.urandom(32))
        plain = median_s(lambda vector=vector: vector + vector, 5) * 1e3
        encode = (
            median_s(
                lambda vector=vector, config=config: encode_update(vector, config, os.urandom(32)),
                5,
            )
            * 1e3
        )
        yield Figure(f"codec.encode_ms.{size}", encode, "ms", plain, "one np.add")
        decode = median_s(lambda words=words, config=config: decode_sum(words, config, 1), 5) * 1e3
        yield Figure(f"codec.decode_ms.{size}", decode, "ms", plain, "one np.add")
