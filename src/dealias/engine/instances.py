"""Instance segmentation: training, testing and prediction."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dealias.data.instances import InstanceDataModule, check_instances, instance_contact_sheet
from dealias.engine import Optimization, Training
from dealias.engine.parsing import FreeOptions
from dealias.engine.tasks import Task
from dealias.engine.training import ScoreAliasing, build_network
from dealias.evaluation.instances import (
    InstanceEvaluation,
    coco_results,
    detection_outlines,
    draw_outlines,
    target_outlines,
    write_detections,
)
from dealias.files import make_parents, write_json
from dealias.labels import spread_colors
from dealias.metrics.instances import (
    OVERLAPS,
    AnnotatedImage,
    DetectionArea,
    Detections,
    check_detection_area,
)
from dealias.models.detectors import Size, create_detector, feature_consistency, stack_images
from dealias.report.instances import InstanceExample, InstanceReportWriter
from dealias.text import printable

_NO_BRIGHT = "consistency: expected bright images; data.dark.keep_bright has them"
_SURE = 0.3  # lowest score of detections in pictures of validation


class Prediction:
    """An image and its detections, in a form that Lightning passes on unchanged.

    Attributes:
        image: the image with its annotated instances.
        detections: the detected instances.
    """

    def __init__(self, image: AnnotatedImage, detections: Detections) -> None:
        self.image = image
        self.detections = detections

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the image and the detections."""
        return iter((self.image, self.detections))


