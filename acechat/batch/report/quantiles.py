"""Quantiles of durations, in memory that does not depend on their number. No I/O.

A duration is counted in a bucket that ends 4 % above its begin, as in DDSketch
(https://arxiv.org/abs/1908.10693): a quantile is wrong by 2 % at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, log

__all__ = ["bucket", "bucket_end", "quantiles"]

_GROWTH = 1.04
_LOG = log(_GROWTH)
_SHORTEST = 0.001
"""Seconds; durations are rounded to it."""


def bucket(seconds: float) -> int:
    """Return the number of the bucket of a duration."""
    return ceil(log(max(seconds, _SHORTEST)) / _LOG - 1e-9)


def bucket_end(number: float) -> float:
    """Return the largest duration of a bucket, in seconds."""
    return float(_GROWTH**number)


def quantiles(counts: Mapping[int, int], shares: tuple[float, ...]) -> list[float]:
    """Return the quantiles of the durations in *counts*, by bucket; nan without any.

    Args:
        counts: Number of durations in each bucket.
        shares: The quantiles, from 0 to 1, in ascending order.
    """
    total, below = sum(counts.values()), 0
    found: list[float] = []
    for number in sorted(counts):
        below += counts[number]
        while len(found) < len(shares) and below >= shares[len(found)] * total:
            found.append(2 * bucket_end(number) / (1 + _GROWTH))
    return found + [float("nan")] * (len(shares) - len(found))
