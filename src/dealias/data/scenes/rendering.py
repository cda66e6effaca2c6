"""A seeded data set of street scenes with exact labels, drawn on demand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from dealias.data.scenes.shapes import Bytes, Shape, draw_image, draw_labels
from dealias.data.scenes.street import street
from dealias.labels import load_class_set, write_label_map
from dealias.outputs import OutputFolder, check_folder

_NOISE = 6.0
SMALLEST_SCENE = 64


class Scene(NamedTuple):
    """An image, its labels and its shapes.

    Attributes:
        image: uint8 [H, W, 3], RGB in [0, 255].
        labels: uint8 [H, W]; a class of the set ``scenes`` or 255, void.
        shapes: the shapes with their outlines and textures, from back to front.
    """

    image: Bytes
    labels: Bytes
    shapes: tuple[Shape, ...]


def render_scene(index: int, *, size: tuple[int, int] = (256, 512), seed: int = 0) -> Scene:
    """Draw one street scene: the same bytes for the same arguments, on any machine.

    The scenes contain what aliasing harms: poles 1 to 4 pixels wide, window fronts, fences and
    truck sides with periods from 3 to 13 pixels, people and vehicles that touch or stand 1 to 4
    pixels apart, and curved outlines.

    Args:
        index: index of the scene, 0 .. 2**32 - 1.
        size: (height, width) in pixels, each at least 64. Objects scale with the height; the widths
            of poles and gaps and the periods of gratings do not.
        seed: seed of the data set, 0 .. 2**32 - 1.

    Returns:
        The scene. The label of a pixel is that of the front shape at its centre. The colour is the
        mean over 4 x 4 points of the pixel, so edges are smooth, plus uniform noise in +-6. Half
        of the scenes have a void area at the bottom, the camera's own car.

    Raises:
        ValueError: an argument is out of range.

    >>> scene = render_scene(3, size=(128, 256))
    >>> scene.image.shape, scene.labels.shape
    ((128, 256, 3), (128, 256))
    """
    check_natural("index", index)
    check_natural("seed", seed)
    check_size(size)
    random = np.random.RandomState([seed, index])
    shapes = tuple(street(random, size))
    noise = random.uniform(-_NOISE, _NOISE, size=(*size, 3))
    image = np.clip(np.rint(draw_image(shapes, size) + noise), 0, 255).astype(np.uint8)
    return Scene(image, draw_labels(shapes, size), shapes)


class ProceduralScenes(Dataset[tuple[Tensor, Tensor]]):
    """Street scenes drawn on demand; see :func:`render_scene`.

    Scene i depends only on `seed` and i, not on `length`, the worker or what was drawn before. An
    item is (image, labels): uint8 [3, H, W] in [0, 255], and uint8 [H, W] with void 255.

    Args:
        length: number of scenes; not negative.
        size: (height, width) in pixels, each at least 64.
        seed: 0 .. 2**32 - 1. Use different seeds for training and test sets.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(self, length: int, *, size: tuple[int, int] = (256, 512), seed: int = 0) -> None:
        check_natural("length", length)
        check_natural("seed", seed)
        check_size(size)
        self.length = length
        self.size = size
        self.seed = seed

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return (self[index] for index in range(self.length))

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if not -self.length <= index < self.length:
            raise IndexError(f"index: expected one of {self.length} scenes, got {index}")
        scene = render_scene(index % self.length, size=self.size, seed=self.seed)
        image = torch.from_numpy(scene.image).permute(2, 0, 1).contiguous()
        return image, torch.from_numpy(scene.labels)


def write_scenes(
    folder: str | Path,
    count: int,
    *,
    size: tuple[int, int] = (256, 512),
    seed: int = 0,
    overwrite: bool = False,
) -> list[str]:
    """Write scenes 0 .. count - 1 as images/NAME.png and labels/NAME.png.

    Args:
        folder: folder for both; created if it does not exist.
        count: number of scenes; not negative.
        size: see :func:`render_scene`.
        seed: see :func:`render_scene`.
        overwrite: replace the two folders, if dealias wrote all of their content.

    Returns:
        The names, ``scene_00000`` and so on.

    Raises:
        ValueError: an argument is out of range.
        OutputError: the folders are not empty and `overwrite` is false, or they contain files that
            dealias did not write.
    """
    check_natural("count", count)
    check_natural("seed", seed)
    check_size(size)
    images, labels = (Path(folder) / part for part in ("images", "labels"))
    for part in (images, labels):
        check_folder(part, overwrite=overwrite)
    Path(folder).mkdir(parents=True, exist_ok=True)
    names = [f"scene_{index:05d}" for index in range(count)]
    classes = load_class_set("scenes")
    with OutputFolder(images) as pictures, OutputFolder(labels) as maps:
        for index, name in enumerate(names):
            scene = render_scene(index, size=size, seed=seed)
            Image.fromarray(scene.image).save(pictures.part / f"{name}.png")
            write_label_map(maps.part / f"{name}.png", scene.labels, classes)
        pictures.finish()
        maps.finish()
    return names


def check_natural(argument: str, value: int) -> None:
    """Raise ValueError unless `value` is an integer from 0 to 2**32 - 1."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**32:
        raise ValueError(f"{argument}: expected an integer from 0 to 2**32 - 1, got {value!r}")


def check_size(size: tuple[int, int]) -> None:
    """Raise ValueError unless `size` is (height, width), each at least 64 pixels."""
    if len(size) != 2 or not all(isinstance(n, int) and n >= SMALLEST_SCENE for n in size):
        raise ValueError(
            f"size: expected (height, width), integers of at least {SMALLEST_SCENE}, got {size!r}"
        )