class InstanceTask(Training):
    """A network for instance segmentation, its training and its evaluation.

    Training batches come from :func:`dealias.instance.collate_instances`; the others have one
    image each and come from :class:`dealias.instance.InstanceDataModule`.

    Args:
        network: arguments of :func:`dealias.instance.create_detector` except `num_classes`.
        classes: names of the classes of the data set.
        optimization: optimizer and learning rates.
        consistency: weight of :func:`feature_consistency` between dark images and their bright
            copies, for example 0.01; 0 turns it off. Batches must include the bright copies.
        seed: seed of the random numbers in training.
        detection_area: area of a detection for APs, APm and APl of masks, "mask" or "box"; see
            :func:`dealias.instance.average_precision`.
    """

    create = staticmethod(create_detector)
    monitor = "val/mask_AP"
    progress = tuple(f"{overlap}_AP" for overlap in OVERLAPS)
    page_title = "Instances"
    written = ("result.json", "detections.json")

    def __init__(
        self,
        network: FreeOptions,
        classes: Sequence[str],
        optimization: Optimization = Optimization(),  # noqa: B008 - it is frozen
        consistency: float = 0.0,
        seed: int = 0,
        detection_area: DetectionArea = "mask",
    ) -> None:
        if not 0 <= consistency < math.inf:
            raise ValueError(f"consistency: expected a weight from 0 on, got {consistency}")
        built = build_network(self.create, network, num_classes=len(classes))
        super().__init__(built, optimization, seed, classes)
        self.classes = tuple(classes)
        self.consistency = consistency
        self.detection_area: DetectionArea = check_detection_area(detection_area)
        self._ids: dict[int, int] | None = None

    def stack(self, images: Sequence[Tensor]) -> tuple[Tensor, list[Size]]:
        """The input of the network for images, uint8 [3, h, w], and their sizes."""
        return stack_images([self.scaled(image.as_subclass(Tensor)) for image in images])

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor:
        """The loss of a batch.

        Raises:
            TrainingError: the loss is not finite.
            ValueError: the consistency loss has no bright images.
        """
        self.skip(batch["skipped"])
        images, sizes = self.stack(batch["image"])
        features = self.network.features(images)
        terms = self.network.loss(images, sizes, batch["target"], features)
        if self.consistency:
            if "bright" not in batch:
                raise ValueError(_NO_BRIGHT)
            bright, _ = self.stack(batch["bright"])
            term = feature_consistency(self.network.features(bright), features)
            terms["consistency"] = self.consistency * term
        return self.add_up(terms, batch["name"])

    def check_data(self, datamodule: Any) -> None:
        """Refuse data without bright images if the consistency loss needs them.

        Raises:
            ValueError: there are no bright images.
        """
        if self.consistency and not getattr(datamodule, "keep_bright", True):
            raise ValueError(_NO_BRIGHT)

    def on_test_epoch_start(self) -> None:
        """Start with empty results, and look up the category ids of the annotation file."""
        super().on_test_epoch_start()
        self._ids = self._category_ids()

    def on_predict_start(self) -> None:
        """Use the class numbers as category ids, even after a test that used others."""
        self._ids = None

    def predict_step(self, batch: Mapping[str, Any], batch_idx: int) -> Prediction | None:
        """The one image of a batch with its detections; None if it was skipped."""
        (image,), (record,) = batch["image"], batch["record"]
        if image is None:
            return None
        stacked, sizes = self.stack([image])
        try:
            (found,) = self.network.detect(stacked, sizes, [record.size])
        except ValueError as error:  # such as scores that are not finite
            raise ValueError(f"{printable(record.name)}: {error}") from error
        return Prediction(record, found)

    def empty_results(self) -> InstanceEvaluation:
        """An evaluation without images."""
        return InstanceEvaluation(self.classes, detection_area=self.detection_area)

    def count(
        self,
        results: InstanceEvaluation,
        batch: Mapping[str, Any],
        outputs: Prediction,
    ) -> None:
        """Add an image and its detections to an evaluation."""
        results.absorb(*outputs)

    def figures(self, results: InstanceEvaluation) -> dict[str, float]:
        """Average precision of boxes, masks and boundaries; NaN without images."""
        results.notes = list(getattr(getattr(self.trainer, "datamodule", None), "notes", []))
        found = results.average_precision() if results.found else {}
        return {
            f"{overlap}_{name}": found[overlap].scores[name] if found else math.nan
            for overlap in OVERLAPS
            for name in ("AP", "AP50", "AP75")
        }

    def write_results(self, folder: Path, more: Mapping[str, Any] | None = None) -> None:
        """Write the results of the last test: result.json and detections.json."""
        super().write_results(folder, more)
        write_detections(self.tested(), folder / "detections.json", self._ids)

    def _category_ids(self) -> dict[int, int] | None:
        """Category ids by label, from the annotation file of the test if there is one."""
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, InstanceDataModule):
            return None
        found = sorted(data.instances("test").labels.items(), reverse=True)
        return {label: id_ for id_, label in found} or None  # the lowest id if there are several

    def write_prediction(self, folder: Path, name: str, outputs: Prediction) -> None:
        """Write the detections in COCO's results format, as NAME.json.

        A test uses the category ids of the annotation file. Prediction has no such file, so
        category ids are 1 to C, and image ids are the numbers of the images.
        """
        path = folder / f"{name}.json"
        make_parents(path)
        write_json(coco_results(outputs.image, outputs.detections, self.classes, self._ids), path)

    def picture(self, batch: Mapping[str, Any], outputs: Prediction) -> NDArray[np.uint8]:
        """The image of a batch, its annotated and detected instances, uint8 [H, 3 * W, 3]."""
        record, found = outputs
        photograph = _as_picture(batch["image"][0], record.size)
        colors = spread_colors(len(self.classes))
        drawn = [
            draw_outlines(photograph, outlines, width=2)
            for outlines in (
                target_outlines(record, colors),
                detection_outlines(found, colors, _SURE),
            )
        ]
        return np.concatenate([photograph, *drawn], axis=1)

    def page_writer(self, folder: Path) -> InstanceReportWriter:
        """A writer of a page of detected, missed and false instances."""
        return InstanceReportWriter(folder)

    def example(
        self, batch: Mapping[str, Any], outputs: Prediction, score: ScoreAliasing
    ) -> InstanceExample:
        """The one image of a batch with its detections and aliasing scores."""
        record, found = outputs
        (image,) = batch["image"]
        (original,) = batch.get("original", [None])
        images, ((height, width),) = self.stack([image])
        scores = score(self.network.backbone, images)
        aliasing = None
        if scores is not None:
            own = Image.fromarray(scores[0, :height, :width].cpu().numpy())  # without padding
            size = (record.size[1], record.size[0])
            aliasing = np.asarray(own.resize(size, Image.Resampling.NEAREST))
        return InstanceExample(
            record,
            found,
            _as_picture(image, record.size),
            None if original is None else _as_picture(original, record.size),
            aliasing,
        )

    def page_result(self) -> InstanceEvaluation:
        """The results of the last test."""
        results: InstanceEvaluation = self.tested()
        return results

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Also save the name of the task."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["hyper_parameters"]["task"] = "instance"


def _as_picture(image: Tensor, size: tuple[int, int]) -> NDArray[np.uint8]:
    """An image, uint8 [3, h, w], resized to `size`, (H, W), as uint8 [H, W, 3]."""
    pixels: NDArray[np.uint8] = image.permute(1, 2, 0).cpu().numpy()
    if pixels.shape[:2] != size:
        resized = Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BICUBIC)
        pixels = np.asarray(resized)
    return pixels


TASK = Task(
    "instance",
    InstanceTask,
    InstanceDataModule,
    check_instances,
    instance_contact_sheet,
    "dealias.cli.instances",
)
