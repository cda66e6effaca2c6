"""Estimate by a bootstrap over images how much figures vary between samples of images.

Each resample draws images with replacement, as many as there are. The figures of a resample are
computed from its sums, like those of the data set, and their standard deviation estimates the
standard error of the figure. Source: Efron and Tibshirani, "An Introduction to the Bootstrap",
1993.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dealias.metrics.functional.margin_tables import MarginTable

LEVEL = 0.95
RESAMPLES = 2000
FEWEST_UNITS = 10  # with fewer, too little is known about how units vary
_BLOCK = 2**22  # weights in memory at a time


def standard_errors(
    tables: Sequence[MarginTable],
    statistic: Callable[..., Tensor],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Tensor:
    """Estimate standard errors by a bootstrap over units, with the same resamples for all tables.

    Args:
        tables: margins of the same units, of which there are at least two.
        statistic: is given the margins `[R, 3, 4, C]` of the resamples of each table, and returns
            figures `[R, ...]`, NaN where undefined.
        resamples: number of resamples R.
        seed: seed of the resamples.

    Returns:
        float64 `[...]`, the standard deviation of each figure over the resamples in which it is
        defined, times the square root of n / (n - 1) for n units. NaN if fewer than two resamples
        define it.

    Raises:
        ValueError: there are fewer than two units, or the tables have different numbers of units.
    """
    units = tables[0].units
    if units < 2 or any(table.units != units for table in tables):
        listed = ", ".join(str(table.units) for table in tables)
        raise ValueError(f"tables: expected the same units in all, at least 2, got {listed}")
    drawn = [
        statistic(*(table.resampled(weights) for table in tables))
        for weights in draw_weights(units, resamples, seed)
    ]
    return _deviation(torch.cat(drawn)) * math.sqrt(units / (units - 1))


def draw_weights(units: int, resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Draw units with replacement: how often each is drawn, `[units, R]` in blocks of R.

    >>> [block] = draw_weights(5, 3, seed=0)
    >>> block.sum(0).tolist()
    [5.0, 5.0, 5.0]
    """
    generator = np.random.default_rng(seed)
    block = max(1, _BLOCK // units)
    for start in range(0, resamples, block):
        number = min(block, resamples - start)
        cell = generator.integers(units, size=(number, units)) * number
        cell += np.arange(number)[:, None]
        found = np.bincount(cell.ravel(), minlength=units * number).reshape(units, number)
        yield found.astype(np.float64)


def share_interval(
    value: Tensor, error: Tensor, units: int, level: float = LEVEL
) -> tuple[Tensor, Tensor]:
    """Return the confidence interval of shares in (0, 1), by Student's t on the logit scale.

    The interval is symmetric on the logit scale, and stays inside (0, 1).

    Args:
        value: the shares.
        error: their standard errors.
        units: number of units; one less is the degrees of freedom.
        level: confidence level, in (0, 1).

    Returns:
        Lower and upper limits; NaN where the standard error is zero or not known.
    """
    spread = value * (1 - value)
    reach = t_quantile((1 + level) / 2, units - 1) * error / spread
    centre = torch.logit(value)
    known = (error > 0) & (spread > 0)
    limits = (torch.sigmoid(centre - reach), torch.sigmoid(centre + reach))
    low, high = (torch.where(known, limit, torch.nan) for limit in limits)
    return low, high


def difference_interval(
    value: Tensor, error: Tensor, units: int, level: float = LEVEL
) -> tuple[Tensor, Tensor]:
    """Return the confidence interval of differences, by Student's t; see :func:`share_interval`."""
    reach = t_quantile((1 + level) / 2, units - 1) * torch.where(error > 0, error, torch.nan)
    return value - reach, value + reach


def p_values(value: Tensor, error: Tensor, units: int) -> Tensor:
    """Return two-sided p-values of the hypothesis of no difference, by Student's t.

    p is below 1 - level where :func:`difference_interval` excludes 0, and NaN where the standard
    error is zero or not known.
    """
    statistic = value.abs() / torch.where(error > 0, error, torch.nan)
    freedom = units - 1
    normal = torch.sqrt(freedom * torch.log1p(statistic**2 / freedom)) / _widening(freedom)
    tail: Tensor = torch.special.ndtr(-normal)
    return 2 * tail


def t_quantile(share: float, freedom: int) -> float:
    """Return the quantile of Student's t for a share of at least 1/2.

    It is accurate to 0.2 % from 9 degrees of freedom on.

    Source: Wallace, "Bounds on Normal Approximations to Student's and the Chi-Square
    Distributions", Annals of Mathematical Statistics, 1959.

    >>> round(t_quantile(0.975, 30), 3)  # 2.042 in tables
    2.042
    """
    normal = float(torch.special.ndtri(torch.tensor(share, dtype=torch.float64)))
    return math.sqrt(freedom * math.expm1((normal * _widening(freedom)) ** 2 / freedom))


def _widening(freedom: int) -> float:
    return (8 * freedom + 3) / (8 * freedom + 1)


def _deviation(drawn: Tensor) -> Tensor:
    """Return the standard deviation over the first axis, ignoring NaN."""
    known = ~drawn.isnan()
    number = known.sum(0)
    centred = torch.where(known, drawn - drawn.nanmean(0), 0)
    variance = (centred**2).sum(0) / (number - 1)
    return torch.where(number > 1, variance.sqrt(), torch.nan)
