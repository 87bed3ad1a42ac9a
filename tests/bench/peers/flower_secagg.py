"""Run by an interpreter that has flwr (1.42): one client's round and the server's unmasking in
Flower's secure aggregation. JSON on stdout.

    python flower_secagg.py N DROPPED DIMENSION...   → {"version", "client_s": {D: CPU}, "unmask_s":
                                                     {D: …}, "vector_bytes": …}

Every client is everybody's neighbour. What repeats a hundred times for the server is timed a few
times and multiplied.
"""

import importlib
import json
import os
import sys
import time
from importlib.metadata import version

import numpy as np
from flwr.common import ndarrays_to_parameters
from flwr.common.secure_aggregation.crypto.shamir import combine_shares, create_shares
from flwr.common.secure_aggregation.crypto.symmetric_encryption import encrypt, generate_shared_key
from flwr.common.secure_aggregation.secaggplus_constants import Key
from flwr.common.secure_aggregation.secaggplus_utils import (
    pseudo_rand_gen,
    share_keys_plaintext_concat,
)
from flwr.supercore.primitives.asymmetric import (
    bytes_to_public_key,
    generate_key_pairs,
    public_key_to_bytes,
)

client = importlib.import_module("flwr.client.mod.secure_aggregation.secaggplus_mod")
MODULUS = 1 << 32
OWN = 1
SAMPLES = 3
LIMITS = {
    Key.CLIPPING_RANGE: 8.0,
    Key.TARGET_RANGE: 1 << 22,
    Key.MOD_RANGE: MODULUS,
    Key.MAX_WEIGHT: 1000.0,
}


def timed(call, clock=time.perf_counter):
    started = clock()
    answer = call()
    return clock() - started, answer


def main(n: int, dropped: int, dimensions: list[int]) -> dict[str, object]:
    threshold = round(0.67 * n)
    state = client.SecAggPlusState()
    state.nid = OWN
    sizes = {Key.SAMPLE_NUMBER: n, Key.SHARE_NUMBER: n, Key.THRESHOLD: threshold}
    setup_s, keys = timed(lambda: client._setup(state, {**sizes, **LIMITS}), time.process_time)
    peers = {
        number: (generate_key_pairs(), generate_key_pairs()) for number in range(OWN + 1, n + 1)
    }
    public = {
        str(number): (public_key_to_bytes(one[1]), public_key_to_bytes(two[1]))
        for number, (one, two) in peers.items()
    }
    public[str(OWN)] = (keys[Key.PUBLIC_KEY_1], keys[Key.PUBLIC_KEY_2])
    share_s, _ = timed(lambda: client._share_keys(state, public), time.process_time)
    seed_shares, key_shares = (
        create_shares(os.urandom(32), threshold, n),
        create_shares(state.sk1, threshold, n),
    )
    sealed = [
        encrypt(
            generate_shared_key(two[0], bytes_to_public_key(state.pk2)),
            share_keys_plaintext_concat(number, OWN, seed_shares[0], key_shares[0]),
        )
        for number, (_, two) in peers.items()
    ]
    inbox = {Key.CIPHERTEXT_LIST: sealed, Key.SOURCE_LIST: list(peers)}
    figures = {"version": version("flwr"), "client_s": {}, "unmask_s": {}, "vector_bytes": {}}
    alive, combine_s = n - dropped, {}
    for name, shares in (("seed", seed_shares), ("key", key_shares)):
        combine_s[name] = (
            timed(lambda shares=shares: [combine_shares(shares[:alive]) for _ in range(SAMPLES)])[0]
            / SAMPLES
        )
    for d in dimensions:
        vector = ndarrays_to_parameters(
            [np.random.default_rng(0).normal(0, 0.01, d).astype(np.float32)]
        )
        inputs = {key: list(value) for key, value in inbox.items()}
        collect_s, masked = timed(
            lambda inputs=inputs, vector=vector: client._collect_masked_vectors(
                state, inputs, 100, vector
            ),
            time.process_time,
        )
        mask_s = (
            timed(
                lambda d=d: [
                    pseudo_rand_gen(os.urandom(32), MODULUS, [(d,)]) for _ in range(SAMPLES)
                ]
            )[0]
            / SAMPLES
        )
        exchange_s = (
            timed(
                lambda: [
                    generate_shared_key(peers[2][0][0], bytes_to_public_key(state.pk1))
                    for _ in range(50)
                ]
            )[0]
            / 50
        )
        figures["client_s"][d] = setup_s + share_s + collect_s
        figures["vector_bytes"][d] = sum(map(len, masked[Key.MASKED_PARAMETERS]))
        figures["unmask_s"][d] = (
            alive * combine_s["seed"]
            + dropped * combine_s["key"]
            + (alive + dropped * alive) * mask_s
            + dropped * alive * exchange_s
        )
    return figures


if __name__ == "__main__":
    print(
        json.dumps(main(int(sys.argv[1]), int(sys.argv[2]), [int(word) for word in sys.argv[3:]]))
    )
