"""Find the images of a result in its folders or in its page.

A page stores the label maps of its images as files, in case the predictions and targets exist
nowhere else.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dealias.evaluation import Sources, digest_rows, read_pair
from dealias.inputs import lies_below, read_json
from dealias.labels import ClassSet, Pair, find_images, pair_folders, write_label_map
from dealias.report.examples import Example, Examples
from dealias.report.folder import PageFolder, file_key
from dealias.report.heat import heat_plane
from dealias.report.result_files import ResultFileError
from dealias.text import printable

_LABELS = ("predictions", "targets")  # folders among the assets of a page
_UNSTABLE = "unstable"
_KEPT = "evaluation.json"


def page_examples(page: Path, counted: str | None = None) -> Examples:
    """Return the images stored in a page.

    Args:
        page: folder of the page.
        counted: digest of the rows that the page must show; None for any.

    Raises:
        ResultFileError: the folder holds no page of an evaluation, or the page of another
            evaluation.
        ClassSetError: the class set is malformed.
    """
    assets = page / "assets"
    try:
        kept = read_json(assets / _KEPT)
        classes = ClassSet.from_dict(kept["class_set"], printable(assets))
        keys = {name: file_key(name) for name in kept["images"]}
        pictured = [name for name, layers in kept["images"].items() if "image" in layers]
        compared = [name for name, layers in kept["images"].items() if "unstable" in layers]
        rows = kept["counted"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResultFileError(
            f"{printable(page)}: expected the page of an evaluation, got another: {error}"
        ) from error
    if counted is not None and rows != counted:
        raise ResultFileError(f"{printable(page)}: expected the page of the result, got another")
    predictions, targets = (assets / folder for folder in _LABELS)
    pairs = {
        name: Pair(name, predictions / f"{key}.png", targets / f"{key}.png")
        for name, key in keys.items()
    }
    images = {name: assets / "images" / f"{keys[name]}.webp" for name in pictured}
    unstable = {name: assets / _UNSTABLE / f"{keys[name]}.png" for name in compared}
    read = partial(_read_kept, classes=classes)
    return Examples(classes, read, pairs, images, unstable=unstable)


def keep_labels(folder: PageFolder, example: Example, classes: ClassSet) -> None:
    """Write the label maps of an image, and a picture of its instability, into its page.

    :func:`page_examples` reads them.

    Raises:
        OutputError: a file can't be written.
    """
    for part, labels in zip(_LABELS, (example.preds, example.target), strict=True):
        file = io.BytesIO()
        stored = np.where(labels == classes.ignore_index, np.uint16(len(classes)), labels)
        write_label_map(file, stored, _kept_classes(classes))
        folder.write(f"{part}/{file_key(example.name)}.png", file.getvalue())
    if example.unstable is not None:
        file = io.BytesIO()
        Image.fromarray(heat_plane(example.unstable)).save(file, "png")
        folder.write(f"{_UNSTABLE}/{file_key(example.name)}.png", file.getvalue())


def keep_names(
    folder: PageFolder, layers: Mapping[str, Sequence[str]], classes: ClassSet, counted: str
) -> None:
    """Write the names of a page's images into the page.

    Args:
        folder: folder of the page.
        layers: optional layers of each image by name.
        classes: what the labels mean.
        counted: digest of the rows of the result.

    Raises:
        OutputError: the file can't be written.
    """
    kept = {"counted": counted, "class_set": classes.to_dict(), "images": layers}
    folder.write(_KEPT, json.dumps(kept).encode("ascii"))


def _kept_classes(classes: ClassSet) -> ClassSet:
    """Return the classes without colours, with void as the next number after them."""
    return ClassSet(classes.name, classes.names, ignore_index=len(classes))


def _read_kept(pair: Pair, classes: ClassSet) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    preds, target = (
        np.where(labels == len(classes), classes.ignore_index, labels.astype(np.int64))
        for labels in read_pair(pair, _kept_classes(classes))
    )
    return preds, target


def find_examples(result: Mapping[str, Any], path: Path, *, trust: bool = False) -> Examples:
    """Find the images of a result in the folders that were evaluated, or else in its page.

    Args:
        result: from :func:`read_result`.
        path: file of the result.
        trust: whether to follow the paths in the result wherever they lead. Otherwise the folders
            are not read, and the page is read only if it is below the folder of the file.

    Raises:
        ResultFileError: the images are in neither place; the message says why.
        ValueError: the images can't be used. Loading an image raises it if its labels have changed
            since they were counted.
    """
    problems = []
    rows = result["per_image"]
    digests = {
        str(row["name"]): (row["digests"]["prediction"], row["digests"]["target"])
        for row in rows
        if "digests" in row
    }
    if result.get("sources") is not None:
        sources = Sources.from_dict(result["sources"], printable(path))
        folders = [sources.predictions, sources.targets]
        gone = next((folder for folder in folders if trust and not folder.is_dir()), None)
        if not trust:
            listed = " and ".join(map(printable, folders))
            problems.append(f"--trust reads the folders that it names, {listed}")
        elif sources.origins:
            problems.append(f"{printable(min(sources.origins.values()))} is read by evaluate alone")
        elif gone is not None:
            problems.append(f"{printable(gone)} is no folder")
        else:
            found = pair_folders(sources.predictions, sources.targets, sources.rule)
            pairs = {pair.name: pair for pair in found.pairs}
            folder = sources.images
            images = find_images(folder, pairs) if folder is not None and folder.is_dir() else {}
            read = partial(
                read_pair,
                classes=sources.classes,
                map_predictions=sources.map_predictions,
                resize_predictions=sources.resize_predictions,
            )
            return Examples(sources.classes, read, pairs, images, digests, skip_bad=True)
    if isinstance(result.get("report"), str):
        page = path.parent / result["report"]
        if not (trust or lies_below(page, path.parent)):
            problems.append(f"--trust reads the page that it names, {printable(page)}")
        elif (page / "index.html").is_file():
            return page_examples(page, digest_rows(rows))
        else:
            problems.append(f"{printable(page)} holds no page")
    why = "; ".join(problems) or "it names neither folders nor a page"
    raise ResultFileError(f"{printable(path)}: its images are not to be found: {why}")
