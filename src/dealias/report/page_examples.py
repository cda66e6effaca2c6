"""The images of an evaluation as its page holds them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dealias.images import read_photograph
from dealias.labels import ClassSet
from dealias.report.drawing import file_key
from dealias.report.examples import Example
from dealias.report.packing import from_script, unpack
from dealias.report.result_files import ResultFileError
from dealias.text import printable


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
