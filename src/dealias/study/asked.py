"""The settings of a study."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dealias.study.figures import Test, choose_tests
from dealias.text import shorten

_SHIFTS, _SIGMA = 5, 20.0  # defaults


@dataclass(frozen=True, kw_only=True)
class Study:
    """The settings of a study: what is compared, and how.

    Attributes:
        config: configuration of ``dealias fit``, a file or a name: the base of all variants.
        variants: file of variants; see :func:`dealias.study.read_variants`.
        seeds: at least two distinct seeds; runs with the same seed are paired.
        output: folder of the runs, as VARIANT/SEED.
        results: folder of study.json, table.md and figure.png; by default that of the runs.
        jobs: number of processes at a time; with more than one on a CPU, each uses one thread.
        shifts: number of shifts of each image in the clean test, 0 for none; by default 5 for label
            maps.
        largest_shift: largest shift along an axis, in pixels; use a smaller one for small images.
        noise: standard deviations of Gaussian noise on images, on a scale of 0 to 255, with one
            further test for each; by default 20. An empty list means no such test.
        conditions: file of further tests; see :func:`dealias.study.conditions.read_conditions`.
        cost: whether to measure the cost of the variants.
        baseline: name of the variant that the others are compared with; by default the first.
        overwrite: whether to redo runs and tests that were made with other options.
        summarise: whether to summarise only what is finished, without training or testing.
        trust: whether classes that options name by class_path may run.

    Raises:
        ValueError: a value is out of range.
    """

    config: str
    variants: Path
    seeds: Sequence[int]
    output: Path
    results: Path | None = None
    jobs: int = 1
    shifts: int | None = None
    largest_shift: int = 32
    noise: Sequence[float] | None = None
    conditions: Path | None = None
    cost: bool = True
    baseline: str | None = None
    overwrite: bool = False
    summarise: bool = False
    trust: bool = False

    def __post_init__(self) -> None:
        if len(self.seeds) < 2 or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(
                "seeds: expected two at least, for a deviation, each once, got "
                f"{shorten(list(self.seeds))}"
            )
        if not all(0 <= seed < 2**32 for seed in self.seeds):
            raise ValueError(
                f"seeds: expected numbers from 0 to {2**32 - 1}, got {list(self.seeds)}"
            )
        for name in ("jobs", "largest_shift"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if self.shifts is not None and self.shifts < 0:
            raise ValueError(f"shifts: expected a number from 0 on, got {self.shifts}")
        if self.summarise and self.overwrite:
            raise ValueError("summarise: expected no overwrite with it, got both")
        noise = self.noise or ()
        if len(set(noise)) < len(noise) or not all(0 < sigma < math.inf for sigma in noise):
            raise ValueError(f"noise: expected numbers over 0, each once, got {list(noise)}")

    def tests(self, task: str, told: str = "") -> list[Test]:
        """The tests of each run, except those under further conditions.

        Args:
            task: of the network.
            told: how the images of the base are changed, such as "in the dark".

        Raises:
            ValueError: shifts are requested, but the output of the task is not a label map.
        """
        if task != "segmentation" and self.shifts:
            raise ValueError(
                f"shifts: expected 0 for the task {task}, whose output is no label map, got "
                f"{self.shifts}"
            )
        default = _SHIFTS if task == "segmentation" else 0
        shifts = default if self.shifts is None else self.shifts
        noise = [_SIGMA] if self.noise is None else self.noise
        return choose_tests(shifts or None, self.largest_shift, noise, told)
