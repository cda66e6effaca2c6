"""How a network's output depends on where an image falls on the sampling grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from dealias.metrics.functional import (
    Offset,
    compare_shift,
    count_shifts,
    draw_offsets,
    shift_agreement,
    shifted_windows,
)
from dealias.probe.inputs import read_image
from dealias.probe.maps import watch_maps
from dealias.probe.networks import Network
from dealias.processes import Progress, open_progress
from dealias.surgery import Plan, Site
from dealias.text import printable

BORDER = 16  # pixels at the sides of windows, where padding decides
_MULTIPLE = 32  # most networks halve their maps five times


@dataclass(frozen=True)
class ShiftMap:
    """How often the label of each pixel changed.

    Attributes:
        preds: labels of the window that the others were compared with, int64 [H, W].
        changed: in how many shifts each pixel had another label, int64 [H, W].
        compared: in how many shifts it was compared, int64 [H, W].
        place: top and left of the window in the image, in pixels.
    """

    preds: Tensor
    changed: Tensor
    compared: Tensor
    place: tuple[int, int] = (0, 0)

    @property
    def unstable(self) -> Tensor:
        """Share of shifts in which each pixel changed, float32 [H, W]; NaN where none compared."""
        return self.changed / self.compared


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
    """Compare what a network says of an image and of the same scene a few pixels further.

    It takes one forward pass for each offset, and one for the window that they are compared with.

    Args:
        predict: gives the labels, integers [H, W], of an image [C, H, W] of any size; or a single
            one, [1, 1], for the whole image.
        image: float [C, H, W].
        offsets: (dy, dx) of each, in pixels.
        circular: roll the image, so that every pixel has its counterpart: for a network with
            circular padding, the exact test of equivariance. Otherwise windows are cut out of it.
        largest: see :func:`dealias.metrics.functional.shifted_windows`; not used if circular.
        border: pixels at the sides of the windows that are not compared; not used if circular.
        multiple: see :func:`dealias.metrics.functional.shifted_windows`.

    Raises:
        ValueError: the image is too small for the offsets, or `predict` gives maps of another size.
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
    for view, offset in zip(views[1:], offsets, strict=True):
        shifted = predict(view)
        step = (0, 0) if whole else offset
        different, seen = compare_shift(
            preds, shifted, step, circular=circular, border=0 if whole else border
        )
        changed += different
        compared += seen
    return ShiftMap(preds, changed, compared, place)


