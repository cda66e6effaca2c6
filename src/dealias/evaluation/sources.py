"""The folders of an evaluation, from which its label maps can be read again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dealias.labels import (
    ClassSet,
    LabelFileError,
    Pair,
    PairingError,
    PairingRule,
    Role,
    is_copied,
    read_label_map,
    resize_nearest,
)
from dealias.text import printable, shorten


@dataclass(frozen=True)
class Sources:
    """The folders that were evaluated.

    Attributes:
        classes: the class set.
        predictions: folder of predicted label maps.
        targets: folder of target label maps.
        images: folder of photographs, or None.
        map_predictions: whether predictions store labels as targets do.
        resize_predictions: whether predictions are resized to the size of their target.
        rule: a rule that pairs the files instead of their names.
        origins: URLs of folders that were copied, by "predictions", "targets" and "images". The
            paths of these folders must not be read.
        found_by: what the pairs were found by; empty if by names without known endings.
    """

    classes: ClassSet
    predictions: Path
    targets: Path
    images: Path | None = None
    map_predictions: bool = False
    resize_predictions: bool = False
    rule: PairingRule = field(default_factory=PairingRule)
    found_by: str = ""
    origins: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        classes: ClassSet,
        predictions: Path,
        targets: Path,
        images: Path | None = None,
        **more: Any,
    ) -> Sources:
        """Return sources with absolute paths, which are valid in any working directory."""
        folders = {"predictions": predictions, "targets": targets, "images": images}
        origins = more.get("origins", {})
        places = {
            name: Path(origins[name]) if name in origins else path and path.absolute()
            for name, path in folders.items()
        }
        return cls(classes, **places, **more)  # type: ignore[arg-type]

    def rules(self) -> dict[str, Any]:
        """Return the rules for reading and pairing files by name, entries of mappings singly."""
        rules: dict[str, Any] = vars(self.classes) | {
            "palette": dict(zip(self.classes.names, self.classes.palette or (), strict=False)),
            "map_predictions": self.map_predictions,
            "resize_predictions": self.resize_predictions,
            "prediction_pattern": self.rule.prediction_pattern,
            "target_pattern": self.rule.target_pattern,
            "pairs": None if self.rule.table is None else "a table",
        }
        del rules["single_labels"]  # it only refuses files, and does not change how they are read
        for name in ("palette", "label_map", "color_map"):
            entries = rules.pop(name)
            rules |= {f"{name} of {key}": value for key, value in entries.items()}
        return rules

    def places(self) -> dict[str, str]:
        """Return where predictions, targets and (with a table) pairs come from, by name."""
        stored = self.to_dict() | {"pairs": self.rule.to_dict().get("table", "")}
        return {name: stored[name] for name in ("predictions", "targets", "pairs")}

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "predictions": str(self.predictions),
            "targets": str(self.targets),
            "images": None if self.images is None else str(self.images),
            **self.origins,
            "map_predictions": self.map_predictions,
            "resize_predictions": self.resize_predictions,
            "pairing": self.rule.to_dict(),
            "found_by": self.found_by,
            "class_set": self.classes.to_dict(),
        }

    @classmethod
    def from_dict(cls, content: Any, source: str) -> Sources:
        """Read what `to_dict` wrote.

        Args:
            content: values that `to_dict` returned.
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
        origins = {key: content[key] for key in folders if is_copied(content.get(key) or "")}
        classes = ClassSet.from_dict(content.get("class_set"), source)
        flags = ("map_predictions", "resize_predictions")  # earlier files lack the second
        more: dict[str, Any] = {flag: content.get(flag) is True for flag in flags}
        try:
            rule = PairingRule.from_dict(content.get("pairing", {}))
        except PairingError as error:
            raise ValueError(f"{source}: sources: pairing: {error}") from error
        found_by = content.get("found_by", "")
        if not isinstance(found_by, str):
            raise ValueError(f"{source}: sources: found_by: expected text, got {shorten(found_by)}")
        return cls(classes, **folders, **more, rule=rule, found_by=found_by, origins=origins)  # type: ignore[arg-type]


def read_pair(
    pair: Pair,
    classes: ClassSet,
    map_predictions: bool = False,
    resize_predictions: bool = False,
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Read the prediction and the target of a pair, each [H, W].

    Args:
        pair: the files.
        classes: the class set.
        map_predictions: whether predictions store labels as targets do.
        resize_predictions: whether to resize a prediction to its target; see
            :func:`resize_nearest`.

    Raises:
        LabelFileError: a file can't be used, or the sizes differ; with `resize_predictions`, height
            and width are swapped.
    """
    preds, target = read_sizes(pair, classes, map_predictions, resize_predictions)
    return resize_nearest(preds, target.shape) if resize_predictions else preds, target


def read_sizes(
    pair: Pair, classes: ClassSet, map_predictions: bool, any_size: bool
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Read the prediction and the target of a pair like :func:`read_pair`, in their own sizes.

    Args:
        pair: the files.
        classes: the class set.
        map_predictions: whether predictions store labels as targets do.
        any_size: whether the prediction may have another size; swapped height and width are always
            refused.
    """
    role: Role = "stored" if map_predictions else "prediction"
    preds = read_label_map(pair.prediction, classes, role)
    target = read_label_map(pair.target, classes, "target")
    swapped = preds.shape == target.shape[::-1]
    if preds.shape != target.shape and (swapped or not any_size):
        hint = "" if swapped else "; --resize-predictions nearest resizes it"
        raise LabelFileError(
            pair.prediction,
            f"expected {target.shape[1]}x{target.shape[0]} pixels like {printable(pair.target)}, "
            f"got {preds.shape[1]}x{preds.shape[0]}{hint}",
        )
    return preds, target
