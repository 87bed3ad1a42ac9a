"""HeapTrimmer goes back once most connections have gone, and only then."""

import gc

from server_stub.api.heap_trimmer import MANY, TLS_END_S, HeapTrimmer


class Node:
    def __init__(self):
        self.itself = self
        self.freed = []

    def __del__(self):
        FREED.append(1)


FREED = []


def test_cyclic_garbage_is_freed_after_a_flood_and_not_before():
    trimmer = HeapTrimmer()
    gc.disable()
    try:
        FREED.clear()
        Node()
        assert not trimmer.note(MANY * 4, 0)
        assert not trimmer.note(MANY * 3, 0)
        assert FREED == []
        assert trimmer.note(MANY, 0)
        assert FREED == [1]
    finally:
        gc.enable()


def test_a_few_connections_that_come_and_go_cause_nothing():
    trimmer = HeapTrimmer()
    assert not any(trimmer.note(count, 0) for count in [MANY - 1, 0] * 10)


def test_it_gives_back_again_while_the_rest_goes():
    trimmer = HeapTrimmer()
    counts = [MANY * 8, MANY * 4, MANY * 3, MANY * 2, MANY, 0]
    assert [trimmer.note(count, 0) for count in counts] == [False, True, False, True, True, True]


def test_it_gives_back_once_more_what_tls_kept_until_then():
    trimmer = HeapTrimmer()
    assert not trimmer.note(MANY, 0)
    assert trimmer.note(0, 1)
    assert not trimmer.note(0, TLS_END_S)
    assert trimmer.note(0, 1 + TLS_END_S)
    assert not trimmer.note(0, 1 + 3 * TLS_END_S)
