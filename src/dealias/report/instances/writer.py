"""A page of right, false and missed instances, written while a network is tested."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dealias.evaluation.instances import InstanceEvaluation, draw_outlines, match_outlines
from dealias.metrics.instances import (
    FALSE_DETECTIONS,
    FOUND,
    INSTANCE_ERRORS,
    MISSED,
    NOBODY,
    AnnotatedImage,
    Detections,
    Matches,
    match_instances,
)
from dealias.report.drawing import (
    THUMBNAIL_WIDTH,
    Drawn,
    heat_plane,
    write_photograph,
    write_thumbnail,
)
from dealias.report.folder import PageWriter, file_key
from dealias.report.instances.page import finish_page
from dealias.report.packing import pack, to_script
from dealias.text import printable

KINDS = (*(kind.key for kind in INSTANCE_ERRORS), FOUND)  # by their number in the files


class _Scored(NamedTuple):
    """The aliasing score of an instance, and how surely it was found; -1 if it was not."""

    image: str
    aliasing: float
    found: float


@dataclass(frozen=True)
class InstanceExample:
    """One image of a page.

    Attributes:
        image: with the instances that are in it.
        detections: what was found in it.
        seen: the image as the network saw it, uint8 (H, W, 3).
        original: the image before it was made dark or noisy, uint8 (H, W, 3); or None.
        aliasing: the aliasing score of each pixel, (H, W) in [0, 1], NaN where there is none; or
            None.
    """

    image: AnnotatedImage
    detections: Detections
    seen: NDArray[np.uint8]
    original: NDArray[np.uint8] | None = None
    aliasing: NDArray[np.floating] | None = None


@dataclass
class InstanceReportPart:
    """What one process has drawn; small, and sent between processes as it is.

    Attributes:
        layers: of each image by name, the optional layers that there are.
        scored: the instances of all images that have an aliasing score.
    """

    layers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    scored: list[_Scored] = field(default_factory=list)

    def absorb(self, other: InstanceReportPart) -> None:
        """Add what another process has drawn."""
        self.layers |= other.layers
        self.scored += other.scored


class InstanceReportWriter(PageWriter):
    """Write the page of a test with images as they come, none of them kept.

    Several processes may write the images of one page: one of them calls `begin` before any calls
    `add`, and later absorbs the parts of the others and calls `finish`. As a context, it begins,
    and discards what is not finished.

    Args:
        path: folder of the page; made if it isn't there. A page in it is replaced at the end.

    Attributes:
        part: what this process has drawn, an :class:`InstanceReportPart`.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self.part = InstanceReportPart()

    def add(self, example: InstanceExample) -> None:
        """Write the files of one image.

        Args:
            example: the image; its `original` and `aliasing` may be None.

        Raises:
            OutputError: a file can't be written.
            ValueError: images or scores of another size.
        """
        image, detections, aliasing = example.image, example.detections, example.aliasing
        key, layers = file_key(image.name), ["image"]
        for folder, pixels in (("images", example.seen), ("originals", example.original)):
            if pixels is not None:
                if pixels.shape[:2] != image.size:
                    raise ValueError(
                        f"{folder}: expected {image.size}, as {printable(image.name)} is, "
                        f"got {pixels.shape[:2]}"
                    )
                write_photograph(self.folder, f"{folder}/{key}.webp", pixels)
        if example.original is not None:
            layers.append("original")
        matches = match_instances(image, detections)
        content = _content(image, detections, matches)
        if aliasing is not None:
            if aliasing.shape != image.size:
                raise ValueError(f"aliasing: expected {image.size}, got {aliasing.shape}")
            layers.append("aliasing")
            content |= pack({"aliasing": heat_plane(aliasing)})
            self.part.scored += _scored(image, detections, matches, aliasing)
        script = to_script("dealias.maps.receive", key, content)
        self.folder.write(f"maps/{key}.js", script.encode("ascii"))
        self.part.layers[image.name] = tuple(layers)

    def finish(
        self,
        evaluation: InstanceEvaluation,
        *,
        output: Path | None = None,
        probe: Mapping[str, Any] | None = None,
        site: str | None = None,
        title: str = "Instances",
    ) -> dict[str, Any]:
        """Draw the small pictures, now that it is known which score counts, and write the page.

        Args:
            evaluation: of these images.
            output: file that the result will be written to, for the way from there to the page.
            probe: result of `dealias probe`, for a section on the network.
            site: name of the downsampling step that the aliasing scores are of.
            title: heading.

        Returns:
            Keys for the result's file: ``report``, where the page is, and
            ``errors_against_aliasing`` if any image had scores.

        Raises:
            OutputError: it can't be written.
        """
        threshold = evaluation.errors().threshold
        drawn = [
            self._draw(image, detections, matches, threshold)
            for image, detections, matches in evaluation.matched()
            if image.name in self.part.layers
        ]
        more: dict[str, Any] = {"report": self.folder.way_from(output)}
        if self.part.scored:
            more["errors_against_aliasing"] = missed_against_aliasing(
                self.part.scored, threshold
            ) | {"site": site}
        finish_page(
            self.folder,
            evaluation.to_dict() | more,
            drawn,
            evaluation.classes,
            probe=probe,
            title=title,
        )
        return more

    def _draw(
        self, image: AnnotatedImage, detections: Detections, matches: Matches, threshold: float
    ) -> Drawn:
        key = file_key(image.name)
        height, across = image.size
        with Image.open(self.folder.new / "images" / f"{key}.webp") as file:
            pixels: NDArray[np.uint8] = np.asarray(file.convert("RGB").resize((across, height)))
        outlines = match_outlines(image, detections, matches, threshold)
        width = max(1, round(1.5 * across / THUMBNAIL_WIDTH))
        picture = draw_outlines(pixels, outlines, width=width)
        write_thumbnail(self.folder, f"thumbs/{key}.webp", picture)
        counts = count_kinds(image, detections, matches, threshold)
        by_class = [
            (label - 1, *(counts[label].get(kind, 0) for kind in KINDS)) for label in sorted(counts)
        ]
        totals = np.array([row[1:] for row in by_class], np.int64).reshape(-1, len(KINDS)).sum(0)
        return Drawn(
            image.name,
            key,
            *image.size,
            self.part.layers[image.name],
            tuple(totals.tolist()),
            tuple(value for row in by_class for value in row),
            None,
        )


