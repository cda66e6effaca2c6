"""Pairing the label maps of two folders, or images with their label maps."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dealias._text import printable
from dealias.labels._reading import LABEL_SUFFIXES

# What data sets put behind the name of the image; the longest that fits is taken off.
_ENDINGS = (
    "_leftImg8bit",
    "_gtFine_labelTrainIds",
    "_gtFine_labelIds",
    "_gtCoarse_labelTrainIds",
    "_gtCoarse_labelIds",
    "_labelTrainIds",
    "_labelIds",
    "_pred",
    "_L",
)
_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
# What Cityscapes lays beside the label map of an image.
_COMPANION = re.compile(r"(.+?)(_gtFine|_gtCoarse)?_(color|instanceIds|instanceTrainIds)")


class PairingError(ValueError):
    """The files of two folders can't be paired."""


@dataclass(frozen=True)
class Pair:
    """A prediction and its target.

    Attributes:
        name: what they share, unique among the pairs, with "/" between folders.
        prediction: the file of the prediction.
        target: the file of the target.
    """

    name: str
    prediction: Path
    target: Path


@dataclass(frozen=True)
class Pairing:
    """Pairs in the order of their names, and the files left without a partner."""

    pairs: list[Pair]
    unpaired: list[Path]


@dataclass(frozen=True)
class Sample:
    """An image and what its pixels are.

    Attributes:
        name: unique among the samples of a data set, with "/" between folders.
        image: the file of the image.
        label: the file of the label map; or None.
    """

    name: str
    image: Path
    label: Path | None = None


@dataclass(frozen=True)
class Sampling:
    """Samples in the order of their names, and the files left without a partner."""

    samples: list[Sample]
    unpaired: list[Path]


def pair_folders(predictions: Path, targets: Path) -> Pairing:
    """Pair the label maps of two folders by name.

    Folders are searched with their subfolders. A file's name is its stem without the endings of
    Cityscapes (_leftImg8bit, _gtFine_labelIds, _gtFine_labelTrainIds, and so on), of CamVid (_L)
    and _pred. If those are unique on both sides the folders that the files lie in do not matter,
    else they are part of the name. Where a folder has both the labelTrainIds and the labelIds of
    an image, the former count. Colour and instance files beside a label map are passed over.

    Args:
        predictions: folder of predicted label maps.
        targets: folder of target label maps.

    Raises:
        PairingError: not a folder, no label maps in it, no pair, or two files of one name.

    >>> pair_folders(Path("results"), Path("gtFine/val"))  # doctest: +SKIP
    Pairing(pairs=[Pair(name='frankfurt_000000_000294', ...
    """
    found = {folder: _label_files(folder) for folder in (predictions, targets)}
    matches, unpaired = _match(predictions, found[predictions], targets, found[targets])
    return Pairing([Pair(*match) for match in matches], unpaired)


def pair_images(images: Path, labels: Path) -> Sampling:
    """Pair the images of a folder with the label maps of another by name.

    Names and folders are read as by :func:`pair_folders`.

    Args:
        images: folder of images (JPEG, PNG, WebP, TIFF or BMP).
        labels: folder of their label maps.

    Raises:
        PairingError: not a folder, no images or label maps in it, no pair, or two files of one
            name.

    >>> pair_images(Path("leftImg8bit/val"), Path("gtFine/val"))  # doctest: +SKIP
    Sampling(samples=[Sample(name='frankfurt_000000_000294', ...
    """
    matches, unpaired = _match(images, _image_files(images), labels, _label_files(labels))
    return Sampling([Sample(*match) for match in matches], unpaired)


def list_images(folder: Path) -> list[Sample]:
    """List the images of a folder and its subfolders, without label maps, by name.

    Raises:
        PairingError: not a folder, no images in it, or two files of one name.
    """
    files = _image_files(folder)
    stems = [_name(path) for path in files]
    named = _by_name(folder, files, flat=len(set(stems)) == len(stems))
    return [Sample(name, named[name]) for name in sorted(named)]


def _match(
    first: Path, first_files: list[Path], second: Path, second_files: list[Path]
) -> tuple[list[tuple[str, Path, Path]], list[Path]]:
    """Name and both files of each pair in the order of the names, and the files of no pair."""
    listed = [(first, first_files), (second, second_files)]
    stems = [[_name(path) for path in files] for _, files in listed]
    flat = all(len(set(names)) == len(names) for names in stems)
    sides = [_by_name(folder, files, flat) for folder, files in listed]
    shared = sides[0].keys() & sides[1].keys()
    unpaired = [path for side in sides for name, path in side.items() if name not in shared]
    if not shared:
        raise PairingError(
            f"no pairs: none of the {len(sides[0]):,} names in {printable(first)} "
            f"({_examples(sides[0])}) is among the {len(sides[1]):,} in {printable(second)} "
            f"({_examples(sides[1])})"
        )
    return [(name, sides[0][name], sides[1][name]) for name in sorted(shared)], unpaired


