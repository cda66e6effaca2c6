"""Pair the label maps of two folders, or images with their label maps."""

from dataclasses import dataclass
from pathlib import Path

from dealias.labels.folders import (
    PairingError,
    files_in,
    image_files,
    label_files,
    several_files,
)
from dealias.labels.lossless import JPEG_REASON, JPEG_SUFFIXES
from dealias.labels.matching import (
    by_root,
    in_folder_of,
    in_one_folder_each,
    match_affixes,
    match_files,
)
from dealias.labels.naming import role_of, role_within
from dealias.labels.rules import PairingRule, pair_by_patterns, pair_by_table
from dealias.text import printable


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
    """Pairs sorted by name.

    Attributes:
        pairs: the pairs.
        unpaired: the files without a partner.
        found_by: what the pairs were found by; empty if by names without known endings.
    """

    pairs: list[Pair]
    unpaired: list[Path]
    found_by: str = ""


@dataclass(frozen=True)
class Sample:
    """An image and its label map.

    Attributes:
        name: unique among the samples of a data set, with "/" between folders.
        image: the file of the image.
        label: the file of the label map, or None.
    """

    name: str
    image: Path
    label: Path | None = None


@dataclass(frozen=True)
class Samples:
    """Samples sorted by name, and the files without a partner."""

    samples: list[Sample]
    unpaired: list[Path]


def pair_folders(predictions: Path, targets: Path, rule: PairingRule | None = None) -> Pairing:
    """Pair the label maps of two folders by name.

    Subfolders are searched too. The name of a file is its stem without any of the endings that data
    sets and tools append: _leftImg8bit, _gtFine, _labelIds, _labelTrainIds, CamVid's _L after a
    number, _pred, _out, _gt, _target, _mask, _label, _seg and similar ones. Files of one folder
    that differ only in these endings are paired by the endings they share. A file without a partner
    is an error if its endings say that it belongs to its side; otherwise it is listed as unpaired.
    If no name occurs in several folders of one side, subfolders do not matter; otherwise they are
    part of the name. If a folder has both the labelTrainIds and the labelIds of an image, the
    labelTrainIds are used. Colour and instance files next to a label map are ignored.

    If these names give no pair, the prefix and suffix that all files of a side share are removed,
    in whole words and including folders: pred_1.png pairs with 1.png, 1/pred.png with 1/gt.png, and
    1.jpg.png with 1.png. On one side any words may be removed, on the other only known words, such
    as those above. Every file of the smaller side must have a partner, and there must be only one
    way to pair them.

    Predictions and targets may be in the same folder if words in their paths distinguish them.

    Args:
        predictions: folder of predicted label maps.
        targets: folder of target label maps.
        rule: a rule that pairs the files instead of their names.

    Raises:
        PairingError: a path is not a folder or has no label maps; there are no pairs, several ways
            to pair, or several files with one name; or both are in one folder and the names do not
            distinguish predictions from targets.

    >>> pair_folders(Path("results"), Path("gtFine/val"))  # doctest: +SKIP
    Pairing(pairs=[Pair(name='frankfurt_000000_000294', ...
    """
    if rule:
        return _pair_by_rule(predictions, targets, rule)
    predicted, true = label_files(predictions), label_files(targets)
    listed = [(predictions, predicted), (targets, true)]
    if predictions.samefile(targets):
        listed = [
            (predictions, [path for path in predicted if role_of(path) == "prediction"]),
            (targets, [path for path in true if role_of(path) not in ("prediction", "image")]),
        ]
        if not listed[0][1] or all(role_of(path) is None for path in listed[1][1]):
            return _pair_one_folder(predictions, predicted)
    matches, unpaired, found_by = match_files(listed, "prediction")
    return Pairing([Pair(*match) for match in matches], unpaired, found_by)


def _pair_by_rule(predictions: Path, targets: Path, rule: PairingRule) -> Pairing:
    unpaired: list[Path] = []
    if rule.table is not None:
        named = pair_by_table(predictions, targets, rule.table)
    else:
        named, unpaired = pair_by_patterns(predictions, targets, rule)
    pairs = [Pair(name, *named[name]) for name in sorted(named)]
    return Pairing(pairs, unpaired, str(rule))


def _pair_one_folder(folder: Path, files: list[Path]) -> Pairing:
    """Pair the files of one folder that have a word for their role elsewhere in their paths."""
    roles = {path: role_within(path.relative_to(folder)) for path in files}
    sides = ("prediction", "target")
    listed = [(folder, [path for path, role in roles.items() if role == kind]) for kind in sides]
    missing = [kind for kind, (_, chosen) in zip(sides, listed, strict=True) if not chosen]
    for path in files_in(folder, JPEG_SUFFIXES) if missing else ():
        if role_within(path.relative_to(folder)) in missing:
            raise PairingError(f"{printable(path)}: {JPEG_REASON}")
    if missing:
        raise PairingError(
            f"{printable(folder)}: is given for predictions and for targets: expected two "
            "folders, or names that tell which is which, such as 1_pred.png and 1_target.png; "
            "--prediction-pattern and --target-pattern say it outright"
        )
    matches, unpaired, found_by = match_affixes(listed, "prediction")
    unpaired += [path for path, role in roles.items() if role is None]
    return Pairing([Pair(*match) for match in matches], unpaired, found_by)


def pair_images(images: Path, labels: Path) -> Samples:
    """Pair the images of a folder with the label maps of another by name.

    Names and folders are read as by :func:`pair_folders`. Images and label maps may be in one
    folder if the label maps can be told by their endings.

    Args:
        images: folder of images (JPEG, PNG, WebP, TIFF or BMP).
        labels: folder of their label maps.

    Raises:
        PairingError: a path is not a folder or has no images or label maps, there are no pairs, or
            two files have the same name.

    >>> pair_images(Path("leftImg8bit/val"), Path("gtFine/val"))  # doctest: +SKIP
    Samples(samples=[Sample(name='frankfurt_000000_000294', ...
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
    matches, unpaired, _ = match_files([(images, found), (labels, true)], "image")
    return Samples([Sample(*match) for match in matches], unpaired)


def list_images(folder: Path) -> list[Sample]:
    """List the images of a folder and its subfolders as samples without label maps, sorted by name.

    Raises:
        PairingError: the path is not a folder or has no images, or two files have the same name.
    """
    files = image_files(folder)
    samples: dict[str, Path] = {}
    for root, paths in by_root(folder, files, in_one_folder_each(files)).items():
        for path in paths:
            name = root if len(paths) == 1 else in_folder_of(root, path.stem)
            if name in samples:
                raise several_files(name, [samples[name], path])
            samples[name] = path
    return [Sample(name, samples[name]) for name in sorted(samples)]
