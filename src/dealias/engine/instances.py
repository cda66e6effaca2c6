"""Training, testing and prediction of a network for instances, for PyTorch Lightning."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dealias.data.instances import InstanceDataModule, check_instances, instance_contact_sheet
from dealias.engine import Optimization, Training
from dealias.engine.training import ScoreAliasing, Task, build_network
from dealias.evaluation.instances import (
    InstanceEvaluation,
    coco_results,
    detection_outlines,
    draw_outlines,
    target_outlines,
    write_detections,
)
from dealias.files import write_json
from dealias.labels import spread_colors
from dealias.metrics.instances import (
    OVERLAPS,
    AnnotatedImage,
    DetectionArea,
    Detections,
    check_detection_area,
)
from dealias.models.detectors import Size, create_detector, feature_consistency, stack_images
from dealias.processes import gather
from dealias.report.instances import InstanceExample, InstanceReportWriter
from dealias.text import printable

_LOGGED = ("AP", "AP50", "AP75")
_NO_BRIGHT = "consistency: expected bright images; data.dark.keep_bright has them"
_SURE = 0.3  # score of the detections in pictures of validation


class Prediction:
    """An image and what was found in it, in this order; Lightning passes it on as it is.

    Attributes:
        image: with the instances that are known to be in it.
        detections: what was found.
    """

    def __init__(self, image: AnnotatedImage, detections: Detections) -> None:
        self.image = image
        self.detections = detections

    def __iter__(self) -> Iterator[Any]:
        """The image, and then the detections."""
        return iter((self.image, self.detections))


class InstanceTask(Training):
    """A network for instances, how it is trained, and how it is judged.

    Training batches are those of :func:`dealias.instance.collate_instances`; the others have one
    image, as :class:`dealias.instance.InstanceDataModule` gives them.

    Args:
        network: arguments of :func:`dealias.instance.create_detector` but `num_classes`.
        classes: names of the classes, those of the data set.
        optimization: how weights are learnt.
        consistency: weight of :func:`feature_consistency` between dark images and their bright
            copies, such as 0.01; 0 for none. Batches need the bright copies.
        seed: of the randomness in training.
        detection_area: what APs, APm and APl of masks take for the area of a detection, "mask" or
            "box"; see :func:`dealias.instance.average_precision`.

    Attributes:
        results: what the last validation or test found, in every process; None before.
    """

    create = staticmethod(create_detector)
    monitor = "val/mask_AP"
    page_title = "Instances"

    def __init__(
        self,
        network: dict[str, Any],
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
        self.results: InstanceEvaluation | None = None
        self.detection_area: DetectionArea = check_detection_area(detection_area)
        self._part = self._nothing()
        self._ids: dict[int, int] | None = None

    def stack(self, images: Sequence[Tensor]) -> tuple[Tensor, list[Size]]:
        """Images uint8 [3, h, w] as the network takes them, and their sizes."""
        device = images[0].device
        mean, std = (
            torch.tensor(values, device=device).mul_(255)[:, None, None]
            for values in (self.network.mean, self.network.std)
        )
        return stack_images([(image.as_subclass(Tensor) - mean) / std for image in images])

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor:
        """The loss of a batch.

        Raises:
            TrainingError: it is not finite.
            ValueError: there are no bright images to be consistent with.
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
        """Refuse data without bright images if there is a loss of consistency with them.

        Raises:
            ValueError: there are none.
        """
        if self.consistency and not getattr(datamodule, "keep_bright", True):
            raise ValueError(_NO_BRIGHT)

    def on_validation_epoch_start(self) -> None:
        """Count from nothing."""
        self._part = self._nothing()

    def on_test_epoch_start(self) -> None:
        """Count from nothing, and look up what the annotation file calls the classes."""
        self.on_validation_epoch_start()
        self._ids = self._category_ids()

    def on_predict_start(self) -> None:
        """Number the classes, whatever a test before called them."""
        self._ids = None

    def validation_step(self, batch: Mapping[str, Any], batch_idx: int) -> Any:
        """What is found in the one image of a batch, kept; None if it was skipped."""
        self._part.skipped += batch["skipped"]
        found = self.predict_step(batch, batch_idx)
        if found is not None:
            self._part.absorb(*found)
        return found

    test_step = validation_step

    def predict_step(self, batch: Mapping[str, Any], batch_idx: int) -> Any:
        """The one image of a batch with what is found in it; None if it was skipped."""
        (image,), (record,) = batch["image"], batch["record"]
        if image is None:
            return None
        stacked, sizes = self.stack([image])
        try:
            (found,) = self.network.detect(stacked, sizes, [record.size])
        except ValueError as error:  # such as scores that are not finite
            raise ValueError(f"{printable(record.name)}: {error}") from error
        return Prediction(record, found)

    def on_validation_epoch_end(self) -> None:
        """Put together what all processes found, and log average precision."""
        self._finish("val")

    def on_test_epoch_end(self) -> None:
        """Put together what all processes found, and log average precision."""
        self._finish("test")

    def _nothing(self) -> InstanceEvaluation:
        return InstanceEvaluation(self.classes, detection_area=self.detection_area)

    def _finish(self, stage: str) -> None:
        total = self._nothing()
        for part in gather(self._part, self.trainer.world_size):
            total = total.merge(part)
        total.skipped = [*self.left_out(), *total.skipped]
        total.notes = list(getattr(getattr(self.trainer, "datamodule", None), "notes", []))
        self.results = total
        found = total.average_precision() if total.found else {}
        for overlap in OVERLAPS:
            for name in _LOGGED:
                value = found[overlap].scores[name] if found else math.nan
                key = f"{stage}/{overlap}_{name}"
                self.log(key, value, sync_dist=True, prog_bar=name == "AP")

    def write_results(self, folder: Path, more: Mapping[str, Any] | None = None) -> None:
        """Write what the last test found: average precision, and the detections."""
        results = self._tested()
        folder.mkdir(parents=True, exist_ok=True)
        write_json(results.to_dict() | dict(more or {}), folder / "result.json")
        write_detections(results, folder / "detections.json", self._ids)

    def _category_ids(self) -> dict[int, int] | None:
        """Ids of the categories in the annotation file of the test by label, if it has one."""
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, InstanceDataModule):
            return None
        found = sorted(data.instances("test").labels.items(), reverse=True)
        return {label: id_ for id_, label in found} or None  # the lowest id of several

    def write_prediction(self, folder: Path, name: str, outputs: Prediction) -> None:
        """Write what was found in COCO's format of results, as NAME.json.

        Ids of categories are those of the annotation file in a test; in prediction, which knows of
        none, 1 .. C, and ids of images their numbers.
        """
        path = folder / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(coco_results(outputs.image, outputs.detections, self.classes, self._ids), path)

    def picture(self, batch: Mapping[str, Any], outputs: Prediction) -> NDArray[np.uint8]:
        """An image as the network saw it, with its instances, and with what was found.

        Returns:
            The three side by side, uint8 (H, 3 W, 3).
        """
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
        """What writes a page of found, missed and false instances to a folder."""
        return InstanceReportWriter(folder)

    def example(
        self, batch: Mapping[str, Any], outputs: Prediction, score: ScoreAliasing
    ) -> InstanceExample:
        """The one image of a batch with what was found in it; see :class:`Training`."""
        record, found = outputs
        (image,) = batch["image"]
        (original,) = batch.get("original", [None])
        images, ((height, width),) = self.stack([image])
        scores = score(self.network.backbone, images)
        aliasing = None
        if scores is not None:
            own = Image.fromarray(scores[0, :height, :width].cpu().numpy())  # without the padding
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
        """What the last test found."""
        return self._tested()

    def _tested(self) -> InstanceEvaluation:
        if self.results is None:
            raise ValueError("results: expected those of a test, got none")
        return self.results

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what the network is, so that it can be built from the checkpoint alone."""
        checkpoint["hyper_parameters"] = {
            "task": "instance",
            "network": self.network.config,
            "classes": {"names": list(self.classes)},
        }


def _as_picture(image: Tensor, size: tuple[int, int]) -> NDArray[np.uint8]:
    """An image uint8 [3, h, w] as pixels (H, W, 3) of a size (H, W)."""
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
