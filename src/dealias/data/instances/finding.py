"""Finding the instances of a data set: LIS, files in COCO's format or label maps."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from dealias.data.finding import DataError, check_paired, find_root, find_samples, spread
from dealias.data.instances.annotations import read_annotations
from dealias.data.instances.categories import COCO_CLASSES, LIS_CLASSES
from dealias.data.instances.from_labels import label_maps_to_coco
from dealias.data.instances.records import InstanceSet, Problem
from dealias.data.layouts import LAYOUTS
from dealias.labels import LabelFileError, load_class_set
from dealias.text import printable, shorten

Shot = Literal["RGB-normal", "RGB-dark", "RAW-normal", "RAW-dark"]
Split = Literal["train", "test", "traintest"]

LIS_TREE = """\
RGB-normal/JPEGImages/1.JPG ...
RGB-dark/JPEGImages/2.JPG ...
RAW-normal/JPEGImages/1.png ...
RAW-dark/JPEGImages/2.png ...
annotations/lis_coco_{JPG,png}_{train,test,traintest}{,+1}.json, with +1 for dark images"""

COCO_TREE = """\
train2017/000000000009.jpg ...
val2017/000000000139.jpg ...
annotations/instances_train2017.json, annotations/instances_val2017.json"""

# Below the root, by split.
_COCO_IMAGES = {split: f"{split}2017" for split in ("train", "val")}
_COCO_ANNOTATIONS = {split: f"annotations/instances_{split}2017.json" for split in ("train", "val")}
_CAMVID_CLASSES = ("Car", "Pedestrian", "Bicyclist", "SignSymbol")
_DEFAULT_CLASSES = {"lis": LIS_CLASSES, "coco": COCO_CLASSES, "camvid": _CAMVID_CLASSES}


class LisError(ValueError):
    """The data set was not found, or does not have the expected layout."""


class LisFiles(NamedTuple):
    """The files of a part of LIS.

    Attributes:
        images: the folder of the images.
        annotations: the file of their annotations.
    """

    images: Path
    annotations: Path


class Source(NamedTuple):
    """A data set with instances.

    Attributes:
        name: "lis", "coco", or a data set of label maps, such as "camvid".
        root: folder of the data set; None for the environment variable DEALIAS_NAME.
        classes: names of classes 1 .. C.
        splits: splits for "train", "val" and "test".
        shot: which images of LIS to use.
        images: for "coco", the folder of images below the root, by split; without `images` and
            `annotations`, those of COCO 2017.
        annotations: for "coco", the annotation file below the root, by split.
        min_area: for label maps, the smallest number of pixels of an instance.
    """

    name: str
    root: Path | str | None
    classes: tuple[str, ...]
    splits: Mapping[str, str]
    shot: Shot = "RGB-dark"
    images: Mapping[str, str] | None = None
    annotations: Mapping[str, str] | None = None
    min_area: int = 1

    @property
    def is_coco_2017(self) -> bool:
        """Whether this is COCO 2017 as published, rather than other files in COCO's format."""
        return self.name == "coco" and self.images is None and self.annotations is None


def source_names() -> list[str]:
    """Names of data sets with instances."""
    return ["lis", "coco", *sorted(name for name, layout in LAYOUTS.items() if layout.classes)]


def check_options(source: Source) -> None:
    """Raise ValueError if an option is given that the data set does not use."""
    used = {"lis": {"shot"}, "coco": {"images", "annotations"}}.get(source.name, {"min_area"})
    for option, default in Source._field_defaults.items():
        given = getattr(source, option)
        if option not in used and given != default:
            raise ValueError(
                f"{option}: expected none for the data set {source.name}, got {shorten(given)}"
            )


def with_classes(source: Source, classes: Sequence[str] | None) -> Source:
    """A data set with the given classes, by default its own.

    Raises:
        ValueError: no classes are given, and the data set has no default.
    """
    own = source.name != "coco" or source.is_coco_2017
    default = _DEFAULT_CLASSES.get(source.name, ()) if own else ()
    found = tuple(default if classes is None else classes)
    if not found:
        raise ValueError(f"classes: expected the names of classes for the data set {source.name}")
    return source._replace(classes=found)


def find_instances(
    source: Source, part: str, *, limit: int | None = None, skip_bad: bool = False
) -> InstanceSet:
    """Find the instances of "train", "val" or "test".

    Args:
        source: the data set.
        part: "train", "val" or "test".
        limit: use at most this many images, evenly spaced.
        skip_bad: leave out what can't be used, and list it.

    Raises:
        DataError, LisError: the data set was not found.
        AnnotationError, LabelFileError: its annotations or label maps can't be used.
    """
    split = source.splits[part]
    if source.name in LAYOUTS:
        return _of_label_maps(source, split, limit, skip_bad=skip_bad)
    images, annotations = _in_coco_format(source, split)
    found = read_annotations(
        annotations,
        images=images,
        classes=source.classes,
        skip_bad=skip_bad,
        ignore_other_categories=True,
    )
    return replace(found, images=tuple(spread(found.images, limit)))


