"""Proves what secret an X25519 exchange gave, and nothing else.

A device that accuses a dealer gives away the one secret that it shares with this dealer. The proof
shows that it is the secret, while the device's private key, and with it what others sent to the
device, stays secret.

With the private key a, A = a·G and the peer's key D, the proof shows that the same a leads from G
to A and from D to the secret's point Z (Chaum and Pedersen 1992, made non-interactive with a hash
over everything that is public). It works on edwards25519, the curve that X25519 is computed on
(RFC 7748 §4.1), in the subgroup of prime order:

1. Private keys are multiples of 8 (RFC 7748 §5), so a point of small order added to a key changes
   no secret. The proof therefore uses 8·G, 8·D and a/8.
2. Z itself must be in the subgroup, because the secret is read from it: a point of small order in
   it would give another secret.
3. A public key names a point up to its sign. Both sides take the point with an even x. The secret
   is the same for both signs.

Used once in a round that this device leaves, so it need not take the same time for every key.
"""

from collections.abc import Callable
from hashlib import sha512

PROOF_BYTES = 96
"""The point Z, the challenge and the response."""
_LABEL = b"secagg/exchange-proof\0"
_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_ROOT_OF_MINUS_ONE = pow(2, (_P - 1) // 4, _P)
_NONCE_BYTES = 64
_BASE_U = 9
_SMALL_ORDER = frozenset(
    {
        0,
        1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    }
)
"""The u of the curve's points of order 2, 4 and 8."""

Point = tuple[int, int, int, int]
"""Extended coordinates X, Y, Z, T: x = X/Z, y = Y/Z, x·y = T/Z."""
_NEUTRAL: Point = (0, 1, 1, 0)


def is_canonical(public: bytes) -> bool:
    """Whether a key is in its only form (RFC 7748 §5) and not of small order, on the curve or on
    its twist. A fast check; `is_usable` is the whole one.
    """
    u = _number(public)
    return len(public) == 32 and u < _P - 1 and u not in _SMALL_ORDER


def is_usable(public: bytes) -> bool:
    """Whether a key is in its only form, on the curve, and gives secrets that depend on it."""
    if not is_canonical(public):
        return False
    u = _number(public)
    # Euler's criterion for v² = u³ + 486662·u² + u.
    return pow(u * (u * u + 486662 * u + 1), (_P - 1) // 2, _P) == 1


def prove(private: bytes, peer: bytes, context: bytes, entropy: Callable[[int], bytes]) -> bytes:
    """Make the proof for the exchange of the key `private` with the public key `peer`.

    `context` binds it to one use. Raises ValueError for a peer's key that is not usable.
    """
    if not is_usable(peer):
        raise ValueError("expected a usable key")
    scalar = _clamped(private)
    exponent = scalar * pow(8, -1, _ORDER) % _ORDER
    own = _multiply(scalar, _lift(_BASE_U))
    x, y = _affine(own)
    if x & 1:  # the point that a reader takes is the other one of the pair
        exponent = _ORDER - exponent
    base, theirs = _times_eight(_lift(_BASE_U)), _times_eight(_lift(_number(peer)))
    secret = _compressed(_multiply(exponent, theirs))
    nonce = int.from_bytes(entropy(_NONCE_BYTES), "little") % _ORDER
    challenge = _challenge(
        _bytes(_u_of(y)), peer, secret, _multiply(nonce, base), _multiply(nonce, theirs), context
    )
    response = (nonce + challenge * exponent) % _ORDER
    return secret + _bytes(challenge) + _bytes(response)


def proven_secret(public: bytes, peer: bytes, proof: bytes, context: bytes) -> bytes:
    """Return the secret that the keys `public` and `peer` share, as the owner of `public` proved.

    Raises ValueError when it is not proven.
    """
    if len(proof) != PROOF_BYTES or not (is_usable(public) and is_usable(peer)):
        raise ValueError("expected a proof and two usable keys")
    secret = _decompressed(proof[:32])
    challenge, response = _number(proof[32:64]), _number(proof[64:])
    if challenge >= _ORDER or response >= _ORDER:
        raise ValueError("expected numbers below the order of the group")
    if _is_neutral(secret) or not _is_neutral(_multiply(_ORDER, secret)):
        raise ValueError("expected a point of the subgroup")
    base, theirs = _times_eight(_lift(_BASE_U)), _times_eight(_lift(_number(peer)))
    back = _ORDER - challenge
    one = _add(_multiply(response, base), _multiply(back, _lift(_number(public))))
    other = _add(_multiply(response, theirs), _multiply(back, secret))
    if _challenge(public, peer, proof[:32], one, other, context) != challenge:
        raise ValueError("the proof does not hold")
    return _bytes(_u_of(_affine(secret)[1]))


def _challenge(
    public: bytes, peer: bytes, secret: bytes, one: Point, other: Point, context: bytes
) -> int:
    parts = (public, peer, secret, _compressed(one), _compressed(other), context)
    return int.from_bytes(sha512(_LABEL + b"".join(parts)).digest(), "little") % _ORDER


def _clamped(private: bytes) -> int:
    """The scalar that X25519 makes of 32 bytes (RFC 7748 §5)."""
    return _number(private) & ~7 & ((1 << 254) - 1) | 1 << 254


def _lift(u: int) -> Point:
    """Return the point with an even x that has this u on Curve25519 (RFC 7748 §4.1).

    Raises ValueError where there is none.
    """
    if (u + 1) % _P == 0:
        raise ValueError("expected a point of the curve")
    return _with_even_x((u - 1) * pow(u + 1, -1, _P) % _P)


def _with_even_x(y: int) -> Point:
    """Raises ValueError where the curve has no point with this y (RFC 8032 §5.1.3)."""
    top, bottom = (y * y - 1) % _P, (_D * y * y + 1) % _P
    x = top * pow(bottom, 3, _P) * pow(top * pow(bottom, 7, _P), (_P - 5) // 8, _P) % _P
    if (bottom * x * x - top) % _P:
        x = x * _ROOT_OF_MINUS_ONE % _P
    if (bottom * x * x - top) % _P:
        raise ValueError("expected a point of the curve")
    if x & 1:
        x = _P - x
    return x, y, 1, x * y % _P


def _add(one: Point, other: Point) -> Point:
    """Add two points (RFC 8032 §5.1.4; complete, so doubling is no special case)."""
    a = (one[1] - one[0]) * (other[1] - other[0]) % _P
    b = (one[1] + one[0]) * (other[1] + other[0]) % _P
    c = 2 * one[3] * other[3] * _D % _P
    d = 2 * one[2] * other[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _multiply(scalar: int, point: Point) -> Point:
    result = _NEUTRAL
    for bit in bin(scalar)[2:]:
        result = _add(result, result)
        if bit == "1":
            result = _add(result, point)
    return result


def _times_eight(point: Point) -> Point:
    for _ in range(3):
        point = _add(point, point)
    return point


def _is_neutral(point: Point) -> bool:
    return point[0] % _P == 0 and (point[1] - point[2]) % _P == 0


def _affine(point: Point) -> tuple[int, int]:
    inverse = pow(point[2], -1, _P)
    return point[0] * inverse % _P, point[1] * inverse % _P


def _u_of(y: int) -> int:
    """The u of a point that is not the neutral one."""
    return (1 + y) * pow(1 - y, -1, _P) % _P


def _compressed(point: Point) -> bytes:
    """A point in 32 bytes: its y, and whether its x is odd (RFC 8032 §5.1.2)."""
    x, y = _affine(point)
    return _bytes(y | (x & 1) << 255)


def _decompressed(content: bytes) -> Point:
    """Raises ValueError unless `content` is what `_compressed` makes of a point."""
    number = _number(content)
    y, is_odd = number & (1 << 255) - 1, number >> 255
    if y >= _P:
        raise ValueError("expected a number of the field")
    x, y, _, _ = _with_even_x(y)
    if is_odd:
        if not x:
            raise ValueError("expected a point of the curve")
        x = _P - x
    return x, y, 1, x * y % _P


def _number(content: bytes) -> int:
    return int.from_bytes(content, "little")


def _bytes(number: int) -> bytes:
    return number.to_bytes(32, "little")
