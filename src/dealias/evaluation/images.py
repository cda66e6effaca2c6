"""Count one pair of label maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any

import torch
from torch import Tensor

from dealias.evaluation.digests import digest_labels
from dealias.evaluation.groups import Groups
from dealias.evaluation.objects import image_objects
from dealias.evaluation.records import ImageRow, Settings
from dealias.evaluation.results import Evaluation
from dealias.evaluation.widths import width_sums
from dealias.labels import ClassSet, PairingRule
from dealias.metrics.functional import (
    BandWidths,
    HardPixelCounts,
    ObjectRecall,
    Protocol,
    boundary_f_counts,
    boundary_iou_counts,
    check_object_recall,
    check_options,
    class_iou,
    count_band_widths,
    count_objects,
    error_pixels,
    margins,
    pack_margins,
)
from dealias.text import shorten

_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "classes": ((ClassSet,), "a ClassSet such as load_class_set('cityscapes')"),
    "error_maps": ((Path, NoneType), "a Path or None"),
    "groups": ((Groups, NoneType), "Groups such as read_groups('^([a-z]+)_') or None"),
    "object_recall": ((ObjectRecall, NoneType), "ObjectRecall() or None"),
    "band_widths": ((str,), "a string such as '3,7,15'"),
    "rule": ((PairingRule,), "a PairingRule"),
}


@dataclass(frozen=True)
class Options:
    """Options for counting and drawing pairs.

    Attributes:
        classes: the class set.
        protocol: "paper" or "exact".
        band_width: width of the boundary bands in pixels, odd.
        boundary: whether to count Boundary IoU and the boundary F-score too.
        map_predictions: whether predictions store labels as targets do, so that the label map or
            reduce_zero_label of `classes` applies to them.
        error_maps: folder to write a PNG of the errors of each image to; or None.
        groups: groups of images that are resampled as a whole; None to resample single images.
        object_recall: the shares by which objects are judged; None to count no objects.
        band_widths: further band widths to count at, as :meth:`BandWidths.parse` reads them; or "".
        resize_predictions: whether to resize predictions of another size to their target.
        rule: a rule that pairs the files instead of their names.
        origins: URLs of folders that were copied; see :class:`Sources`.

    Raises:
        ValueError: an attribute has the wrong type, or a width or share is invalid.
    """

    classes: ClassSet
    protocol: Protocol = "paper"
    band_width: int = 15
    boundary: bool = False
    map_predictions: bool = False
    error_maps: Path | None = None
    groups: Groups | None = None
    object_recall: ObjectRecall | None = None
    band_widths: str = ""
    resize_predictions: bool = False
    rule: PairingRule = field(default_factory=PairingRule)
    origins: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, (kinds, expected) in _KINDS.items():
            value = getattr(self, name)
            if not isinstance(value, kinds):
                raise ValueError(f"{name}: expected {expected}, got {shorten(value)}")
        check_options(**self.counting)
        if self.object_recall is not None:
            check_object_recall(self.object_recall)
        if self.band_widths:
            BandWidths.parse(self.band_widths)

    @property
    def settings(self) -> Settings:
        """Return the settings that counts must share to be added up."""
        return Settings(
            self.classes.name,
            self.classes.names,
            self.classes.ignore_index,
            self.protocol,
            self.band_width,
            self.boundary,
            self.object_recall,
            self.band_widths,
        )

    @property
    def labels(self) -> dict[str, Any]:
        """Return the keyword arguments of functions that count labels."""
        return {"num_classes": len(self.classes), "ignore_index": self.classes.ignore_index}

    @property
    def counting(self) -> dict[str, Any]:
        """Return the keyword arguments of functions that count in bands."""
        return self.labels | {"band_width": self.band_width, "protocol": self.protocol}


def evaluate_maps(
    name: str,
    preds: Tensor,
    target: Tensor,
    options: Options,
    *,
    digests: tuple[str, str] | None = None,
) -> Evaluation:
    """Count one image.

    Args:
        name: name of the image.
        preds: predicted classes, integers [H, W].
        target: target classes or void, integers [H, W].
        options: how to count; `map_predictions` and `error_maps` apply to files only.
        digests: digests of the prediction's and the target's file; by default digests of their
            labels.

    Raises:
        LabelRangeError: a label is neither a class nor, in the target, void.
        ValueError: the tensors are not label maps of one size.
    """
    counts, at_widths = _count_bands(preds, target, options)
    found = Evaluation.empty(options.settings, counts)
    if at_widths:
        found.widths = width_sums(at_widths)
    if options.boundary:
        measures: Any = (boundary_iou_counts, boundary_f_counts)
        parts = [measure(preds, target, **options.labels) for measure in measures]
        found.boundary = torch.cat(parts)
    if options.object_recall is not None:
        recall = options.object_recall
        found.objects = count_objects(preds, target, recall=recall, **options.labels)
    wrong = tuple(int(count) for count in error_pixels(counts.confusion).values())
    if digests is None:
        digests = (digest_labels(preds.cpu().numpy()), digest_labels(target.cpu().numpy()))
    totals = margins(counts.confusion)
    miou = float(class_iou(totals.sum(-2)).nanmean())
    group = "" if options.groups is None else options.groups.of(name)
    objects = image_objects(found.objects)
    row = ImageRow(name, miou, wrong, digests, pack_margins(totals), group, objects)
    found.images.append(row)
    found.void_pixels = target.numel() - int(counts.confusion.sum())
    return found


def _count_bands(
    preds: Tensor, target: Tensor, options: Options
) -> tuple[HardPixelCounts, list[HardPixelCounts]]:
    """Count at the band width of the options, and at each of their other widths."""
    others: list[int] = []
    if options.band_widths:
        height, width = target.shape[-2:]
        others = BandWidths.parse(options.band_widths).in_pixels(height, width)
    every = sorted({options.band_width, *others})
    counting = options.labels | {"protocol": options.protocol}
    counts = count_band_widths(preds, target, band_widths=every, **counting)
    at = dict(zip(every, counts, strict=True))
    return at[options.band_width], [at[width] for width in others]
