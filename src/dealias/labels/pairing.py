"""Pairing the label maps of two folders, or images with their label maps."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dealias.labels.naming import FileRole, companion_of, endings_of, names_of, role_of, root_of
from dealias.labels.reading import LABEL_SUFFIXES
from dealias.text import printable

_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")


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
    data sets and tools, any number of them: _leftImg8bit, _gtFine, _labelIds, _labelTrainIds,
    CamVid's _L behind a number, _pred, _out, _gt, _target, _mask, _label, _seg and the like. Files
    of a folder that these endings alone tell apart pair by what they share of them; of those left
    over, one whose endings say that it is what the folder holds is refused, and others have no
    partner. If no name is in several folders of one side, the folders that the files lie in do not
    matter, else they are part of the name. Where a folder has both the labelTrainIds and the
    labelIds of an image, the former count. Colour and instance files beside a label map are passed
    over.

    Predictions and targets may lie in one folder if their endings say which is which.

    Args:
        predictions: folder of predicted label maps.
        targets: folder of target label maps.

    Raises:
        PairingError: not a folder, no label maps in it, no pair, several files of one name, or one
            folder for both whose names don't tell predictions from targets.

    >>> pair_folders(Path("results"), Path("gtFine/val"))  # doctest: +SKIP
    Pairing(pairs=[Pair(name='frankfurt_000000_000294', ...
    """
    predicted, true = _label_files(predictions), _label_files(targets)
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

    Names and folders are read as by :func:`pair_folders`; images and label maps may lie in one
    folder if the endings of the label maps say what they are.

    Args:
        images: folder of images (JPEG, PNG, WebP, TIFF or BMP).
        labels: folder of their label maps.

    Raises:
        PairingError: not a folder, no images or label maps in it, no pair, or two files of one
            name.

    >>> pair_images(Path("leftImg8bit/val"), Path("gtFine/val"))  # doctest: +SKIP
    Sampling(samples=[Sample(name='frankfurt_000000_000294', ...
    """
    found, true = _image_files(images), _label_files(labels)
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
    files = _image_files(folder)
    samples: dict[str, Path] = {}
    for root, paths in _by_root(folder, files, _in_one_folder_each(files)).items():
        for path in paths:
            name = root if len(paths) == 1 else _named(root, path.stem)
            if name in samples:
                raise _several(name, [samples[name], path])
            samples[name] = path
    return [Sample(name, samples[name]) for name in sorted(samples)]


def _match(
    first: Path, first_files: list[Path], second: Path, second_files: list[Path], kind: FileRole
) -> tuple[list[tuple[str, Path, Path]], list[Path]]:
    """Name and both files of each pair in the order of the names, and the files of no pair.

    The first side holds files of a kind, the second targets.
    """
    listed = [(first, first_files), (second, second_files)]
    if not first.samefile(second):  # one may lie in the other: no file is of both
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
) -> tuple[list[tuple[str, Path, Path]], list[Path]]:
    """Pair the files of one root, those that need the fewest endings taken off first.

    A file that is left over has no partner, unless its endings say that it is what its side holds:
    then it is not known which file is meant.
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
        if len(used) < 2 * len(best) or len(pairs.keys() | {*best.values()}) < len(pairs) + len(
            best
        ):
            break
        pairs |= {name: files for files, name in best.items()}
        left -= used
        ways = {files: way for files, way in ways.items() if used.isdisjoint(files)}
    meant = any(role_of(path) == (kind if path in first else "target") for path in left)
    if ways or meant:
        raise _several(root, max(first, second, key=len))
    return [(_named(root, name), *files) for name, files in pairs.items()], sorted(left)


def _shared_name(first: Path, second: Path) -> tuple[int, str]:
    """How many endings two files of one root must lose to have one name, and that name."""
    mine, theirs = names_of(first), names_of(second)
    return min((mine.index(n) + theirs.index(n), n) for n in mine if n in theirs)


def find_images(folder: Path, names: Iterable[str]) -> dict[str, Path]:
    """Find the photographs of pairs in a folder or its subfolders.

    Args:
        folder: where the images are.
        names: names of pairs; the last part must be that of the image.

    Returns:
        By name, those that there are.

    Raises:
        PairingError: not a folder, or several images that a name fits equally well.
    """
    return _find_named(folder, names, _image_only)


def find_label_maps(folder: Path, names: Iterable[str]) -> dict[str, Path]:
    """Find the label maps of images in a folder or its subfolders; see :func:`find_images`."""
    return _find_named(folder, names, _label_maps_only)


def _find_named(
    folder: Path, names: Iterable[str], wanted: Callable[[list[Path]], list[Path]]
) -> dict[str, Path]:
    if not folder.is_dir():
        raise PairingError(f"{printable(folder)}: not a folder")
    found: dict[str, list[tuple[int, int, Path]]] = defaultdict(list)
    for path in wanted(sorted(_walk(folder))):
        parent = path.parent.relative_to(folder)
        foreign = role_of(path) != "image"
        for taken, name in enumerate(names_of(path)):
            for key in {name, (parent / name).as_posix()}:
                found[key].append((foreign * taken, taken, path))
    images = {}
    for name in names:
        ranked = sorted(found.get(name) or found.get(name.rsplit("/", 1)[-1], []))
        best = [path for *rank, path in ranked if rank == list(ranked[0][:2])]
        if len(best) > 1:
            raise _several(name, best)
        if best:
            images[name] = best[0]
    return images


def _files(
    folder: Path,
    kind: str,
    suffixes: tuple[str, ...],
    wanted: Callable[[list[Path]], list[Path]],
) -> list[Path]:
    """Files of a folder and its subfolders that are wanted, or PairingError if there is none."""
    if not folder.is_dir():
        what = "not a folder" if folder.exists() else "no such folder"
        raise PairingError(f"{printable(folder)}: {what}")
    files = sorted(_walk(folder))
    found = wanted(files)
    if not found:
        kinds = sorted({path.suffix.lower() or "no extension" for path in files})
        got = f"got only {', '.join(kinds)}" if kinds else "it is empty"
        raise PairingError(f"{printable(folder)}: expected {kind} ({', '.join(suffixes)}), {got}")
    return found


def _image_files(folder: Path) -> list[Path]:
    return _files(folder, "images", _IMAGE_SUFFIXES, _image_only)


def _label_files(folder: Path) -> list[Path]:
    return _files(folder, "label maps", LABEL_SUFFIXES, _label_maps_only)


def _image_only(files: list[Path]) -> list[Path]:
    return [path for path in files if path.suffix.lower() in _IMAGE_SUFFIXES]


def _label_maps_only(files: list[Path]) -> list[Path]:
    """Leave out the colours, instances and label ids that lie beside a label map."""
    files = [path for path in files if path.suffix.lower() in LABEL_SUFFIXES]
    companions = {path: companion_of(path) for path in files}
    labels = {path.parent / root_of(path) for path, of in companions.items() if of is None}
    train_ids = {
        (path.parent / root_of(path), role_of(path))
        for path in files
        if "_labelTrainIds" in endings_of(path)
    }
    return [
        path
        for path, of in companions.items()
        if not (of is not None and path.parent / of in labels)
        and not (
            "_labelIds" in endings_of(path)
            and (path.parent / root_of(path), role_of(path)) in train_ids
        )
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


def _inside(path: Path, folder: Path, searched: Path) -> bool:
    """Whether a file lies in a folder that is itself a part of the searched one."""
    inner, outer = folder.resolve(), searched.resolve()
    return inner.is_relative_to(outer) and path.resolve().is_relative_to(inner)


def _in_one_folder_each(files: Iterable[Path]) -> bool:
    """Whether no root is in several folders."""
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


def _several(name: str, paths: list[Path]) -> PairingError:
    listed = ", ".join(printable(path) for path in paths[:4])
    return PairingError(f"{len(paths)} files are named {printable(name)!r}: {listed}")


def _examples(files: list[Path]) -> str:
    return f"such as {', '.join(printable(path.name) for path in files[:2])}"
