"""Write the page of an instance segmentation test, image by image."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dealias.evaluation.instances import (
    InstanceEvaluation,
    draw_outlines,
    match_outlines,
    shapes_of,
)
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
    write_photograph,
    write_thumbnail,
)
from dealias.report.folder import PageWriter, file_key
from dealias.report.heat import heat_plane
from dealias.report.instances.aliasing import (
    ScoredInstance,
    missed_against_aliasing,
    score_instances,
)
from dealias.report.instances.page import finish_page
from dealias.report.packing import pack, to_script
from dealias.text import printable

# In the order of their numbers in the page's files.
KINDS = (*(kind.key for kind in INSTANCE_ERRORS), FOUND)


@dataclass(frozen=True)
class InstanceExample:
    """One image of a page.

    Attributes:
        image: the image with its instances.
        detections: the detections in it.
        seen: the image as the network saw it, uint8 [H, W, 3].
        original: the image before it was made dark or noisy, uint8 [H, W, 3], or None.
        aliasing: the aliasing score of each pixel, floating-point [H, W] in [0, 1], NaN where there
            is none; or None.
    """

    image: AnnotatedImage
    detections: Detections
    seen: NDArray[np.uint8]
    original: NDArray[np.uint8] | None = None
    aliasing: NDArray[np.floating] | None = None


@dataclass
class InstanceReportPart:
    """What one process has drawn, which is small enough to send between processes.

    Attributes:
        layers: optional layers of each image by name.
        scored: the instances of all images that have an aliasing score.
    """

    layers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    scored: list[ScoredInstance] = field(default_factory=list)

    def absorb(self, other: InstanceReportPart) -> None:
        """Add what another process has drawn."""
        self.layers |= other.layers
        self.scored += other.scored


class InstanceReportWriter(PageWriter[InstanceEvaluation]):
    """Writes the page of an instance segmentation test; see :class:`PageWriter`.

    `finish` takes the evaluation of these images.

    Args:
        path: folder of the page.

    Attributes:
        part: what this process has drawn, an :class:`InstanceReportPart`.
    """

    title = "Instances"

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self.part = InstanceReportPart()

    def add(self, example: InstanceExample) -> None:
        """Write the files of one image.

        Args:
            example: the image; its `original` and `aliasing` may be None.

        Raises:
            OutputError: a file can't be written.
            ValueError: images or scores have the wrong size.
        """
        image, detections, aliasing = example.image, example.detections, example.aliasing
        key, layers = file_key(image.name), []
        pictures = {"image": example.seen, "original": example.original}
        for layer, pixels in pictures.items():
            if pixels is not None:
                _check_size(f"{layer}s", pixels, image)
                write_photograph(self.folder, f"{layer}s/{key}.webp", pixels)
                layers.append(layer)
        matches = match_instances(image, detections)
        content = _content(image, detections, matches)
        if aliasing is not None:
            _check_size("aliasing", aliasing, image)
            layers.append("aliasing")
            content |= pack({"aliasing": heat_plane(aliasing)})
            self.part.scored += score_instances(image, detections, matches, aliasing)
        script = to_script("dealias.maps.receive", key, content)
        self.folder.write(f"maps/{key}.js", script.encode("ascii"))
        self.part.layers[image.name] = tuple(layers)

    def _results(self, found: InstanceEvaluation) -> tuple[dict[str, Any], Any, Any]:
        threshold, scored = found.errors().threshold, self.part.scored
        # Thumbnails are drawn only now that the score threshold is known.
        drawn = [
            self._draw(image, detections, matches, threshold)
            for image, detections, matches in found.matched()
            if image.name in self.part.layers
        ]
        aliasing = missed_against_aliasing(scored, threshold) if scored else None
        return found.to_dict(), drawn, aliasing

    def _write_page(self, result: Mapping[str, Any], drawn: Any, **more: Any) -> None:
        finish_page(self.folder, result, drawn, **more)

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
        totals = tuple(sum(own[kind] for own in counts.values()) for kind in KINDS)
        by_class = [(label - 1, *(own[kind] for kind in KINDS)) for label, own in counts.items()]
        layers = self.part.layers[image.name]
        return Drawn(image.name, key, *image.size, layers, totals, sum(by_class, ()), None)


def _check_size(what: str, pixels: NDArray[Any], image: AnnotatedImage) -> None:
    if pixels.shape[:2] != image.size:
        raise ValueError(
            f"{what}: expected {image.size}, as {printable(image.name)} is, got {pixels.shape[:2]}"
        )


def count_kinds(
    image: AnnotatedImage, detections: Detections, matches: Matches, threshold: float
) -> dict[int, Counter[str]]:
    """Count the kinds of error in an image by label, lowest label first.

    A false detection counts for its predicted class, an instance for its own class. Detections with
    a score below the threshold do not count.
    """
    counts: defaultdict[int, Counter[str]] = defaultdict(Counter)
    errors = {kind.key for kind in FALSE_DETECTIONS}
    scores, labels = detections.scores.tolist(), detections.labels.tolist()
    for label, score, kind in zip(labels, scores, matches.kinds, strict=True):
        if kind in errors and score >= threshold:
            counts[label][kind] += 1
    for instance, finder in zip(image.instances, matches.finders.tolist(), strict=True):
        if not instance.crowd:
            found = finder != NOBODY and scores[finder] >= threshold
            counts[instance.label][FOUND if found else MISSED.key] += 1
    return dict(sorted(counts.items()))


def _content(image: AnnotatedImage, detections: Detections, matches: Matches) -> dict[str, Any]:
    """Return instances and detections in the form that the page's scripts read."""
    finders = matches.finders.tolist()
    height, width = image.size
    number = {kind: index for index, kind in enumerate(KINDS)}
    targets, shapes = shapes_of(image, detections)
    return {
        "height": height,
        "width": width,
        "bytes": {},
        "targets": [
            [instance.label - 1, finder, int(instance.crowd), _plain(shape)]
            for instance, finder, shape in zip(image.instances, finders, targets, strict=True)
        ],
        "detections": [
            [
                label - 1,
                round(score, 5),
                number.get(kind, -1),
                partner,
                round(overlap, 4),
                _plain(shape),
            ]
            for label, score, kind, partner, overlap, shape in zip(
                detections.labels.tolist(),
                detections.scores.tolist(),
                matches.kinds,
                matches.partners.tolist(),
                matches.overlaps.tolist(),
                shapes,
                strict=True,
            )
        ],
    }


def _plain(shape: Any) -> str | list[float]:
    """Return the run lengths of a mask as text, or (left, top, right, bottom) of a box."""
    if not isinstance(shape, Mapping):
        return [round(value, 2) for value in shape]
    counts = shape["counts"]
    text: str = counts.decode("ascii") if isinstance(counts, bytes) else counts
    return text
