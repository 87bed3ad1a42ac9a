"""HeapTrimmer goes back once most connections have gone, and only then."""

import gc

from server_stub.api.heap_trimmer import MANY, HeapTrimmer


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
        assert not trimmer.note(MANY * 4)
        assert not trimmer.note(MANY * 3)
        assert FREED == []
        assert trimmer.note(MANY)
        assert FREED == [1]
    finally:
        gc.enable()


def test_a_few_connections_that_come_and_go_cause_nothing():
    trimmer = HeapTrimmer()
    assert not any(trimmer.note(count) for count in [MANY - 1, 0] * 10)


def test_it_gives_back_again_while_the_rest_goes():
    trimmer = HeapTrimmer()
    counts = [MANY * 8, MANY * 4, MANY * 3, MANY * 2, MANY, 0]
    assert [trimmer.note(count) for count in counts] == [False, True, False, True, True, True]