def target_files(source: Source, part: str) -> list[Path]:
    """The files that define the instances of "train", "val" or "test".

    These are an annotation file, or the label maps of all images of the split.

    Raises:
        DataError, LisError: the data set was not found.
    """
    split = source.splits[part]
    if source.name not in LAYOUTS:
        return [_in_coco_format(source, split)[1]]
    samples = find_samples(source.name, split, root=source.root).samples
    return [sample.label for sample in samples if sample.label is not None]


def _in_coco_format(source: Source, split: str) -> tuple[Path, Path]:
    """The folder of images and the annotation file."""
    if source.name == "lis":
        root, _ = find_root(source.name, source.root, LIS_TREE)
        images, annotations = lis_files(root, source.shot, split)  # type: ignore[arg-type]
        return images, annotations
    published = source.is_coco_2017
    root, _ = find_root(source.name, source.root, COCO_TREE if published else "")
    given = (_COCO_IMAGES, _COCO_ANNOTATIONS) if published else (source.images, source.annotations)
    images = root / _of_split("images", given[0], split)
    annotations = root / _of_split("annotations", given[1], split)
    layout = f"\nExpected in {printable(root)}:\n{COCO_TREE}" if published else ""
    if not images.is_dir():
        raise DataError(f"images: {printable(images)}: not a folder{layout}")
    if not annotations.is_file():
        raise DataError(f"annotations: {printable(annotations)}: no such file{layout}")
    return images, annotations


def lis_files(root: str | Path, shot: Shot, split: Split) -> LisFiles:
    """Find a part of the LIS data set.

    Chen et al., "Instance Segmentation in the Dark", IJCV 2023.

    Args:
        root: the folder, laid out as its authors published it.
        shot: "RGB-normal", "RGB-dark", "RAW-normal" or "RAW-dark".
        split: "train", "test" or "traintest".

    Returns:
        The folder of images, and the annotation file that names images of their format, JPG or png.

    Raises:
        LisError: there is no such part; the message has the expected layout.
    """
    for argument, value, known in (("shot", shot, Shot), ("split", split, Split)):
        if value not in get_args(known):
            names = ", ".join(get_args(known))
            raise LisError(f"{argument}: expected one of {names}, got {value!r}")
    root = Path(root).expanduser()
    images = root / shot / "JPEGImages"
    if not images.is_dir():
        raise _missing(root, f"{printable(images)}: not a folder")
    dark = "+1" if shot.endswith("dark") else ""
    kind = "png" if any(path.suffix.lower() == ".png" for path in images.iterdir()) else "JPG"
    annotations = root / "annotations" / f"lis_coco_{kind}_{split}{dark}.json"
    if not annotations.is_file():
        raise _missing(root, f"{printable(annotations)}: no such file")
    return LisFiles(images, annotations)


def _of_split(name: str, given: Mapping[str, str] | None, split: str) -> str:
    if not given or split not in given:
        known = ", ".join(given or {}) or "none"
        raise DataError(f"{name}: expected a path for split {printable(split)!r}, got {known}")
    return given[split]


def _of_label_maps(source: Source, split: str, limit: int | None, *, skip_bad: bool) -> InstanceSet:
    found = find_samples(source.name, split, root=source.root)
    if not skip_bad:
        check_paired(source.name, split, found.unpaired)
    samples = spread(found.samples, limit)
    folder = os.path.commonpath([sample.image.parent for sample in samples])
    unreadable: list[LabelFileError] = []
    content = label_maps_to_coco(
        samples,
        images=folder,
        class_set=load_class_set(str(LAYOUTS[source.name].classes)),
        classes=source.classes,
        min_area=source.min_area,
        skipped=unreadable if skip_bad else None,
    )
    if unreadable and len(unreadable) == len(samples):
        raise unreadable[0]
    if not content["annotations"]:
        names = ", ".join(map(printable, source.classes))
        raise DataError(
            f"{source.name}, split {printable(split)!r}: no instance of {names} with "
            f"{source.min_area:,} pixels or more in {len(samples):,} label maps"
        )
    instances = read_annotations(content, images=folder, classes=source.classes, skip_bad=skip_bad)
    left_out = [Problem(printable(path), "no partner") for path in found.unpaired]
    left_out += [Problem(printable(error.path), error.problem) for error in unreadable]
    return replace(instances, skipped=(*left_out, *instances.skipped))


def _missing(root: Path, problem: str) -> LisError:
    return LisError(
        f"LIS: {problem}\nLooked in the root, {printable(root)}; expected there:\n{LIS_TREE}"
    )
