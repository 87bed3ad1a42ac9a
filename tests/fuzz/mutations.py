"""Changes to bytes that parsers tend to get wrong.

Hypothesis draws a script, a few bytes, and the changes are read from it: one draw instead of twenty
takes a fifth of the time, and the smallest script is still the smallest change.
"""

import itertools
import struct

from hypothesis import strategies as st

EDGES = (0, 1, 2, 4, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
WIDTHS = (1, 2, 4, 8)
STEP = struct.Struct("<BBHHH")
"""Of a script: which change, how near the beginning, where, how much, and where else."""
MOST_CHANGES = 5
NEAR = 600


def mutated(seeds):
    """A strategy: one of `seeds` with a few changes."""
    return st.builds(
        lambda seed, script: apply(seed, script, seeds),
        st.sampled_from(seeds),
        st.binary(max_size=MOST_CHANGES * STEP.size),
    )


def apply(seed, script, seeds):
    content = bytearray(seed)
    whole = len(script) // STEP.size * STEP.size
    for change, near, at, much, other in STEP.iter_unpack(script[:whole]):
        most = min(len(content), NEAR) if near % 2 else len(content)
        CHANGES[change % len(CHANGES)](content, at % (most + 1), much, other, seeds)
    return bytes(content)


def flip(content, at, much, *_):
    if at < len(content):
        content[at] ^= 1 << much % 8


def edge(content, at, much, other, _):
    """A number at the edge of a width, in either order of bytes."""
    width = WIDTHS[much % 4]
    number = EDGES[other % len(EDGES)] % 2 ** (8 * width)
    content[at : at + width] = number.to_bytes(width, "little" if much & 4 else "big")


def step(content, at, much, *_):
    """A 32-bit number that is a little more or less than it was."""
    if at + 4 <= len(content):
        (number,) = struct.unpack_from("<I", content, at)
        struct.pack_into("<I", content, at, (number + much % 9 - 4) % 2**32)


def cut(content, at, *_):
    del content[at:]


def drop(content, at, much, *_):
    del content[at : at + 1 + much % 64]


def repeat(content, at, much, *_):
    content[at:at] = content[at : at + 1 + much % 64]


def insert(content, at, much, other, _):
    content[at:at] = STEP.pack(0, 0, much, other, at % 0xFFFF)[: much % 9]


def splice(content, at, much, other, seeds):
    """The beginning of one input and the end of another."""
    donor = seeds[other % len(seeds)]
    content[at:] = donor[much % (len(donor) + 1) :]


CHANGES = (flip, edge, edge, step, cut, drop, repeat, insert, splice)


def choices(script):
    """Read numbers from a script, without an end: each is 32 bits, and every third is an edge."""
    numbers = itertools.cycle(struct.unpack(f"<{len(script) // 4}I", script))
    for position, number in enumerate(numbers):
        yield number if position % 3 else EDGES[number % len(EDGES)]
