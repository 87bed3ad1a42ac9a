"""Bounds against abuse, each far above honest use and far below what would hurt."""

MAX_HEADER_BYTES = 64 * 1024
"""Of an envelope. A round configuration takes about 1 KiB."""
MAX_BODY_BYTES = 16 * 1024 * 1024
"""Of a message. One million parameters packed at 32 bits take 4 MB."""
MAX_OFFER_BYTES = 8 * 1024 * 1024
"""Of an offer with its revocation list. A revoked certificate that has not expired takes 53 bytes,
so there may be about 150,000 of them."""
MAX_MODEL_BYTES = 16 * 1024 * 1024
MAX_BASE_BYTES = 4 * 1024 * 1024
"""Of a base: a network and 1,000 trees of 32 leaves take less than 1 MiB."""
MAX_HEAD = 5000
"""Trainable weights of a head on a base."""
MAX_DIMENSION = 1 << 20
"""Parameters in a model."""
MAX_GROUP = 1024
"""Devices in one secure-aggregation group."""
MIN_NOISE_UNITS = 3
"""The least local noise, as a standard deviation in grid units, with which a device takes part
(docs/PRIVACY.md)."""
MAX_NOISE_UNITS = 8192
"""The largest standard deviation that the discrete Gaussian sampler supports."""
