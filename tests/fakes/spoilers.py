"""Devices that spoil rounds from within: enrolled like any other, with the protocol's own messages.

1. `OutOfRange`: its masked input holds a word that no honest sum has. The sum opens and is useless,
   and nothing shows whose word it was.
2. `FalseShares`: the shares that it deals match their commitments, but not the secret that it
   published. Every other device notices nothing; the server finds out once the shares are opened.
"""

import os
import threading
from contextlib import suppress
from unittest.mock import patch

import numpy as np

from agent.errors import AegisError
from agent.privacy.zcdp import sent_words
from agent.protocol import envelope, sharing
from agent.protocol.packing import pack
from tests.fakes.group_devices import GroupDevice

POLL_S = 0.1


class Liar(GroupDevice):
    """Takes part in every round that it is let into, in a thread of its own.

    A context manager. `is_honest` makes it behave.
    """

    def __init__(self, enrolled):
        super().__init__(enrolled)
        self.is_honest = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        self._thread.join()

    def _follow(self):
        done = 0
        while not self._stopping.wait(POLL_S):
            # An excluded one is refused. It asks again, as an agent does.
            with suppress(AegisError):
                offer = self.report_ready()
                if offer.round is not None and offer.round.round_id > done:
                    done = offer.round.round_id
                    self.take_part(offer)


class OutOfRange(Liar):
    def sealed(self, config):
        if self.is_honest:
            return super().sealed(config)
        words = np.zeros(sent_words(config), np.uint32)
        words[0] = 2 ** (config.bits - 1) - 1
        header = {
            "kind": "sealed-words",
            "task_id": config.task_id,
            "round_id": config.round_id,
            "config_digest": config.digest,
            "attempt": os.urandom(16).hex(),
            "d": config.d,
            "bits": config.bits,
        }
        return envelope.encode(header, pack(words, config.bits))


class FalseShares(Liar):
    def take_part(self, offer, silent_from=None):
        liar = threading.current_thread()

        def split(secret, *rest):
            is_lie = threading.current_thread() is liar and not self.is_honest
            return sharing.split(os.urandom(32) if is_lie else secret, *rest)

        # Every other device of the test runs in another thread and shares its secrets truly.
        with patch("agent.secagg.round_secrets.split", split):
            super().take_part(offer, silent_from)
