"""Pairing the label maps of two folders, or images with their label maps."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dealias.labels.folders import PairingError, image_files, label_files, several_files
from dealias.labels.naming import FileRole, names_of, role_of, root_of
from dealias.text import printable

_Match = tuple[str, Path, Path]


@dataclass(frozen=True)
class Pair:
    """A prediction and its target.

    Attributes:
        name: the name they share, unique among the pairs, with "/" between folders.
        prediction: the file of the prediction.
        target: the file of the target.
    """

    name: str
    prediction: Path
    target: Path


@dataclass(frozen=True)
class Pairing:
    """Pairs in the order of their names, and the files without a partner."""

    pairs: list[Pair]
    unpaired: list[Path]


@dataclass(frozen=True)
class Sample:
    """An image and its label map.

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
    """Samples in the order of their names, and the files without a partner."""

    samples: list[Sample]
    unpaired: list[Path]


def pair_folders(predictions: Path, targets: Path) -> Pairing:
    """Pair the label maps of two folders by name.

    Subfolders are searched too. The name of a file is its stem without the endings of data sets and
    tools, any number of them: _leftImg8bit, _gtFine, _labelIds, _labelTrainIds, CamVid's _L after a
    number, _pred, _out, _gt, _target, _mask, _label, _seg and similar ones. Files of one folder
    that differ in these endings only are paired by the endings they share. Of those without a
    partner, a file whose endings say that it is of the kind of its folder is an error; others are
    listed as unpaired. If no name occurs in several folders of one side, subfolders do not matter,
    else they are part of the name. If a folder has both the labelTrainIds and the labelIds of an
    image, the labelTrainIds are used. Colour and instance files beside a label map are ignored.

    Predictions and targets may lie in one folder if their endings tell them apart.

    Args:
        predictions: folder of predicted label maps.
        targets: folder of target label maps.

    Raises:
        PairingError: not a folder, no label maps in it, no pairs, several files of one name, or one
            folder for both in which the names do not tell predictions from targets.

    >>> pair_folders(Path("results"), Path("gtFine/val"))  # doctest: +SKIP
    Pairing(pairs=[Pair(name='frankfurt_000000_000294', ...
    """
    predicted, true = label_files(predictions), label_files(targets)
    if predictions.samefile(targets):
        predicted = [path for path in predicted if role_of(path) == "prediction"]
        true = [path for path in true if role_of(path) not in ("prediction", "image")]
        if not predicted or all(role_of(path) is None for path in true):
            raise PairingError(
                f"{printable(predictions)}: is given for predictions and for targets: expected two "
                "folders, or names that tell which is which, such as 1_pred.png and 1_target.png"
            )
    matches, unpaired = _match(predictions, predicted, targets, true, "prediction")
    return Pairing([Pair(*match) for match in matches], unpaired)


def pair_images(images: Path, labels: Path) -> Sampling:
    """Pair the images of a folder with the label maps of another by name.

    Names and folders are read as by :func:`pair_folders`. Images and label maps may lie in one
    folder if the endings of the label maps say what they are.

    Args:
        images: folder of images (JPEG, PNG, WebP, TIFF or BMP).
        labels: folder of their label maps.

    Raises:
        PairingError: not a folder, no images or label maps in it, no pairs, or two files of one
            name.

    >>> pair_images(Path("leftImg8bit/val"), Path("gtFine/val"))  # doctest: +SKIP
    Sampling(samples=[Sample(name='frankfurt_000000_000294', ...
    """
    found, true = image_files(images), label_files(labels)
    if images.samefile(labels):
        found = [path for path in found if role_of(path) in (None, "image")]
        true = [path for path in true if role_of(path) == "target"]
        if not found or not true:
            raise PairingError(
                f"{printable(images)}: is given for images and for label maps: expected two "
                "folders, or names that tell which is which, such as 1.jpg and 1_mask.png"
            )
    matches, unpaired = _match(images, found, labels, true, "image")
    return Sampling([Sample(*match) for match in matches], unpaired)


