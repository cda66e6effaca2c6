"""What a study is asked to do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dealias.study.figures import Test, choose_tests
from dealias.text import shorten

_SHIFTS, _SIGMA = 5, 20.0  # by default


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is compared, and how.

    Attributes:
        config: configuration file of ``dealias fit``, or the name of one: the base.
        variants: file of variants; see :func:`dealias.study.read_variants`.
        seeds: two at least, each once; the runs of one seed are paired.
        output: folder of the runs, VARIANT/SEED.
        results: folder of study.json, table.md and figure.png; by default that of the runs.
        jobs: processes at a time; with more than one on a CPU, each has one thread.
        shifts: of each image in the clean test, 0 for none; by default 5 for label maps.
        largest_shift: in pixels along an axis; smaller ones suit small images.
        noise: standard deviations of noise on images, of 255: one more test for each; 20 by
            default, and no such test for an empty list.
        conditions: file of further tests; see :func:`dealias.study.conditions.read_conditions`.
        cost: whether to measure what the variants cost.
        baseline: name of the variant that the others are compared with; by default the first.
        overwrite: whether to train and test anew what was with other options.
        summarise: whether to sum up what is there, and train, test and measure nothing.
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
        """The tests of each run, but for those under further conditions.

        Args:
            task: of the network.
            told: how the images of the base are changed, such as "in the dark".

        Raises:
            ValueError: there are to be shifts, and the task has no label maps.
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
