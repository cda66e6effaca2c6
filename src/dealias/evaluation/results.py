"""The counts of an evaluation, its figures, and the files that hold them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from dealias.environment import environment
from dealias.evaluation.groups import Groups
from dealias.evaluation.image_margins import margins_to_text
from dealias.evaluation.intervals import (
    Intervals,
    Unit,
    by_figure,
    find_intervals,
)
from dealias.evaluation.objects import (
    image_objects_result,
    no_objects,
    objects_result,
)
from dealias.evaluation.records import CountsFileError, ImageRow, Settings
from dealias.evaluation.shards import Shard, missing_shards
from dealias.evaluation.sources import Sources
from dealias.evaluation.warnings import label_warnings
from dealias.evaluation.widths import covered_by_bands, no_widths, widths_result
from dealias.files import defined
from dealias.metrics.functional import (
    ERROR_KINDS,
    BandWidths,
    HardPixelCounts,
    MarginTable,
    boundary_f_score,
    boundary_gain,
    boundary_iou,
    costly_pairs,
    error_shares,
    fine_grained_miou,
    miou_gain,
    scores,
)
from dealias.text import html_table, printable, shorten

_LISTED = 4
_TENSORS = ("boundary", "objects", "widths")
TABLE_METRICS = ("IoU", "Acc", "BIoU", "BAcc", "FErr", "MErr", "DErr")


@dataclass
class Evaluation:
    """Counts over any number of images, and a row for each image.

    Attributes:
        settings: how they were counted.
        counts: the table of counts.
        boundary: int64 [6, C], :func:`boundary_iou_counts` over :func:`boundary_f_counts`;
            zeros unless counted.
        objects: counts from :func:`count_objects`, int64 [C, 4, 10]; zeros unless counted.
        widths: sums from :func:`width_sums`, int64 [W, 3, 4, C], for the W widths of the settings.
        images: a row for each image.
        skipped: a message for each file that was left out.
        shards: the parts that were counted.
        sources: the folders that the label maps were read from; None if they were read from none or
            from several.
        several: the sources of the parts, if they were read from several folders.
        void_pixels: number of pixels whose target is void.
        drawn: what was drawn while the images were counted, see :func:`evaluate_pair`; None if
            nothing was. Drawn parts are added up by their method ``absorb``.
        undrawn: why the first picture that failed could not be drawn; None if none failed.
        resized_images: number of predictions that were resized to the size of their target.
    """

    settings: Settings
    counts: HardPixelCounts
    boundary: Tensor
    objects: Tensor
    widths: Tensor
    images: list[ImageRow] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    shards: list[Shard] = field(default_factory=list)
    sources: Sources | None = None
    several: list[Sources] = field(default_factory=list)
    void_pixels: int = 0
    drawn: Any = None
    undrawn: str | None = None
    resized_images: int = 0
    _names: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    @classmethod
    def empty(cls, settings: Settings, counts: HardPixelCounts | None = None) -> Evaluation:
        """Return an evaluation of no images; its table of counts may be given."""
        classes = len(settings.names)
        boundary = torch.zeros(6, classes, dtype=torch.int64)
        return cls(
            settings,
            HardPixelCounts.zeros(classes) if counts is None else counts,
            boundary,
            no_objects(classes),
            no_widths(settings.band_widths, classes),
        )

    def merge(self, other: Evaluation) -> Evaluation:
        """Add two evaluations of different images. The rows are sorted by name.

        Raises:
            CountsFileError: the settings differ, the rules by which files were read are known and
                differ, or an image is in both.
        """
        _check_same(vars(self.settings), vars(other.settings))
        sources = self._all_sources()
        for one in other._all_sources():
            if one not in sources:
                _check_same(sources[0].rules() if sources else one.rules(), one.rules())
                sources.append(one)
        one_place = self.sources is not None and len(sources) == 1
        merged = Evaluation.empty(self.settings)
        for part in (self, other):
            merged.absorb(part)
        merged.images.sort()
        merged.skipped.sort()
        merged.shards = sorted({*self.shards, *other.shards})
        merged.sources = self.sources if one_place else None
        merged.several = [] if one_place else sources
        return merged

    def absorb(self, other: Evaluation) -> None:
        """Add an evaluation of other images in place, without checking that the settings agree.

        Raises:
            CountsFileError: an image is in both; nothing is added.
        """
        names = self._check_apart(other)
        for mine, theirs in zip(self._tables(), other._tables(), strict=True):
            mine.add_(theirs.to(mine.device))
        self.void_pixels += other.void_pixels
        self.resized_images += other.resized_images
        self.images += other.images
        self._names |= names
        self.skipped += other.skipped
        self.undrawn = self.undrawn or other.undrawn
        if self.drawn is None:
            self.drawn = other.drawn
        elif other.drawn is not None:
            self.drawn.absorb(other.drawn)

    def _tables(self) -> list[Tensor]:
        more = [getattr(self, name) for name in _TENSORS]
        return [self.counts.confusion, self.counts.edges, *more]

    def _all_sources(self) -> list[Sources]:
        return [*self.several] if self.sources is None else [self.sources]

    def _check_apart(self, other: Evaluation) -> set[str]:
        """Return the image names of another evaluation, none of which may be in this one."""
        if len(self._names) != len(self.images):  # rows were added to or removed from the list
            self._names = {row.name for row in self.images}
        names = {row.name for row in other.images}
        twice = self._names & names
        if len(names) < len(other.images):
            twice |= {
                name for name, n in Counter(row.name for row in other.images).items() if n > 1
            }
        if twice:
            raise CountsFileError(
                f"{len(twice):,} {'images are' if len(twice) > 1 else 'image is'} counted twice: "
                + ", ".join(printable(name) for name in sorted(twice)[:4])
            )
        return names

    def __getstate__(self) -> dict[str, Any]:
        """Store tensors as arrays, which are far cheaper to send between processes."""
        tensors = {name: getattr(self, name).cpu().numpy() for name in _TENSORS}
        counts = [part.cpu().numpy() for part in (self.counts.confusion, self.counts.edges)]
        return vars(self) | tensors | {"counts": counts, "_names": set()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        tensors = {name: torch.from_numpy(state[name]) for name in _TENSORS}
        counts = HardPixelCounts(*map(torch.from_numpy, state["counts"]))
        vars(self).update(state | tensors, counts=counts)

    def worst(self, limit: int = 5) -> list[ImageRow]:
        """Return the images of lowest mIoU, worst first; images without any class come last."""
        return sorted(self.images, key=lambda row: (math.isnan(row.miou), row.miou))[:limit]

    def warnings(self) -> list[str]:
        """Return warnings about figures that may be misleading.

        Labels may not match the class set, files may have been paired by the common parts of their
        names or come from several folders, predictions may have been resized, and shards may be
        missing.
        """
        found = label_warnings(
            self.counts.confusion.sum(0),
            self.void_pixels,
            self.settings.names,
            self.settings.ignore_index,
        )
        sources = self._all_sources()
        guessed = dict.fromkeys(one.found_by for one in sources if not one.rule)
        found += [f"paired by what names have in common: {rule}" for rule in guessed if rule]
        for name in ("predictions", "targets", "pairs"):
            places = [*dict.fromkeys(one.places()[name] for one in sources)]
            if len(places) > 1:
                more = f" and {len(places) - _LISTED:,} more" if len(places) > _LISTED else ""
                found.append(
                    f"{name} of {len(places):,} places were added up: "
                    f"{', '.join(places[:_LISTED])}{more}"
                )
        if self.resized_images:
            found.append(
                f"{self.resized_images:,} of {len(self.images):,} predictions were resized to the "
                "size of their target, by nearest neighbour"
            )
        missing = missing_shards(self.shards)
        if missing:
            found.append(f"not all images are counted; missing shards: {missing}")
        return found

    def regroup(self, groups: Groups) -> None:
        """Assign the images to groups, which are resampled as a whole.

        Raises:
            GroupError: an image has no group.
        """
        groups.check([row.name for row in self.images])
        self.images = [row._replace(group=groups.of(row.name)) for row in self.images]

    def intervals(self) -> Intervals:
        """Estimate confidence intervals of the six figures; see :func:`find_intervals`."""
        images = tuple(Unit(row.margins, row.group, row.no_margins) for row in self.images)
        return find_intervals(images, len(self.settings.names))

    def mean_metrics(self) -> dict[str, float | None]:
        """Return the metrics that are a single number, as fractions; None where undefined."""
        found = scores(self.counts).items()
        return {name: defined(value) for name, value in found if value.ndim == 0}

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain values for JSON; metrics are fractions or None."""
        table = self.counts.confusion
        values = defined(scores(self.counts))
        metrics = {name: value for name, value in values.items() if not isinstance(value, list)}
        columns = {name: values[f"{name}_per_class"] for name in TABLE_METRICS}
        if self.settings.boundary:
            extra = {
                "boundary_IoU": boundary_iou(self.boundary[:2]),
                "boundary_F": boundary_f_score(self.boundary[2:]),
            }
            metrics |= {name: defined(value.nanmean()) for name, value in extra.items()}
            columns |= {name: defined(value) for name, value in extra.items()}
        gains = miou_gain(table)
        gain_columns = {key: defined(per_class) for key, (_, per_class) in gains.items()}
        pixels = table.sum((0, 2)).tolist()
        return {
            "class_set": self.settings.class_set,
            "ignore_index": self.settings.ignore_index,
            "protocol": self.settings.protocol,
            "band_width": self.settings.band_width,
            "images": len(self.images),
            "metrics": metrics,
            "classes": [
                {"name": name}
                | {metric: column[index] for metric, column in columns.items()}
                | {"pixels": pixels[index]}
                | {"IoU_gain": {key: column[index] for key, column in gain_columns.items()}}
                for index, name in enumerate(self.settings.names)
            ],
            "intervals": self._intervals(),
            "fine_grained": self._fine_grained(),
            "void_pixels": self.void_pixels,
            "resized_images": self.resized_images,
            "warnings": self.warnings(),
            "error_shares": defined(error_shares(table)),
            "mIoU_gain": {key: defined(mean) for key, (mean, _) in gains.items()},
            "boundary_gain": defined(boundary_gain(table)),
            "costly_pairs": {kind.key: self._pairs(kind) for kind in ERROR_KINDS},
            "covered_by_bands": covered_by_bands(table, self.settings.names),
            **self._objects(),
            **self._widths(),
            "per_image": [
                {
                    "name": row.name,
                    "mIoU": defined(row.miou),
                    "error_pixels": {
                        kind.key: count
                        for kind, count in zip(ERROR_KINDS, row.error_pixels, strict=True)
                    },
                }
                | _digests(row)
                | _margins(row)
                | ({"group": row.group} if row.group else {})
                | self._image_objects(row)
                for row in self.images
            ],
            "skipped": self.skipped,
            "sources": None if self.sources is None else self.sources.to_dict(),
            "environment": environment(),
        }

    def _repr_html_(self) -> str:
        found = scores(self.counts)
        rows = [
            {"class": name}
            | {key: _percent(found[f"{key}_per_class"][index]) for key in TABLE_METRICS}
            for index, name in enumerate(self.settings.names)
        ]
        means = {key: _percent(found[f"{key}_per_class"].nanmean()) for key in TABLE_METRICS}
        images = f"{len(self.images):,} images" if len(self.images) != 1 else "1 image"
        note = (
            f"{images}, {self.settings.class_set}, protocol {self.settings.protocol}, bands of "
            f"{self.settings.band_width} px; in percent"
        )
        return html_table([*rows, {"class": "mean"} | means], note)

    def _intervals(self) -> dict[str, Any]:
        found = self.intervals()
        limits = torch.stack([found.low, found.high], -1).tolist()
        pairs = [[None if math.isnan(low) else [low, high] for low, high in row] for row in limits]
        return found.about() | by_figure(pairs, self.settings.names)

    def _fine_grained(self) -> dict[str, float | None] | None:
        kept = [row.margins for row in self.images if row.margins is not None]
        if len(kept) < len(self.images):
            return None
        found = fine_grained_miou(MarginTable.of(kept, len(self.settings.names)))
        fine: dict[str, float | None] = defined(found)
        return fine

    def _objects(self) -> dict[str, Any]:
        recall, names = self.settings.object_recall, self.settings.names
        return {} if recall is None else {"objects": objects_result(self.objects, recall, names)}

    def _widths(self) -> dict[str, Any]:
        if not self.settings.band_widths:
            return {}
        widths = BandWidths.parse(self.settings.band_widths)
        return {"widths": widths_result(self.widths, widths, self.settings.names)}

    def _image_objects(self, row: ImageRow) -> dict[str, Any]:
        if self.settings.object_recall is None:
            return {}
        return {"objects": image_objects_result(row.objects, self.settings.names)}

    def _pairs(self, kind: Any) -> list[dict[str, Any]]:
        names = self.settings.names
        return [
            {
                "target": names[pair.target],
                "prediction": names[pair.preds],
                "pixels": pair.pixels,
                "mIoU_gain": defined(pair.miou_gain),
            }
            for pair in costly_pairs(self.counts.confusion, kind)
        ]


def _check_same(first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
    """Raise CountsFileError at the first key whose values differ; a missing key counts as None."""
    for name in {**first, **second}:
        mine, theirs = first.get(name), second.get(name)
        if mine != theirs:
            raise CountsFileError(
                f"{name}: expected {shorten(mine)} as in the first, got {shorten(theirs)}"
            )


def _margins(row: ImageRow) -> dict[str, str]:
    if row.margins is None:
        return {"no_margins": row.no_margins}
    return {"margins": margins_to_text(row.margins)}


def _digests(row: ImageRow) -> dict[str, Any]:
    if not all(row.digests):
        return {}
    return {"digests": dict(zip(("prediction", "target"), row.digests, strict=True))}


def _percent(value: Tensor) -> str:
    """Format a scalar fraction in percent; a dash for NaN."""
    return "-" if value.isnan() else f"{100 * value.item():.2f}"
