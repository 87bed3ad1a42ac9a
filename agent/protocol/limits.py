"""Constants that bound abuse. Each is far above honest use and far below what would hurt."""

MAX_HEADER_BYTES = 64 * 1024
"""An envelope's header: a round configuration is about 1 KiB."""
MAX_BODY_BYTES = 16 * 1024 * 1024
"""A body: one million parameters packed at 32 bits are 4 MB."""
MAX_OFFER_BYTES = 8 * 1024 * 1024
"""An offer with its revocation list: 53 bytes for each revoked certificate that has not expired, so
about 150,000 of them."""
MAX_MODEL_BYTES = 16 * 1024 * 1024
MAX_DIMENSION = 1 << 20
"""Parameters in a model."""
MAX_GROUP = 1024
"""Devices in one secure-aggregation group."""
MIN_NOISE_UNITS = 3
"""The least local noise (standard deviation in grid units) with which a device takes part
(docs/PRIVACY.md)."""
MAX_NOISE_UNITS = 8192
"""Where the discrete Gaussian sampler ends."""
