"""Where each data set keeps its images, label maps and splits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from textwrap import dedent


@dataclass(frozen=True)
class Layout:
    """How a data set is laid out below its root.

    Attributes:
        tree: the layout, as shown in messages.
        images: folder of the images; "{split}" stands for the split.
        labels: folders of the label maps, in order of precedence.
        lists: folder of text files with the names of a split, one per line, for data sets whose
            images are all in one folder; None if a split is a folder.
        joined: for splits without their own list, the lists that make them up.
        aliases: other names of a split.
        inner: folders below the root that may contain the data set.
        classes: class set; None if it must be given.
        train: the default split to train on.
    """

    tree: str
    images: str = "images/{split}"
    labels: tuple[str, ...] = ("labels/{split}",)
    lists: str | None = None
    joined: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    inner: tuple[str, ...] = ()
    classes: str | None = None
    train: str = "train"


def _tree(text: str) -> str:
    return dedent(text).strip("\n")


LAYOUTS: dict[str, Layout] = {
    "ade20k": Layout(
        tree=_tree("""
            images/
              training/ADE_train_00000001.jpg ...
              validation/ADE_val_00000001.jpg ...
            annotations/
              training/ADE_train_00000001.png ...
              validation/ADE_val_00000001.png ...
        """),
        labels=("annotations/{split}",),
        aliases={"train": "training", "val": "validation"},
        inner=("ADEChallengeData2016", "ade/ADEChallengeData2016"),
        classes="ade20k",
    ),
    "camvid": Layout(
        tree=_tree("""
            train/0001TP_006690.png (or .jpg) ...
            trainannot/0001TP_006690.png ...
            val/, valannot/, test/, testannot/ likewise
        """),
        images="{split}",
        labels=("{split}annot",),
        inner=("CamVid",),
        classes="camvid",
    ),
    "cityscapes": Layout(
        tree=_tree("""
            leftImg8bit/
              train/aachen/aachen_000000_000019_leftImg8bit.png ...
              val/frankfurt/frankfurt_000000_000294_leftImg8bit.png ...
            gtFine/
              train/aachen/aachen_000000_000019_gtFine_labelIds.png (or _labelTrainIds) ...
              val/frankfurt/frankfurt_000000_000294_gtFine_labelIds.png ...
        """),
        images="leftImg8bit/{split}",
        labels=("gtFine/{split}",),
        classes="cityscapes",
    ),
    "folder": Layout(
        tree=_tree("""
            images/train/a.jpg, images/val/b.jpg ...
            labels/train/a.png, labels/val/b.png ...
          or, for splits that are lists of names such as train.txt,
            images/a.jpg, images/b.jpg ...
            labels/a.png, labels/b.png ...
            train.txt, val.txt
        """),
    ),
    "voc2012": Layout(
        tree=_tree("""
            JPEGImages/2007_000032.jpg ...
            SegmentationClass/2007_000032.png ...
            ImageSets/Segmentation/train.txt, val.txt
          and for train_aug, the annotations of SBD,
            SegmentationClassAug/2008_000002.png ...
            ImageSets/Segmentation/trainaug.txt, or aug.txt with the names not in train.txt
        """),
        images="JPEGImages",
        labels=("SegmentationClass", "SegmentationClassAug"),
        lists="ImageSets/Segmentation",
        joined={"trainaug": ("train", "aug")},
        aliases={"train_aug": "trainaug"},
        inner=("VOCdevkit/VOC2012", "VOC2012"),
        classes="voc2012",
        train="train_aug",
    ),
}
