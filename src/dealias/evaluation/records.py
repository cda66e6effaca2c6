"""The parts of an evaluation: its settings, and a row for each image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from dealias.evaluation.image_margins import EARLIER
from dealias.evaluation.objects import ImageObjects
from dealias.metrics.functional import ObjectRecall, Protocol


class CountsFileError(ValueError):
    """A file does not hold the counts of an evaluation, or counts can't be added."""


class ImageRow(NamedTuple):
    """One image.

    Attributes:
        name: unique in an evaluation.
        miou: mIoU over the classes of the image; NaN if it has no class.
        error_pixels: wrong pixels by kind.
        digests: digests of the prediction and the target, see :func:`digest_file` and
            :func:`digest_labels`; empty where unknown.
        margins: margins of the image, see :func:`pack_margins`; None if they are not known.
        group: the group that it is resampled with, see :class:`Groups`; empty if it is resampled by
            itself.
        objects: from :func:`image_objects`; empty unless counted.
        no_margins: why the margins are not known, if they are not.
    """

    name: str
    miou: float
    error_pixels: tuple[int, ...]
    digests: tuple[str, str] = ("", "")
    margins: bytes | None = None
    group: str = ""
    objects: ImageObjects = ()
    no_margins: str = EARLIER


@dataclass(frozen=True)
class Settings:
    """The settings that two evaluations must share for their counts to be added.

    Attributes:
        class_set: name of the class set.
        names: names of the classes.
        ignore_index: label of void.
        protocol: "paper" or "exact".
        band_width: width of the boundary bands in pixels.
        boundary: whether Boundary IoU and the boundary F-score are counted as well.
        object_recall: the shares by which objects are found or have vanished; None if objects are
            not counted.
        band_widths: other widths to count at, as :meth:`BandWidths.parse` reads them; or "".
    """

    class_set: str
    names: tuple[str, ...]
    ignore_index: int
    protocol: Protocol = "paper"
    band_width: int = 15
    boundary: bool = False
    object_recall: ObjectRecall | None = None
    band_widths: str = ""
