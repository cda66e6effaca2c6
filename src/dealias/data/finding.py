"""Finding the samples of a data set."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TypeVar

from dealias.data.layouts import LAYOUTS, Layout
from dealias.inputs import leads_out, read_bytes
from dealias.labels import (
    PairingError,
    Sample,
    Samples,
    find_images,
    find_label_maps,
    pair_images,
)
from dealias.text import FileError, printable, shorten, without_image_suffix

T = TypeVar("T")

_LARGEST_LIST = 2**28  # bytes
_LONGEST_NAME = 4096  # characters


class DataError(ValueError):
    """A data set was not found, or does not have the expected layout."""


@dataclass(frozen=True)
class Splits:
    """Which splits of a data set to use.

    Attributes:
        train: split to train on; by default "train", or "train_aug" for the label maps of voc2012.
        val: split to validate on; by default "val", or "test" for lis.
        test: split to test on; by default that of `val`.
    """

    train: str | None = None
    val: str | None = None
    test: str | None = None

    def by_part(self, *, train: str = "train", val: str = "val") -> dict[str, str]:
        """The splits for "train", "val" and "test", with these defaults."""
        val = self.val or val
        return {"train": self.train or train, "val": val, "test": self.test or val}


def find_samples(
    name: str,
    split: str,
    *,
    root: str | Path | None = None,
    images: str | None = None,
    labels: str | None = None,
) -> Samples:
    """Find the images and label maps of a split.

    Args:
        name: "ade20k", "camvid", "cityscapes", "folder" or "voc2012".
        split: name of the split, such as "train". For "folder", a subfolder of both folders, or
            "." for all of their files, or a text file with the names of images, one per line:
            NAME.txt, or just NAME if the file exists below the root and there is no such subfolder.
        root: folder of the data set; by default the environment variable DEALIAS_NAME.
        images: folder of the images below the root, for "folder"; by default "images".
        labels: folder of the label maps below the root, for "folder"; by default "labels".

    Returns:
        The samples, sorted by name, and the files without a partner.

    Raises:
        DataError: there is no root, or not the expected layout below it.
    """
    layout = _layout(name, images, labels)
    base, source = find_root(name, root, layout.tree)
    try:
        if not base.is_dir():
            raise PairingError(f"{printable(base)}: not a folder")
        return _find(_inner(base, layout, split), layout, split)
    except PairingError as error:
        raise DataError(
            f"{name}, split {printable(split)!r}: {error}\n"
            f"Looked in {printable(base)}, which {source} says; expected there:\n{layout.tree}"
        ) from error


def find_root(name: str, root: str | Path | None, tree: str) -> tuple[Path, str]:
    """The folder of a data set, and the name of the option or variable that set it.

    Args:
        name: name of the data set.
        root: the folder; by default the environment variable DEALIAS_NAME.
        tree: the expected layout of the folder, for messages; may be empty.

    Raises:
        DataError: neither the option nor the variable is set.
    """
    variable = f"DEALIAS_{name.upper()}"
    if root is None and not os.environ.get(variable):
        layout = f", with\n{tree}" if tree else ""
        raise DataError(
            f"{name}: expected the option root or the environment variable {variable}{layout}"
        )
    if root is None:
        return Path(os.environ[variable]).expanduser().absolute(), variable
    return Path(root).expanduser().absolute(), "the option root"


def check_paired(name: str, split: str, unpaired: Sequence[Path]) -> None:
    """Raise DataError if there are files without a partner."""
    if not unpaired:
        return
    listed = "; ".join(f"{printable(path)}: no partner" for path in unpaired[:4])
    more = "; ..." if len(unpaired) > 4 else ""
    raise DataError(
        f"{name}, split {printable(split)!r}: {len(unpaired):,} images or label maps without the "
        f"other: {listed}{more}; skip_bad leaves them out"
    )


def _layout(name: str, images: str | None, labels: str | None) -> Layout:
    if name not in LAYOUTS:
        raise DataError(f"expected a data set ({', '.join(sorted(LAYOUTS))}), got {name!r}")
    if name == "folder":
        return replace(
            LAYOUTS[name],
            images=f"{images or 'images'}/{{split}}",
            labels=(f"{labels or 'labels'}/{{split}}",),
        )
    if images is not None or labels is not None:
        raise DataError(f"images and labels are for the data set 'folder', not for {name!r}")
    return LAYOUTS[name]


def _inner(base: Path, layout: Layout, split: str) -> Path:
    """The folder that contains the data set: the root, or one below it."""
    candidates = [base, *(base / inner for inner in layout.inner)]
    wanted = _folder(layout.images, layout.aliases.get(split, split))
    return next((folder for folder in candidates if (folder / wanted).is_dir()), base)


def _find(folder: Path, layout: Layout, split: str) -> Samples:
    known = layout.aliases.get(split, split)
    lists = _lists(folder, layout, known)
    if lists:
        return _listed(folder, layout, lists)
    labels = folder / _folder(layout.labels[0], known)
    return pair_images(folder / _folder(layout.images, known), labels)


def _folder(pattern: str, split: str) -> str:
    return pattern.replace("{split}", split)


def _lists(folder: Path, layout: Layout, split: str) -> list[Path]:
    """The files that list the names of a split; none if the split is a folder."""
    if split.endswith(".txt"):
        return [folder / Path(split).expanduser()]
    if layout.lists is not None:
        single = folder / layout.lists / f"{split}.txt"
        if not single.exists() and split in layout.joined:
            return [folder / layout.lists / f"{part}.txt" for part in layout.joined[split]]
        return [single]
    single = folder / f"{split}.txt"
    is_folder = (folder / _folder(layout.images, split)).is_dir()
    return [single] if single.is_file() and not is_folder else []


def _listed(folder: Path, layout: Layout, lists: list[Path]) -> Samples:
    """The samples named in text files."""
    names = sorted(name for path in lists for name in _read_names(path))
    twice = [first for first, second in itertools.pairwise(names) if first == second]
    listed_in = ", ".join(printable(path) for path in lists)
    if not names:
        raise PairingError(f"{listed_in}: expected names of images, one a line, got none")
    if twice:
        raise PairingError(f"{listed_in}: {shorten(twice[0])} is listed twice")
    place = folder / _folder(layout.images, ".")
    images = _where_named(place, find_images(place, names))
    labels: dict[str, Path] = {}
    for pattern in reversed(layout.labels):
        place = folder / _folder(pattern, ".")
        if place.is_dir() or pattern == layout.labels[0]:
            labels |= _where_named(place, find_label_maps(place, names))
    samples = [Sample(n, images[n], labels[n]) for n in names if n in images and n in labels]
    if not samples:
        raise PairingError(
            f"{listed_in}: none of {len(names):,} names, such as {shorten(names[0])}, "
            f"has an image and a label map"
        )
    unpaired = [
        images.get(name, folder / _folder(layout.images, name))
        for name in names
        if name not in images or name not in labels
    ]
    return Samples(samples, unpaired)


def _where_named(place: Path, found: dict[str, Path]) -> dict[str, Path]:
    """Leave out files that are in another folder than the one in their name, if any."""
    return {
        name: path
        for name, path in found.items()
        if "/" not in name or (place / name).parent == path.parent
    }


def _read_names(path: Path) -> list[str]:
    """Read names, one per line, with or without the suffix of an image."""
    try:
        lines = read_bytes(path, _LARGEST_LIST).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise PairingError(f"{printable(path)}: can't be read: expected text") from error
    except FileError as error:
        raise PairingError(str(error)) from error
    names = [line.strip() for line in lines if line.strip()]
    for name in names:
        # Outputs get these names too, so they must not lead out of a folder.
        if len(name) > _LONGEST_NAME or "\0" in name:
            raise PairingError(f"{printable(path)}: expected names of files, got {shorten(name)}")
        if leads_out(name):
            raise PairingError(
                f"{printable(path)}: expected names below the folder of the images, "
                f"got {shorten(name)}"
            )
    return [without_image_suffix(PurePosixPath(name).as_posix()) for name in names]


def spread(entries: Sequence[T], limit: int | None) -> list[T]:
    """At most `limit` of the entries, evenly spaced; all of them for None."""
    if limit is None or limit >= len(entries):
        return list(entries)
    return [entries[i * len(entries) // limit] for i in range(limit)]
