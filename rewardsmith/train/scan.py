"""Discounted sums over time in logarithmically many passes (Hillis and Steele, 1986), instead of one for each step."""

from __future__ import annotations

from torch import Tensor


def discounted_sums(x: Tensor, decay: Tensor) -> Tensor:
    """y (T, ...) with y[t] = x[t] + decay[t] * y[t + 1], and y[T - 1] = x[T - 1]."""
    y, decay = x.clone(), decay.clone()
    reach = 1  # y[t] holds the terms of the steps t to t + reach - 1, decay[t] the factor of the next one
    while reach < len(y):
        y[:-reach] += decay[:-reach] * y[reach:]
        decay[:-reach] = decay[:-reach] * decay[reach:]
        reach *= 2
    return y
