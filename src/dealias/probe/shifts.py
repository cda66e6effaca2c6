"""Measure how a network's output depends on where an image falls on the sampling grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from dealias.files import defined
from dealias.layers import collect_offsets
from dealias.metrics.functional import (
    Offset,
    compare_shift,
    count_shifts,
    draw_offsets,
    shift_agreement,
    shifted_windows,
)
from dealias.probe.inputs import MULTIPLE, read_image
from dealias.probe.maps import watch_maps
from dealias.probe.networks import LoadedNetwork
from dealias.processes import Progress, open_progress
from dealias.surgery import Plan, Site
from dealias.text import printable

BORDER = 16  # pixels at the sides of windows, where padding has an effect


@dataclass(frozen=True)
class ShiftMap:
    """How often the label of each pixel changed.

    Attributes:
        preds: labels of the reference window, int64 [H, W].
        changed: number of shifts in which each pixel had another label, int64 [H, W].
        compared: number of shifts in which each pixel was compared, int64 [H, W].
        place: top and left of the reference window in the image, in pixels.
        agreements: share of the compared pixels that kept their label, for each offset.
    """

    preds: Tensor
    changed: Tensor
    compared: Tensor
    place: tuple[int, int] = (0, 0)
    agreements: tuple[float, ...] = ()

    @property
    def unstable(self) -> Tensor:
        """Share of shifts in which each pixel changed, float32 [H, W]; NaN if never compared."""
        return self.changed / self.compared

    def crop(self, target: Tensor) -> Tensor:
        """Return the part of a label map [H, W] of the whole image that the window shows."""
        (top, left), (height, width) = self.place, self.preds.shape
        return target[top : top + height, left : left + width].contiguous()

    def count(self, target: Tensor | None = None, **options: Any) -> Tensor:
        """Count the changes by :func:`dealias.metrics.functional.count_shifts`.

        Args:
            target: label map [H, W] of the whole image; None counts without a target.
            options: further arguments of the function.
        """
        part = None if target is None else self.crop(target)
        return count_shifts(self.preds, self.changed, self.compared, target=part, **options)


def map_shifts(
    predict: Callable[[Tensor], Tensor],
    image: Tensor,
    offsets: Sequence[Offset],
    *,
    circular: bool = False,
    largest: int = 0,
    border: int = BORDER,
    multiple: int = 1,
) -> ShiftMap:
    """Compare the predictions for an image and for the same scene shifted by a few pixels.

    This takes one forward pass for each offset, and one for the reference window.

    Args:
        predict: returns the labels, integers [H, W], of an image [C, H, W] of any size; or a single
            label, [1, 1], for the whole image.
        image: float [C, H, W].
        offsets: (dy, dx) of each offset, in pixels.
        circular: whether to roll the image, so that every pixel has a counterpart. For a network
            with circular padding, this is the exact test of equivariance. Otherwise windows are cut
            out of the image.
        largest: see :func:`dealias.metrics.functional.shifted_windows`; ignored if circular.
        border: pixels at the sides of the windows that are not compared; ignored if circular.
        multiple: see :func:`dealias.metrics.functional.shifted_windows`.

    Raises:
        ValueError: the image is too small for the offsets, or `predict` returns maps of another
            size.
    """
    if circular:
        height, width = image.shape[-2:]
        place = (0, 0)
        views = [torch.roll(image, (-dy, -dx), (-2, -1)) for dy, dx in [(0, 0), *offsets]]
    else:
        windows = shifted_windows(
            image.shape[-2],
            image.shape[-1],
            offsets,
            largest=largest,
            border=border,
            multiple=multiple,
        )
        (height, width), place = windows.size, windows.reference
        views = [
            image[..., top : top + height, left : left + width]
            for top, left in (place, *windows.shifted)
        ]
    preds = predict(views[0])
    whole = preds.shape == (1, 1) != (height, width)
    if not whole and preds.shape != (height, width):
        raise ValueError(
            f"predict: expected labels of {height} x {width} pixels or of the whole image, "
            f"got {list(preds.shape)}"
        )
    changed, compared = (torch.zeros_like(preds, dtype=torch.int64) for _ in range(2))
    agreements = []
    for view, offset in zip(views[1:], offsets, strict=True):
        shifted = predict(view)
        step = (0, 0) if whole else offset
        different, seen = compare_shift(
            preds, shifted, step, circular=circular, border=0 if whole else border
        )
        changed += different
        compared += seen
        agreements.append(1 - int(different.sum()) / int(seen.sum()))
    return ShiftMap(preds, changed, compared, place, tuple(agreements))


@dataclass
class ShiftResult:
    """The agreement of a network over images.

    Attributes:
        counts: int64 [3, 2, C], see :func:`dealias.metrics.functional.count_shifts`.
        images: number of images.
        shifts: number of offsets per image.
        agreements: share of the compared pixels that kept their label, for each image and offset.
        settings: the offsets or the largest offset, the seed, the border, and whether the shifts
            were circular.
        names: names of the classes; None if they are not known.
        equivariance: mean equivariance error of each site of the network; see
            :func:`measure_shifts`.
    """

    counts: Tensor
    images: int
    shifts: int
    agreements: tuple[float, ...]
    settings: Mapping[str, Any]
    names: tuple[str, ...] | None = None
    equivariance: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The entry of the JSON file; None for what was not compared."""
        found = shift_agreement(self.counts)
        scalars = {name: defined(value) for name, value in found.items() if value.ndim == 0}
        vectors = {name: value for name, value in found.items() if value.ndim == 1}
        classes = [
            {"class": index}
            | ({} if self.names is None else {"name": self.names[index]})
            | {"compared": int(self.counts[0, 0, index])}
            | {name.removesuffix("_per_class"): defined(v[index]) for name, v in vectors.items()}
            for index in range(self.counts.shape[2])
            if self.counts[:, 0, index].any()
        ]
        settings = {"images": self.images, "shifts": self.shifts} | dict(self.settings)
        scalars["mASSC"] = sum(self.agreements) / len(self.agreements)
        return settings | scalars | {"classes": classes, "equivariance_error": self.equivariance}


