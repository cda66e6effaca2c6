"""Images of an evaluation with their labels and scores, read from files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dealias.evaluation import digest_file
from dealias.images import ImageError, open_image, read_photograph
from dealias.labels import ClassSet, LabelFileError, Pair, PairingError
from dealias.text import FileError, printable


@dataclass(frozen=True)
class Example:
    """One image.

    Attributes:
        name: unique among the images of a report.
        preds: predicted classes, integers [H, W].
        target: target classes or void, integers [H, W].
        image: the photograph, uint8 [H, W, 3] in RGB, or None.
        aliasing: the aliasing score of each pixel, floating-point [H, W] in [0, 1], NaN where there
            is none; or None.
        unstable: the share of shifts under which each pixel changes its class, likewise; or None.
        problem: a message about what was left out, or None.

    Raises:
        ValueError: label maps or the photograph have a wrong dtype or shape, or their sizes differ.
    """

    name: str
    preds: NDArray[np.integer]
    target: NDArray[np.integer]
    image: NDArray[np.uint8] | None = None
    aliasing: NDArray[np.floating] | None = None
    problem: str | None = None
    unstable: NDArray[np.floating] | None = None

    def __post_init__(self) -> None:
        for argument in ("preds", "target", "image"):
            problem = self._problem(argument, getattr(self, argument))
            if problem:
                raise ValueError(f"{printable(self.name)}: {argument}: {problem}")

    def _problem(self, argument: str, value: Any) -> str | None:
        if not isinstance(value, np.ndarray):
            optional = argument == "image" and value is None
            return None if optional else f"expected an array, got {type(value).__name__}"
        got = f"got {value.dtype} {list(value.shape)}"
        if argument == "image":
            shape = (*self.target.shape, 3)
            right = value.dtype == np.uint8 and value.shape == shape
            return None if right else f"expected uint8 {list(shape)}, {got}"
        if value.dtype.kind not in "iu" or value.ndim != 2:
            return f"expected integers [H, W], {got}"
        if argument == "target" and value.shape != self.preds.shape:
            return f"expected the size of preds, {list(self.preds.shape)}, {got}"
        return None


@dataclass(frozen=True)
class Examples:
    """Images of an evaluation, which can be read from files in any order and process.

    Attributes:
        classes: the class set.
        read: function that reads the prediction and the target of a pair.
        pairs: label files by name of the image.
        images: photographs by name of the image, as far as there are any.
        digests: digests of the files that were counted, prediction and target, by name of the
            image; images without digests are not checked.
        skip_bad: whether to leave out a photograph that can't be read, and say so in `problem`.
        unstable: pictures of instability by name of the image, as pages store them.
    """

    classes: ClassSet
    read: Callable[[Pair], tuple[NDArray[np.integer], NDArray[np.integer]]]
    pairs: Mapping[str, Pair]
    images: Mapping[str, Path]
    digests: Mapping[str, Sequence[str]] = field(default_factory=dict)
    skip_bad: bool = False
    unstable: Mapping[str, Path] = field(default_factory=dict)

    @property
    def names(self) -> Sequence[str]:
        """The names of the images."""
        return list(self.pairs)

    def load(self, name: str) -> Example:
        """Read an image.

        Raises:
            LabelFileError, ImageError: a file can't be used, or has changed since it was counted.
            PairingError: the image does not exist, or no longer exists.
        """
        if name not in self.pairs:
            raise PairingError(f"no prediction and target named {printable(name)!r} any more")
        pair = self.pairs[name]
        preds, target = self.read(pair)
        files = (pair.prediction, pair.target)
        for path, counted in zip(files, self.digests.get(name, ()), strict=False):
            if counted and digest_file(path) != counted:
                raise LabelFileError(path, "it is no longer the file that was counted")
        image = self.images.get(name)
        example = read_example(name, preds, target, image, skip_bad=self.skip_bad)
        if name not in self.unstable:
            return example
        return replace(example, unstable=_read_unstable(self.unstable[name], target))


def _read_unstable(path: Path, target: NDArray[np.integer]) -> NDArray[np.float32]:
    with open_image(path) as (picture, _):
        levels = np.asarray(picture)
    if levels.dtype != np.uint8 or levels.shape != target.shape:
        raise ImageError(path, "expected 8-bit gray of the size of its label maps")
    shares: NDArray[np.float32] = np.square(levels.astype(np.float32) / np.float32(254))
    shares[levels == 255] = np.nan
    return shares


def read_example(
    name: str,
    preds: NDArray[np.integer],
    target: NDArray[np.integer],
    image: Path | None,
    scores: Path | None = None,
    *,
    skip_bad: bool,
) -> Example:
    """Read the photograph and the aliasing scores of an image, and add given labels.

    Args:
        name: name of the image.
        preds: predicted classes, integers [H, W].
        target: target classes or void, integers [H, W].
        image: the photograph, or None.
        scores: picture of the aliasing scores, as written by `dealias probe --maps`, or None.
        skip_bad: whether to leave out a photograph that can't be read, and say so in `problem`.

    Raises:
        ImageError: a file can't be used.
    """
    size = (target.shape[1], target.shape[0])
    photograph = problem = None
    if image is not None:
        try:
            photograph = read_photograph(image, size)
        except FileError as error:
            if not skip_bad:
                raise
            problem = str(error)
    aliasing = None if scores is None else read_scores(scores, size)
    return Example(name, preds, target, photograph, aliasing, problem)


def read_scores(path: Path, size: tuple[int, int]) -> NDArray[np.float32]:
    """Read a picture of aliasing scores, as written by `dealias probe --maps`.

    Args:
        path: the file.
        size: width and height to resize it to.

    Returns:
        float32 [H, W] in [0, 1], NaN where there is no score.

    Raises:
        ImageError: the file is not such a picture.
    """
    with open_image(path) as (picture, _):
        if not picture.mode.startswith("I"):
            raise ImageError(path, f"expected 16-bit gray, got mode {picture.mode}")
        resized = picture.resize(size, Image.Resampling.NEAREST)
        values: NDArray[np.float32] = np.asarray(resized, np.float32)
    scores: NDArray[np.float32] = values / np.float32(65534)
    scores[values == 65535] = np.nan
    return scores