@dataclass
class ShiftResult:
    """The agreement of a network over images.

    Attributes:
        counts: int64 [3, 2, C], see :func:`dealias.metrics.functional.count_shifts`.
        images: number of images.
        shifts: number of offsets of each image.
        settings: offsets or their largest, seed, border and whether the shifts were circular.
        equivariance: for each site of the network, the mean equivariance error; see
            :func:`measure_shifts`.
    """

    counts: Tensor
    images: int
    shifts: int
    settings: Mapping[str, Any]
    equivariance: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The entry of the JSON file; None for what was not compared."""
        found = shift_agreement(self.counts)
        scalars = {name: _plain(value) for name, value in found.items() if value.ndim == 0}
        vectors = {name: value for name, value in found.items() if value.ndim == 1}
        classes = [
            {"class": index, "compared": int(self.counts[0, 0, index])}
            | {name.removesuffix("_per_class"): _plain(v[index]) for name, v in vectors.items()}
            for index in range(self.counts.shape[2])
            if self.counts[:, 0, index].any()
        ]
        settings = {"images": self.images, "shifts": self.shifts} | dict(self.settings)
        return settings | scalars | {"classes": classes, "equivariance_error": self.equivariance}


@torch.no_grad()
def measure_shifts(
    network: Network,
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
    progress: Progress | None = None,
) -> ShiftResult:
    """Measure shift agreement on images, without targets, and where in the network it is lost.

    At each site, the equivariance error is how far the map that enters is from moving with the
    image: the power of the difference between the map of a rolled image and the map of the image
    moved by the same distance in the frequency domain, over the mean power of both. The mean of
    each channel does not count. It is 0 for a map that moves with the image, and 1 for maps that
    have nothing to do with each other.

    Args:
        network: from :func:`load_network`; its output must be one that :func:`class_scores` takes.
        paths: image files.
        plan: sites of the network.
        shifts: number of offsets for each image.
        largest: largest offset in pixels along an axis.
        seed: of the offsets.
        offsets: the same offsets for each image, in place of drawn ones.
        circular: see :func:`map_shifts`.
        border: see :func:`map_shifts`.
        noise: standard deviation of Gaussian noise on the images, of 255.
        progress: called with the number of images; returns a context manager of a function to call
            after each image.

    Raises:
        ValueError: an image is too small or can't be read, or the network's output is no scores.
    """
    counts: Tensor | None = None
    errors: dict[str, list[float]] = {}
    with open_progress(progress, len(paths)) as advance:
        for index, path in enumerate(paths):
            image = read_image(path, noise=noise, seed=index)
            drawn = offsets or draw_offsets(shifts, largest=largest, seed=seed, name=path.name)
            try:
                options = {"circular": circular, "border": border}
                options["largest"] = largest if offsets is None else 0
                classes, found = _shifts_of(network, image, drawn, **options)
            except ValueError as error:
                raise ValueError(f"{printable(path)}: {error}") from error
            table = count_shifts(
                found.preds, found.changed, found.compared, num_classes=classes, ignore_index=-1
            )
            counts = table if counts is None else counts + table
            for name, distance in _equivariance(network, plan, image, drawn[0]).items():
                errors.setdefault(name, []).append(distance)
            advance()
    if counts is None:
        raise ValueError("paths: expected at least one image")
    settings: dict[str, Any] = {"circular": circular, "border": None if circular else border}
    if offsets is None:
        settings |= {"largest": largest, "seed": seed}
    else:
        settings |= {"offsets": [list(offset) for offset in offsets]}
    means = {name: sum(values) / len(values) for name, values in errors.items()}
    return ShiftResult(counts, len(paths), len(drawn), settings, means)


def _shifts_of(
    network: Network, image: Tensor, offsets: Sequence[Offset], **options: Any
) -> tuple[int, ShiftMap]:
    classes = 0

    def predict(view: Tensor) -> Tensor:
        nonlocal classes
        scores = class_scores(network.model(network.arguments(view)), view.shape[-2:])
        classes = scores.shape[0]
        return scores.argmax(0)

    found = map_shifts(predict, image, offsets, multiple=_MULTIPLE, **options)
    return classes, found


def class_scores(output: Any, size: Sequence[int]) -> Tensor:
    """The class scores [C, H, W] in the output of a network for one image of that size.

    Args:
        output: a tensor [1, C, h, w], or [1, C] for the whole image; or a mapping or an object that
            has one as "out" or "logits".
        size: height and width of the image.

    Returns:
        Scores enlarged to the size of the image if need be, or [C, 1, 1] for the whole image.

    Raises:
        ValueError: the output has no such scores, or they are not finite.
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


def _equivariance(
    network: Network, plan: Plan[Site], image: Tensor, offset: Offset
) -> dict[str, float]:
    """The equivariance error of the map that enters each site, for one circular shift."""
    before, after = (
        _maps(network, plan, torch.roll(image, step, (-2, -1)))
        for step in ((0, 0), (-offset[0], -offset[1]))
    )
    errors = {}
    for name, x in before.items():
        y = after.get(name)
        if y is None or y.shape != x.shape:
            continue
        sides = zip(offset, x.shape[-2:], image.shape[-2:], strict=True)
        moved = translate(x, [-step * cells / pixels for step, cells, pixels in sides])
        moved, y = (m - m.mean((-2, -1), keepdim=True) for m in (moved, y))
        power = (moved.square().sum() + y.square().sum()) / 2
        errors[name] = float((moved - y).square().sum() / (2 * power)) if power > 0 else 0.0
    return errors


def translate(x: Tensor, distance: Sequence[float]) -> Tensor:
    """Move maps [..., H, W] circularly by any distance, along their Fourier series.

    Args:
        x: real maps.
        distance: (down, right) in pixels of the map.

    Returns:
        Maps of the same shape. For whole pixels it is :func:`torch.roll`.

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


def _maps(network: Network, plan: Plan[Site], image: Tensor) -> dict[str, Tensor]:
    maps: dict[str, Tensor] = {}
    with watch_maps(network.model, plan, lambda name, x: maps.update({name: x.detach().float()})):
        network.model(network.arguments(image))
    return maps


def _plain(value: Tensor) -> float | None:
    return None if value.isnan() else float(value)
