"""Measure how often the class of a point changes from frame to frame of a video."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dealias.files import defined
from dealias.images import ImageError, read_photograph
from dealias.inputs import open_regular
from dealias.labels import IMAGE_SUFFIXES
from dealias.metrics.functional import count_shifts, shift_agreement
from dealias.probe.inputs import NO_IMAGES, crop
from dealias.probe.networks import LoadedNetwork
from dealias.probe.shifts import output_scores

Frame = NDArray[np.uint8]
Flow = Callable[[Frame, Frame], NDArray[np.float32]]

_CLOSE = 0.5  # pixels between a point and where the flow back leads


def read_frames(path: Path) -> Iterator[Frame]:
    """Return the frames of a video, uint8 [H, W, 3], RGB, cropped as by :func:`read_image`.

    The first one is read at once, so that a file that is no video is refused before other work.

    Args:
        path: a folder of images, in the order of the numbers in their names, or a video file that
            OpenCV reads. Subfolders are not read.

    Raises:
        ImageError: the folder has no images, a file can't be read, or the frames differ in size.
        ValueError: OpenCV is not installed.
    """
    frames = _frames(path)
    return chain([next(frames)], frames)


def _frames(path: Path) -> Iterator[Frame]:
    size = None
    frames = map(read_photograph, _images(path)) if path.is_dir() else _decoded(path)
    for frame in frames:
        if size is not None and frame.shape[:2] != size:
            raise ImageError(path, f"expected frames of one size, got {size} and {frame.shape[:2]}")
        size = frame.shape[:2]
        yield crop(path, frame)


def _images(folder: Path) -> list[Path]:
    found = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    ]
    if not found:
        raise ImageError(folder, NO_IMAGES)
    return sorted(found, key=lambda path: _in_order(path.stem))


def _in_order(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts "frame2" before "frame10"."""
    return [
        (int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)
    ]


def _decoded(path: Path) -> Iterator[Frame]:
    cv2 = _opencv()
    with open_regular(path):
        pass
    video = cv2.VideoCapture(str(path))
    try:
        count = 0
        while True:
            there, frame = video.read()
            if not there:
                break
            count += 1
            yield np.ascontiguousarray(frame[..., ::-1])
        if not count:
            raise ImageError(path, "expected a video, got no frames")
    finally:
        video.release()


def dense_flow(first: Frame, second: Frame) -> NDArray[np.float32]:
    """Find where each point of a frame is in the next, by OpenCV's dense inverse search.

    Returns:
        float32 [H, W, 2], the distance down and right in pixels.

    Raises:
        ValueError: OpenCV is not installed.

    Source: Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016.
    """
    cv2 = _opencv()
    gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (first, second)]
    method = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    found: NDArray[np.float32] = method.calc(*gray, None)[..., ::-1].copy()
    return found


def _opencv() -> Any:
    try:
        return importlib.import_module("cv2")
    except ImportError as error:
        raise ValueError("video: OpenCV is not installed: pip install 'dealias[video]'") from error


def compare_frames(
    preds: Tensor, following: Tensor, forward: NDArray[np.floating], back: NDArray[np.floating]
) -> tuple[Tensor, Tensor]:
    """Compare the labels of a frame with the labels of the same points in the next frame.

    A point is compared if it is inside the next frame and the flow back leads from there to within
    half a pixel of where it started. So points that are hidden or wrongly tracked are left out. In
    the next frame a point is between up to four pixels; its label has changed if none of them has
    the same label.

    Args:
        preds: labels of the frame, integers [H, W].
        following: labels of the next frame, integers [H, W].
        forward: [H, W, 2], displacement of each point to the next frame, in pixels down and right.
        back: [H, W, 2], displacement of each point of the next frame to this one.

    Returns:
        Bool [H, W]: where the label changed, and where it was compared.
    """
    height, width = preds.shape
    place = np.moveaxis(np.mgrid[:height, :width], 0, -1) + forward
    inside = ((place > -_CLOSE) & (place < np.array([height, width]) - _CLOSE)).all(-1)
    y, x = _pixels(np.rint(place), height, width)
    missed = np.abs(forward + back[y, x]).max(-1)  # uses the flow back at the nearest pixel
    compared = torch.from_numpy(inside & (missed <= _CLOSE))
    changed = compared.clone()
    for down, right in product((np.floor, np.ceil), repeat=2):
        y, x = _pixels(np.stack([down(place[..., 0]), right(place[..., 1])], -1), height, width)
        changed &= following[torch.from_numpy(y), torch.from_numpy(x)] != preds
    return changed, compared


def _pixels(place: NDArray[Any], height: int, width: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the rows and columns of positions; those outside are moved to the edge."""
    rows, columns = (place[..., axis].astype(np.int64) for axis in (0, 1))
    return rows.clip(0, height - 1), columns.clip(0, width - 1)


@torch.no_grad()
def measure_video(
    network: LoadedNetwork,
    frames: Iterable[Frame],
    *,
    flow: Flow = dense_flow,
    source: str = "the video",
) -> dict[str, Any]:
    """Measure how often the predicted class of a point stays the same from frame to frame.

    Args:
        network: see :func:`dealias.probe.measure_shifts`.
        frames: uint8 [H, W, 3], RGB, in order.
        flow: returns the displacement of each point of a frame to another, float [H, W, 2]; see
            :func:`dense_flow`.
        source: name of the video, for messages.

    Returns:
        ``frames``; ``compared``, the share of points that were followed; and the scores of
        :func:`dealias.metrics.functional.shift_agreement` over all these points and over those in
        the bands of the prediction, None where there are no points.

    Raises:
        ValueError: there are fewer than two frames, or the network's output is not a map of class
            scores.
    """
    counts: Tensor | None = None
    number, pixels = 1, 0

    def labelled(frame: Frame) -> tuple[Frame, Tensor, int]:
        image = torch.tensor(frame).permute(2, 0, 1).float() / 255
        scores = output_scores(network.model(network.arguments(image)), image.shape[-2:])
        if scores.shape[1:] != image.shape[-2:]:
            raise ValueError(f"{source}: expected a map of class scores, got those of an image")
        return frame, scores.argmax(0), scores.shape[0]

    for (first, preds, classes), (second, following, _) in pairwise(map(labelled, frames)):
        changed, compared = compare_frames(
            preds, following, flow(first, second), flow(second, first)
        )
        table = count_shifts(preds, changed, compared, num_classes=classes, ignore_index=-1)
        counts = table if counts is None else counts + table
        number, pixels = number + 1, pixels + preds.numel()
    if counts is None:
        raise ValueError(f"{source}: expected at least two frames")
    found = shift_agreement(counts)
    scalars = {name: value for name, value in found.items() if value.ndim == 0}
    del scalars["agreement_target_band"]
    share = int(counts[0, 0].sum()) / pixels
    return {"frames": number, "compared": share, **defined(scalars)}