def list_images(folder: Path) -> list[Sample]:
    """List the images of a folder and its subfolders, without label maps, by name.

    Raises:
        PairingError: not a folder, no images in it, or two files of one name.
    """
    files = image_files(folder)
    samples: dict[str, Path] = {}
    for root, paths in _by_root(folder, files, _in_one_folder_each(files)).items():
        for path in paths:
            name = root if len(paths) == 1 else _named(root, path.stem)
            if name in samples:
                raise several_files(name, [samples[name], path])
            samples[name] = path
    return [Sample(name, samples[name]) for name in sorted(samples)]


def _match(
    first: Path, first_files: list[Path], second: Path, second_files: list[Path], kind: FileRole
) -> tuple[list[_Match], list[Path]]:
    """Match files of a kind with targets by name.

    Returns:
        The name and both files of each pair, in the order of the names, and the unpaired files.
    """
    listed = [(first, first_files), (second, second_files)]
    if not first.samefile(second):  # one may lie in the other; no file belongs to both
        listed = [
            (folder, [path for path in files if not _inside(path, other, folder)])
            for (folder, files), (other, _) in zip(listed, listed[::-1], strict=True)
        ]
    flat = all(_in_one_folder_each(files) for _, files in listed)
    sides = [_by_root(folder, files, flat) for folder, files in listed]
    shared = sides[0].keys() & sides[1].keys()
    unpaired = [
        path for side in sides for name in side if name not in shared for path in side[name]
    ]
    if not shared:
        raise PairingError(
            f"no pairs: none of the {len(sides[0]):,} names in {printable(first)} "
            f"({_examples(listed[0][1])}) is among the {len(sides[1]):,} in {printable(second)} "
            f"({_examples(listed[1][1])})"
        )
    pairs = []
    for name in shared:
        matched, left = _match_root(name, sides[0][name], sides[1][name], kind)
        pairs += matched
        unpaired += left
    return sorted(pairs), unpaired


def _match_root(
    root: str, first: list[Path], second: list[Path], kind: FileRole
) -> tuple[list[_Match], list[Path]]:
    """Pair the files of one root, starting with those that need the fewest endings removed.

    A file that is left over is unpaired. If its endings say that it is of the kind of its side, it
    is ambiguous which file is meant, and that is an error.
    """
    if len(first) == len(second) == 1:
        return [(root, first[0], second[0])], []
    ways = {(one, two): _shared_name(one, two) for one in first for two in second}
    pairs: dict[str, tuple[Path, Path]] = {}
    left = {*first, *second}
    while ways:
        least = min(cost for cost, _ in ways.values())
        best = {files: name for files, (cost, name) in ways.items() if cost == least}
        used = {path for files in best for path in files}
        names = pairs.keys() | {*best.values()}
        if len(used) < 2 * len(best) or len(names) < len(pairs) + len(best):
            break
        pairs |= {name: files for files, name in best.items()}
        left -= used
        ways = {files: way for files, way in ways.items() if used.isdisjoint(files)}
    meant = any(role_of(path) == (kind if path in first else "target") for path in left)
    if ways or meant:
        raise several_files(root, max(first, second, key=len))
    return [(_named(root, name), *files) for name, files in pairs.items()], sorted(left)


def _shared_name(first: Path, second: Path) -> tuple[int, str]:
    """The number of endings to remove from two files of one root to get one name, and the name."""
    mine, theirs = names_of(first), names_of(second)
    return min((mine.index(n) + theirs.index(n), n) for n in mine if n in theirs)


def _inside(path: Path, folder: Path, searched: Path) -> bool:
    """Whether a file lies in a folder that is inside the searched one."""
    inner, outer = folder.resolve(), searched.resolve()
    return inner.is_relative_to(outer) and path.resolve().is_relative_to(inner)


def _in_one_folder_each(files: Iterable[Path]) -> bool:
    """Whether no root occurs in several folders."""
    folders: dict[str, Path] = {}
    return all(folders.setdefault(root_of(path), path.parent) == path.parent for path in files)


def _by_root(folder: Path, files: Iterable[Path], flat: bool) -> dict[str, list[Path]]:
    found = defaultdict(list)
    for path in files:
        root = root_of(path)
        found[root if flat else (path.parent.relative_to(folder) / root).as_posix()].append(path)
    return found


def _named(root: str, name: str) -> str:
    """A name in the folder of a root."""
    return "/".join([*root.split("/")[:-1], name])


def _examples(files: list[Path]) -> str:
    return f"such as {', '.join(printable(path.name) for path in files[:2])}"
