"""The files of the LIS data set.

Chen et al., "Instance Segmentation in the Dark", IJCV 2023.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple, get_args

from dealias.text import printable

Shot = Literal["RGB-normal", "RGB-dark", "RAW-normal", "RAW-dark"]
Split = Literal["train", "test", "traintest"]

LIS_TREE = """\
RGB-normal/JPEGImages/1.JPG ...
RGB-dark/JPEGImages/2.JPG ...
RAW-normal/JPEGImages/1.png ...
RAW-dark/JPEGImages/2.png ...
annotations/lis_coco_{JPG,png}_{train,test,traintest}{,+1}.json, with +1 for dark images"""


class LisError(ValueError):
    """The data set isn't where it was looked for, or not laid out as it should be."""


class LisFiles(NamedTuple):
    """Part of the data set.

    Attributes:
        images: the folder of the images.
        annotations: the file of their annotations.
    """

    images: Path
    annotations: Path


def lis_files(root: str | Path, shot: Shot, split: Split) -> LisFiles:
    """Find a part of the LIS data set.

    Args:
        root: the folder, laid out as its authors published it.
        shot: "RGB-normal", "RGB-dark", "RAW-normal" or "RAW-dark".
        split: "train", "test" or "traintest".

    Returns:
        The folder of images, and the annotations that name images of their format: JPG or png.

    Raises:
        LisError: no such part; the message has the expected layout.
    """
    for argument, value, known in (("shot", shot, Shot), ("split", split, Split)):
        if value not in get_args(known):
            names = ", ".join(get_args(known))
            raise LisError(f"{argument}: expected one of {names}, got {value!r}")
    root = Path(root).expanduser()
    images = root / shot / "JPEGImages"
    if not images.is_dir():
        raise _missing(root, f"{printable(images)}: not a folder")
    dark = "+1" if shot.endswith("dark") else ""
    kind = "png" if any(path.suffix.lower() == ".png" for path in images.iterdir()) else "JPG"
    annotations = root / "annotations" / f"lis_coco_{kind}_{split}{dark}.json"
    if not annotations.is_file():
        raise _missing(root, f"{printable(annotations)}: no such file")
    return LisFiles(images, annotations)


def _missing(root: Path, problem: str) -> LisError:
    return LisError(
        f"LIS: {problem}\nLooked in the root, {printable(root)}; expected there:\n{LIS_TREE}"
    )
