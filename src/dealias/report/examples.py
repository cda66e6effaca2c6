"""One image of an evaluation with all that is known of it, and where to read it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dealias.evaluation import Sources, digest_file, digest_rows, read_pair
from dealias.images import ImageError, open_image, read_photograph
from dealias.labels import ClassSet, LabelFileError, Pair, PairingError, find_images, pair_folders
from dealias.report.folder import file_key
from dealias.report.packing import from_script, unpack
from dealias.report.result_files import ResultFileError
from dealias.text import FileError, printable


@dataclass(frozen=True)
class Example:
    """One image.

    Attributes:
        name: unique among the images of a report.
        prediction: predicted classes, integers (H, W).
        target: target classes or void, integers (H, W).
        image: the photograph, uint8 (H, W, 3), RGB; or None.
        aliasing: the aliasing score of each pixel, (H, W) in [0, 1], NaN where there is none; or
            None.
        problem: what was left out, for people; or None.
    """

    name: str
    prediction: NDArray[np.integer]
    target: NDArray[np.integer]
    image: NDArray[np.uint8] | None = None
    aliasing: NDArray[np.floating] | None = None
    problem: str | None = None


class Examples(Protocol):
    """Images of an evaluation that can be read, in any order and process."""

    @property
    def classes(self) -> ClassSet:
        """What the labels mean."""

    @property
    def names(self) -> Sequence[str]:
        """The images that there are."""

    def load(self, name: str) -> Example:
        """Read one.

        Raises:
            ValueError: it can't be read; the message names the file.
        """


class FolderExamples:
    """Images read from the folders that were evaluated.

    Args:
        sources: the folders.
        aliasing: folder of 16-bit pictures of the aliasing score, as `dealias probe --maps` writes
            them; images without one have no score.
        digests: of the prediction and the target of each image that was counted, by its name;
            those of other images are not checked.
        skip_bad: go without a photograph that can't be read, and say so in the example.

    Raises:
        PairingError: folders that hold no pairs.
    """

    def __init__(
        self,
        sources: Sources,
        *,
        aliasing: Path | None = None,
        digests: Mapping[str, Sequence[str]] | None = None,
        skip_bad: bool = False,
    ) -> None:
        self.sources = sources
        self.digests = digests or {}
        self.skip_bad = skip_bad
        pairs = pair_folders(sources.predictions, sources.targets).pairs
        self._pairs = {pair.name: pair for pair in pairs}
        self._images = {} if sources.images is None else find_images(sources.images, self._pairs)
        self._aliasing = {} if aliasing is None else find_images(aliasing, self._pairs)

    @property
    def classes(self) -> ClassSet:
        """What the labels mean."""
        return self.sources.classes

    @property
    def names(self) -> Sequence[str]:
        """The images that there are."""
        return list(self._pairs)

    def load(self, name: str) -> Example:
        """Read one.

        Raises:
            LabelFileError, ImageError: a file that can't be used, or is not what was counted.
            PairingError: there is no such image, or no longer.
        """
        pair = self._pair(name)
        prediction, target = read_pair(pair, self.classes, self.sources.map_predictions)
        files = (pair.prediction, pair.target)
        for path, counted in zip(files, self.digests.get(name, ()), strict=False):
            if counted and digest_file(path) != counted:
                raise LabelFileError(path, "it is no longer the file that was counted")
        size = (target.shape[1], target.shape[0])
        image, problem = self._photograph(name, size)
        scores = self._aliasing.get(name)
        aliasing = None if scores is None else read_scores(scores, size)
        return Example(name, prediction, target, image, aliasing, problem)

    def _pair(self, name: str) -> Pair:
        if name not in self._pairs:
            raise PairingError(
                f"{printable(self.sources.predictions)}: no pair named {printable(name)!r} any more"
            )
        return self._pairs[name]

    def _photograph(
        self, name: str, size: tuple[int, int]
    ) -> tuple[NDArray[np.uint8] | None, str | None]:
        path = self._images.get(name)
        if path is None:
            return None, None
        try:
            return read_photograph(path, size), None
        except FileError as error:
            if not self.skip_bad:
                raise
            return None, str(error)


def read_scores(path: Path, size: tuple[int, int]) -> NDArray[np.float32]:
    """Read a picture of scores, as `dealias probe --maps` writes it, at a size (W, H).

    Returns:
        (H, W) in [0, 1], NaN where there is no score.

    Raises:
        ImageError: not such a picture.
    """
    with open_image(path) as (picture, _):
        if not picture.mode.startswith("I"):
            raise ImageError(path, f"expected 16-bit gray, got mode {picture.mode}")
        resized = picture.resize(size, Image.Resampling.NEAREST)
        values: NDArray[np.float32] = np.asarray(resized, np.float32)
    scores: NDArray[np.float32] = values / np.float32(65534)
    scores[values == 65535] = np.nan
    return scores


class PageExamples:
    """Images read from the assets of a page, for those that lie nowhere else.

    Args:
        page: folder of the page.
        counted: digest of the rows that the page must be of; or None for any.

    Raises:
        ResultFileError: it holds no page of an evaluation, or that of another one.
    """

    def __init__(self, page: Path, counted: str | None = None) -> None:
        self.assets = page / "assets"
        data = _arguments(self.assets / "data.js", "dealias.start")[0]
        try:
            self._classes = ClassSet.from_dict(data["class_set"], printable(self.assets))
            self._has = {row[0]: tuple(row[4]) for row in data["rows"]}
        except (KeyError, TypeError, IndexError) as error:
            raise ResultFileError(
                f"{printable(page)}: expected the page of an evaluation, got another"
            ) from error
        if counted is not None and data.get("counted", counted) != counted:
            raise ResultFileError(
                f"{printable(page)}: expected the page of the result, got another"
            )

    @property
    def classes(self) -> ClassSet:
        """What the labels mean."""
        return self._classes

    @property
    def names(self) -> Sequence[str]:
        """The images that there are."""
        return list(self._has)

    def load(self, name: str) -> Example:
        """Read one.

        Raises:
            ResultFileError: the page has no such image, or its maps can't be used.
            ImageError: its photograph can't be read.
        """
        if name not in self._has:
            raise ResultFileError(f"{printable(self.assets)}: no image named {printable(name)!r}")
        key = file_key(name)
        path = self.assets / "maps" / f"{key}.js"
        arguments = _arguments(path, "dealias.maps.receive")
        try:
            planes = unpack(arguments[1])
            prediction, target = (self._labels(planes[part]) for part in ("prediction", "target"))
        except (ValueError, KeyError, IndexError) as error:
            raise ResultFileError(f"{printable(path)}: {error}") from error
        image = None
        if "image" in self._has[name]:
            size = (target.shape[1], target.shape[0])
            image = read_photograph(self.assets / "images" / f"{key}.webp", size)
        return Example(name, prediction, target, image)

    def _labels(self, plane: NDArray[np.integer]) -> NDArray[np.int64]:
        void = plane == len(self.classes)
        return np.where(void, self.classes.ignore_index, plane.astype(np.int64))


def _arguments(path: Path, function: str) -> list[Any]:
    try:
        return from_script(function, path.read_text("ascii"))
    except (OSError, ValueError) as error:
        raise ResultFileError(f"{printable(path)}: expected a file of a page: {error}") from error


def find_examples(result: Mapping[str, Any], path: Path) -> Examples:
    """Find the images of a result: in the folders that were evaluated, or else in its page.

    Args:
        result: from :func:`read_result`.
        path: its file.

    Raises:
        ResultFileError: they are in neither; the message says why.
        ValueError: they are, but can't be used. Loading an image raises it where labels are no
            longer those that were counted.
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
        gone = next((folder for folder in folders if not folder.is_dir()), None)
        if gone is None:
            if sources.images is not None and not sources.images.is_dir():
                parts = (sources.classes, sources.predictions, sources.targets)
                sources = Sources(*parts, map_predictions=sources.map_predictions)
            return FolderExamples(sources, digests=digests, skip_bad=True)
        problems.append(f"{printable(gone)} is no folder")
    if isinstance(result.get("report"), str):
        page = path.parent / result["report"]
        if (page / "index.html").is_file():
            return PageExamples(page, digest_rows(rows))
        problems.append(f"{printable(page)} holds no page")
    why = "; ".join(problems) or "it names neither folders nor a page"
    raise ResultFileError(f"{printable(path)}: its images are not to be found: {why}")
