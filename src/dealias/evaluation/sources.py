"""The folders of an evaluation, to read its label maps again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dealias.labels import ClassSet, LabelFileError, Pair, Role, read_label_map
from dealias.text import printable, shorten


@dataclass(frozen=True)
class Sources:
    """The folders that were evaluated.

    Attributes:
        classes: what the labels mean.
        predictions: folder of predicted label maps.
        targets: folder of target label maps.
        images: folder of photographs; or None.
        map_predictions: predictions store labels as targets do.
    """

    classes: ClassSet
    predictions: Path
    targets: Path
    images: Path | None = None
    map_predictions: bool = False

    @classmethod
    def of(
        cls,
        classes: ClassSet,
        predictions: Path,
        targets: Path,
        images: Path | None = None,
        *,
        map_predictions: bool = False,
    ) -> Sources:
        """Sources with absolute paths, valid in any working directory."""
        full = None if images is None else images.absolute()
        return cls(classes, predictions.absolute(), targets.absolute(), full, map_predictions)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "predictions": str(self.predictions),
            "targets": str(self.targets),
            "images": None if self.images is None else str(self.images),
            "map_predictions": self.map_predictions,
            "class_set": self.classes.to_dict(),
        }

    @classmethod
    def from_dict(cls, content: Any, source: str) -> Sources:
        """Read what `to_dict` wrote.

        Args:
            content: what `to_dict` gave.
            source: path of the file, for messages.

        Raises:
            ValueError: the content is malformed.
        """
        if not isinstance(content, dict):
            raise ValueError(f"{source}: sources: expected a mapping, got {shorten(content)}")
        folders: dict[str, Path | None] = {}
        for key in ("predictions", "targets", "images"):
            value = content.get(key)
            if not (isinstance(value, str) or (value is None and key == "images")):
                raise ValueError(
                    f"{source}: sources: {key}: expected a folder, got {shorten(value)}"
                )
            folders[key] = None if value is None else Path(value)
        classes = ClassSet.from_dict(content.get("class_set"), source)
        mapped = content.get("map_predictions") is True
        return cls(classes, map_predictions=mapped, **folders)  # type: ignore[arg-type]


def read_pair(
    pair: Pair, classes: ClassSet, map_predictions: bool = False
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Read the prediction and the target of a pair, each [H, W].

    Args:
        pair: the files.
        classes: what the labels mean.
        map_predictions: predictions store labels as targets do.

    Raises:
        LabelFileError: a file that can't be used, or sizes that differ.
    """
    role: Role = "stored" if map_predictions else "prediction"
    preds = read_label_map(pair.prediction, classes, role)
    target = read_label_map(pair.target, classes, "target")
    if preds.shape != target.shape:
        raise LabelFileError(
            pair.prediction,
            f"expected {target.shape[1]}x{target.shape[0]} pixels like {printable(pair.target)}, "
            f"got {preds.shape[1]}x{preds.shape[0]}",
        )
    return preds, target
