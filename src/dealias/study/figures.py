"""The figures of a test that a study compares, by task, and how to read them from result.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dealias.metrics.functional import ARROWS, MEAN_FIGURES
from dealias.study.statistics import Figures

CLEAN = "clean"


@dataclass(frozen=True)
class Figure:
    """A figure of a test.

    Attributes:
        name: name in tables.
        place: keys that lead to it in result.json.
        arrow: direction in which it improves.
    """

    name: str
    place: tuple[str, ...]
    arrow: str = "↑"


TARGET_BANDS, PREDS_BANDS = "agreement, target bands", "agreement, predicted bands"
_METRICS = dict(zip(MEAN_FIGURES, ARROWS.values(), strict=True))
_AGREEMENT = (
    Figure("agreement", ("shifts", "agreement")),
    Figure(TARGET_BANDS, ("shifts", "agreement_target_band")),
    Figure(PREDS_BANDS, ("shifts", "agreement_preds_band")),
)
FIGURES: Mapping[str, Sequence[Figure]] = {
    "segmentation": (
        *(Figure(name, ("metrics", name), arrow) for name, arrow in _METRICS.items()),
        *_AGREEMENT,
    ),
    "instance": tuple(
        Figure(f"{kind} {score}", ("metrics", kind, score))
        for kind, scores in {
            "mask": ("AP", "AP50", "AP75"),
            "box": ("AP", "AP50"),
            "boundary": ("AP",),
        }.items()
        for score in scores
    ),
}
# The figure on the vertical axis, and those for the horizontal one: the first that was measured.
DRAWN: Mapping[str, tuple[str, Sequence[str]]] = {
    "segmentation": ("mIoU", (TARGET_BANDS, "BIoU")),
    "instance": ("mask AP", ("boundary AP",)),
}


def read_figures(task: str, result: Mapping[str, Any]) -> Figures:
    """The figures of a result.json, as fractions, or None where undefined.

    Figures of shifts are left out if no shifts were tested.

    Raises:
        KeyError: another figure is missing.
    """
    found: dict[str, float | None] = {}
    for figure in FIGURES[task]:
        value: Any = result
        if figure in _AGREEMENT and result.get("shifts") is None:
            continue
        for key in figure.place:
            value = value[key]
        found[figure.name] = value
    return found


@dataclass(frozen=True)
class Test:
    """A test of each run.

    Attributes:
        name: name of its folder.
        title: title of its table.
        shifts: number of shifts of each image; or None.
        largest: largest shift along an axis, in pixels.
        noise: standard deviation of the noise on images, on a scale of 0 to 255.
        changes: options in which it differs from the test of the base, as arguments.
        options: those changes that matter, by full name, independent of where files are.
        tested_on: digest of its images and targets; None for procedural data.
    """

    name: str
    title: str
    shifts: int | None = None
    largest: int = 32
    noise: float = 0.0
    changes: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    tested_on: str | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """The settings stored with its figures: figures of other settings are not compared."""
        shifted = self.shifts is not None
        largest = {"largest_shift": self.largest} if shifted else {}
        options = {"options": dict(self.options)} if self.changes else {}
        return {"shifts": self.shifts, **largest, "noise": self.noise, **options}

    @property
    def arguments(self) -> list[str]:
        """Arguments of ``dealias test``."""
        arguments = []
        if self.shifts is not None:
            arguments = ["--shifts", str(self.shifts), "--largest_shift", str(self.largest)]
        noise = ["--noise", _number(self.noise)] if self.noise else []
        return [*arguments, *noise, *self.changes]


def choose_tests(
    shifts: int | None, largest: int, noise: Sequence[float], told: str = ""
) -> list[Test]:
    """The test of the base, with shifts of up to `largest` pixels, and one test under each noise.

    Args:
        shifts: number of shifts of each image, or None.
        largest: the largest shift, in pixels along an axis.
        noise: standard deviations of the noise, of 255.
        told: how the base changes its images, such as "in the dark"; empty if it does not.
    """
    first, more = (f"Images {told}", f", {told}") if told else ("Clean images", "")
    noisy = [
        Test(f"noise_{text}", f"Under noise of sigma {text} of 255{more}", noise=float(text))
        for text in map(_number, noise)
    ]
    return [Test(CLEAN, first, shifts, largest), *noisy]


def _number(value: float) -> str:
    """A number with all of its digits, so that distinct numbers give distinct text.

    >>> _number(20), _number(20.00001)
    ('20', '20.00001')
    """
    return repr(float(value)).removesuffix(".0")