@torch.no_grad()
def measure_shifts(
    network: LoadedNetwork,
    paths: Sequence[Path],
    plan: Plan[Site],
    *,
    shifts: int = 5,
    largest: int = 32,
    seed: int = 0,
    offsets: Sequence[Offset] | None = None,
    circular: bool = False,
    border: int = BORDER,
    noise: float = 0.0,
    classes: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> ShiftResult:
    """Measure shift agreement on images, without targets, and where in the network it is lost.

    The equivariance error of a site tells how far the map that enters is from moving with the
    image. It compares the map of the shifted window with the map of the reference, moved by the
    same distance in the frequency domain: the power of their difference, divided by the power of
    both. It is 0 for a map that moves with the image, and 1 for maps that have nothing in common.
    The mean of each channel and the sides of the map, where padding has an effect, are left out.
    The error is averaged over offsets and images. Offsets that are multiples of the stride give
    about 0.

    Args:
        network: from :func:`load_network`; its output must be accepted by :func:`output_scores`.
        paths: image files.
        plan: sites of the network.
        shifts: number of offsets for each image, drawn from `seed` and the name of its file
            without the suffix.
        largest: largest offset in pixels along an axis.
        seed: seed of the offsets.
        offsets: offsets to use for every image, instead of drawn ones.
        circular: see :func:`map_shifts`.
        border: see :func:`map_shifts`.
        noise: standard deviation of Gaussian noise added to the images, on a scale of 0 to 255; it
            moves with the scene.
        classes: names of all classes of the network; by default those that it comes with.
        progress: called with the number of images; returns a context manager that yields a function
            to call after each image.

    Raises:
        ValueError: an image is too small or can't be read, the network's output holds no scores, or
            the number of `classes` differs from that of the scores.
    """
    counts: Tensor | None = None
    agreements: list[float] = []
    errors: dict[str, list[float]] = {}
    options: dict[str, Any] = {"circular": circular, "border": border}
    options["largest"] = largest if offsets is None else 0
    drawn: Sequence[Offset] = []
    with open_progress(progress, len(paths)) as advance:
        for index, path in enumerate(paths):
            image = read_image(path, noise=noise, seed=index)
            if offsets is None:
                drawn = draw_offsets(shifts, largest=largest, seed=seed, name=path.stem)
            else:
                drawn = offsets
            observer = _Observer(network, plan, drawn, circular=circular, border=border)
            try:
                found = map_shifts(observer, image, drawn, multiple=MULTIPLE, **options)
            except ValueError as error:
                raise ValueError(f"{printable(path)}: {error}") from error
            if classes is not None and len(classes) != observer.classes:
                raise ValueError(
                    f"classes: expected {observer.classes} names, as many as the network scores, "
                    f"got {len(classes)}"
                )
            table = found.count(num_classes=observer.classes, ignore_index=-1)
            counts = table if counts is None else counts + table
            agreements += found.agreements
            for name, measured in observer.errors.items():
                errors.setdefault(name, []).extend(measured)
            advance()
    if counts is None:
        raise ValueError("paths: expected at least one image")
    settings: dict[str, Any] = {"circular": circular, "border": None if circular else border}
    if offsets is None:
        settings |= {"largest": largest, "seed": seed}
    else:
        settings |= {"offsets": [list(offset) for offset in offsets]}
    means = {name: sum(values) / len(values) for name, values in errors.items()}
    known = network.classes if classes is None else tuple(classes)
    names = known if known is not None and len(known) == counts.shape[2] else None
    return ShiftResult(counts, len(paths), len(drawn), tuple(agreements), settings, names, means)


class _Observer:
    """Labels views of an image, and compares the maps of each view with those of the first."""

    def __init__(
        self,
        network: LoadedNetwork,
        plan: Plan[Site],
        offsets: Sequence[Offset],
        *,
        circular: bool,
        border: int,
    ) -> None:
        self.network = network
        self.plan = plan
        self.circular = circular
        self.border = border
        self.classes = 0
        self.errors: dict[str, list[float]] = {}
        self._first: dict[str, tuple[Tensor, Tensor]] = {}
        self._offsets = iter([(0, 0), *offsets])

    def __call__(self, view: Tensor) -> Tensor:
        maps: dict[str, tuple[Tensor, Tensor]] = {}  # with the positions of their samples
        with collect_offsets() as places:

            def keep(name: str, x: Tensor) -> None:
                maps[name] = x.detach().float(), places.at()[0].cpu()

            with watch_maps(self.network.model, self.plan, keep):
                output = self.network.model(self.network.arguments(view))
        offset = next(self._offsets)
        for name, (x, place) in self._first.items():
            y, own = maps.get(name, (None, place))
            if y is not None and y.shape == x.shape:
                rows, columns = (own - place).tolist()
                moved = offset[0] + rows, offset[1] + columns
                self._compare(name, x, y, moved, view.shape[-2:])
        self._first = self._first or maps
        scores = output_scores(output, view.shape[-2:])
        self.classes = scores.shape[0]
        return scores.argmax(0)

    def _compare(
        self, name: str, x: Tensor, y: Tensor, offset: Offset, size: Sequence[int]
    ) -> None:
        cells = [n / pixels for n, pixels in zip(x.shape[-2:], size, strict=True)]
        distance = [-step * cell for step, cell in zip(offset, cells, strict=True)]
        weights = torch.ones(x.shape[-2:], device=x.device)
        if not self.circular:
            sides = [abs(d) + self.border * cell for d, cell in zip(distance, cells, strict=True)]
            rows, columns = (
                _inner_window(n, side).to(x.device)
                for n, side in zip(x.shape[-2:], sides, strict=True)
            )
            weights = rows[:, None] * columns[None, :]
        total = weights.sum()
        if total <= 0:
            return  # the map has only a few cells
        moved, y = (
            m - (m * weights).sum((-2, -1), keepdim=True) / total
            for m in (translate(x, distance), y)
        )
        power = (weights * (moved.square() + y.square())).sum()
        if power > 0:
            error = float((weights * (moved - y).square()).sum() / power)
            self.errors.setdefault(name, []).append(error)


def _inner_window(cells: int, side: float) -> Tensor:
    """Return a window [cells] that is 0 within `side` cells of either end and 1 in the middle."""
    inside = cells - 2 * side
    place = torch.arange(cells) + 0.5 - side
    rising = torch.sin(torch.pi * place / max(inside, 1e-9)).square()
    return torch.where((place > 0) & (place < inside), rising, 0.0)


def output_scores(output: Any, size: Sequence[int]) -> Tensor:
    """Return the class scores [C, H, W] in the output of a network for one image of this size.

    Args:
        output: a tensor [1, C, h, w], or [1, C] for the whole image; or a mapping or an object that
            has one as "out" or "logits".
        size: height and width of the image.

    Returns:
        Scores, enlarged to the size of the image if necessary, or [C, 1, 1] for the whole image.

    Raises:
        ValueError: the output has no such scores, or NaN scores.
    """
    for key in ("out", "logits"):
        if isinstance(output, Mapping) and key in output:
            output = output[key]
        elif hasattr(output, key):
            output = getattr(output, key)
    is_scores = isinstance(output, Tensor) and output.is_floating_point()
    if not is_scores or output.ndim not in (2, 4) or output.shape[0] != 1 or output.shape[1] < 2:
        got = f"shape {list(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(
            f"the network's output: expected class scores of shape [1, C, h, w] or [1, C], with "
            f"two classes or more, got {got}"
        )
    if output.isnan().any():
        raise ValueError("the network's output: expected numbers, got NaN")
    scores: Tensor = output[:, :, None, None] if output.ndim == 2 else output
    if output.ndim == 4 and tuple(scores.shape[-2:]) != tuple(size):
        scores = interpolate(scores.float(), tuple(size), mode="bilinear", align_corners=False)
    return scores[0]


def translate(x: Tensor, distance: Sequence[float]) -> Tensor:
    """Shift maps [..., H, W] circularly by any distance, by means of their Fourier series.

    Args:
        x: real maps.
        distance: (down, right) in pixels of the map.

    Returns:
        Maps of the same shape. For whole pixels the result equals that of :func:`torch.roll`.

    >>> x = torch.tensor([[0.0, 1.0, 0.0, 0.0]])
    >>> translate(x, (0, 1)).round(decimals=4).abs().tolist()
    [[0.0, 0.0, 1.0, 0.0]]
    """
    height, width = x.shape[-2:]
    exact = {"device": x.device, "dtype": torch.float64}
    rows = torch.fft.fftfreq(height, **exact)[:, None] * distance[0]
    columns = torch.fft.fftfreq(width, **exact)[None, :] * distance[1]
    phase = torch.exp(-2j * torch.pi * (rows + columns))
    spectrum = torch.fft.fft2(x)
    moved: Tensor = torch.fft.ifft2(spectrum * phase.to(spectrum.dtype)).real
    return moved