def find_images(folder: Path, names: Iterable[str]) -> dict[str, Path]:
    """Find the photographs of pairs in a folder or its subfolders.

    Args:
        folder: where the images are.
        names: names of pairs; the last part must be that of the image.

    Returns:
        By name, those that there are.

    Raises:
        PairingError: not a folder.
    """
    return _find_named(folder, names, _IMAGE_SUFFIXES)


def find_label_maps(folder: Path, names: Iterable[str]) -> dict[str, Path]:
    """Find the label maps of images in a folder or its subfolders; see :func:`find_images`."""
    return _find_named(folder, names, LABEL_SUFFIXES)


def _find_named(folder: Path, names: Iterable[str], suffixes: tuple[str, ...]) -> dict[str, Path]:
    if not folder.is_dir():
        raise PairingError(f"{printable(folder)}: not a folder")
    found: dict[str, Path] = {}
    files = [path for path in sorted(_walk(folder)) if path.suffix.lower() in suffixes]
    for path in _without_companions(files) if suffixes is LABEL_SUFFIXES else files:
        inside = path.parent.relative_to(folder) / _name(path)
        found[_name(path)] = found[inside.as_posix()] = path
    images = {name: found.get(name, found.get(name.rsplit("/", 1)[-1])) for name in names}
    return {name: path for name, path in images.items() if path is not None}


def _files(folder: Path, kind: str, suffixes: tuple[str, ...]) -> list[Path]:
    """Files of a folder and its subfolders that end so, or PairingError if there is none."""
    if not folder.is_dir():
        what = "not a folder" if folder.exists() else "no such folder"
        raise PairingError(f"{printable(folder)}: {what}")
    files = sorted(_walk(folder))
    wanted = [path for path in files if path.suffix.lower() in suffixes]
    if not wanted:
        kinds = sorted({path.suffix.lower() or "no extension" for path in files})
        got = f"got only {', '.join(kinds)}" if kinds else "it is empty"
        raise PairingError(f"{printable(folder)}: expected {kind} ({', '.join(suffixes)}), {got}")
    return wanted


def _image_files(folder: Path) -> list[Path]:
    return _files(folder, "images", _IMAGE_SUFFIXES)


def _label_files(folder: Path) -> list[Path]:
    labels = _without_companions(_files(folder, "label maps", LABEL_SUFFIXES))
    train_ids = {path.parent / _name(path) for path in labels if "_labelTrainIds" in path.stem}
    return [
        path
        for path in labels
        if not (path.stem.endswith("_labelIds") and path.parent / _name(path) in train_ids)
    ]


def _without_companions(files: list[Path]) -> list[Path]:
    """Leave out the colour and instance files that lie beside a label map."""
    matches = {path: _COMPANION.fullmatch(path.stem) for path in files}
    names = {path.parent / _name(path) for path, match in matches.items() if match is None}
    return [
        path for path, match in matches.items() if not (match and path.parent / match[1] in names)
    ]


def _walk(folder: Path) -> Iterator[Path]:
    """Visible files of a folder and its subfolders, links followed but none twice."""
    seen = set()
    for parent, subfolders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        yield from (Path(parent, name) for name in names if not name.startswith("."))


def _name(path: Path) -> str:
    for ending in _ENDINGS:
        if path.stem.endswith(ending) and path.stem != ending:
            return path.stem.removesuffix(ending)
    return path.stem


def _by_name(folder: Path, files: Iterable[Path], flat: bool) -> dict[str, Path]:
    found = defaultdict(list)
    for path in files:
        parent = path.parent.relative_to(folder)
        found[_name(path) if flat else (parent / _name(path)).as_posix()].append(path)
    for name, paths in found.items():
        if len(paths) > 1:
            listed = ", ".join(printable(path) for path in paths[:4])
            raise PairingError(f"{len(paths)} files are named {printable(name)!r}: {listed}")
    return {name: paths[0] for name, paths in found.items()}


def _examples(side: dict[str, Path]) -> str:
    listed = ", ".join(printable(path.name) for path in list(side.values())[:2])
    return f"such as {listed}"