def count_kinds(
    image: AnnotatedImage, detections: Detections, matches: Matches, threshold: float
) -> dict[int, dict[str, int]]:
    """How many of each kind there are in an image, by label.

    A false detection counts for the class that it was given, an instance for its own.

    Args:
        image: with the instances that are in it.
        detections: what was found in it.
        matches: from :func:`match_instances`.
        threshold: lowest score of the detections that count.
    """
    counts: dict[int, dict[str, int]] = {}
    scores, labels = detections.scores.tolist(), detections.labels.tolist()
    errors = {kind.key for kind in FALSE_DETECTIONS}
    entries = [
        (labels[i], kind)
        for i, kind in enumerate(matches.kinds)
        if kind in errors and scores[i] >= threshold
    ]
    for instance, finder in zip(image.instances, matches.finders.tolist(), strict=True):
        if not instance.crowd:
            found = finder != NOBODY and scores[finder] >= threshold
            entries.append((instance.label, FOUND if found else MISSED.key))
    for label, kind in entries:
        own = counts.setdefault(label, {})
        own[kind] = own.get(kind, 0) + 1
    return counts


def missed_against_aliasing(scored: Sequence[_Scored], threshold: float) -> dict[str, Any]:
    """Whether instances are missed where the network aliases.

    Args:
        scored: the instances.
        threshold: lowest score of the detections that count.

    Returns:
        ``found`` and ``missed``, the mean aliasing score of each and its number;
        ``higher_share``, how often a missed instance has a higher score than a found one, ties
        counted half; and ``within_images``, the same of pairs in one image, which are equally dark
        and noisy. None where undefined.
    """
    aliasing = np.array([one.aliasing for one in scored])
    found = np.array([one.found >= threshold for one in scored], bool)
    right, wrong = np.sort(aliasing[found]), np.sort(aliasing[~found])
    higher, pairs = _higher(right, wrong)
    own_higher = own_pairs = 0.0
    images = np.array([one.image for one in scored])
    for image in dict.fromkeys(images.tolist()):
        own = images == image
        more = _higher(np.sort(aliasing[own & found]), aliasing[own & ~found])
        own_higher, own_pairs = own_higher + more[0], own_pairs + more[1]
    return {
        "higher_share": higher / pairs if pairs else None,
        "within_images": own_higher / own_pairs if own_pairs else None,
        "found": {"mean": float(right.mean()) if right.size else None, "instances": right.size},
        "missed": {"mean": float(wrong.mean()) if wrong.size else None, "instances": wrong.size},
    }


def _higher(right: NDArray[np.floating], wrong: NDArray[np.floating]) -> tuple[float, int]:
    """Pairs of a right and a wrong one in which the wrong one is higher, and all; `right` rises."""
    below = np.searchsorted(right, wrong) + np.searchsorted(right, wrong, side="right")
    return float(below.sum()) / 2, right.size * wrong.size


def _content(image: AnnotatedImage, detections: Detections, matches: Matches) -> dict[str, Any]:
    """Instances and detections as the page's scripts know them."""
    finders = matches.finders.tolist()
    height, width = image.size
    number = {kind: index for index, kind in enumerate(KINDS)}
    return {
        "height": height,
        "width": width,
        "bytes": {},
        "targets": [
            [instance.label - 1, finder, int(instance.crowd), _counts(instance.mask)]
            for instance, finder in zip(image.instances, finders, strict=True)
        ],
        "detections": [
            [
                label - 1,
                round(score, 5),
                number.get(kind, -1),
                partner,
                round(overlap, 4),
                _counts(mask),
            ]
            for label, score, kind, partner, overlap, mask in zip(
                detections.labels.tolist(),
                detections.scores.tolist(),
                matches.kinds,
                matches.partners.tolist(),
                matches.overlaps.tolist(),
                detections.masks,
                strict=True,
            )
        ],
    }


def _counts(mask: Mapping[str, Any]) -> str:
    counts = mask["counts"]
    text: str = counts.decode("ascii") if isinstance(counts, bytes) else counts
    return text


def _scored(
    image: AnnotatedImage,
    detections: Detections,
    matches: Matches,
    aliasing: NDArray[np.floating],
) -> list[_Scored]:
    """The mean aliasing score in the box of each instance: what is around it counts as well."""
    scores = detections.scores.tolist()
    scored = []
    for instance, finder in zip(image.instances, matches.finders.tolist(), strict=True):
        left, top, right, bottom = (max(0, value) for value in instance.box)
        part = aliasing[math.floor(top) : math.ceil(bottom), math.floor(left) : math.ceil(right)]
        known = part[np.isfinite(part)]
        if known.size and not instance.crowd:
            found = scores[finder] if finder != NOBODY else -1.0
            scored.append(_Scored(image.name, float(known.mean()), found))
    return scored
