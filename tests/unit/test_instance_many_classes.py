"""Instances of more classes than a byte holds."""

import html
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from coco_files import SIZE, case, judge, read, scores_of, without, write_images
from dealias.engine.instances import Prediction
from dealias.instance import (
    Detections,
    InstanceDataModule,
    InstanceExample,
    InstanceReportWriter,
    InstanceTask,
    check_instances,
    instance_contact_sheet,
    read_annotations,
    target_of,
)
from dealias.labels import spread_colors
from dealias.report.instances.writer import KINDS
from detectors import SMALL
from reports import script_arguments


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("images"))


def lvis_like(count, seed=0):
    """Annotations and results of so many categories, with the keys of LVIS."""
    categories = {k: f"thing_{k}" for k in range(1, count + 1)}
    content, results = case(seed, categories)
    for image in content["images"]:
        name = image.pop("file_name")
        image |= {
            "coco_url": f"http://images.cocodataset.org/val2017/{name}",
            "not_exhaustive_category_ids": [],
            "neg_category_ids": [3],
        }
    for category in content["categories"]:
        category |= {"frequency": "r", "synset": "thing.n.01", "synonyms": []}
    found = {entry["category_id"] for entry in content["annotations"]}
    assert max(found) > 255
    return content, results


class TestManyCategories:
    @pytest.mark.parametrize("count", [256, 300, 1203])
    def test_from_file_to_page(self, count, folder, tmp_path):
        content, results = lvis_like(count)
        instances, found = read(tmp_path, content, results, images=folder)
        assert len(instances.classes) == count
        expected, by_category = judge(content, without(results, "bbox"), "segm")
        assert scores_of(found) == pytest.approx(expected, abs=1e-6, nan_ok=True)
        classes = found.average_precision()["mask"].classes
        for category in content["categories"]:
            theirs = by_category[category["id"]]
            assert classes[category["name"]] == pytest.approx(
                math.nan if theirs == -1 else theirs, abs=1e-6, nan_ok=True
            )
        assert instances.notes[0].startswith("not every category was looked for in every image")
        with InstanceReportWriter(tmp_path / "page") as writer:
            for image, detections in found.found:
                writer.add(InstanceExample(image, detections, np.zeros((*SIZE, 3), np.uint8)))
            writer.finish(found)
        page = (tmp_path / "page" / "index.html").read_text("utf-8")
        assert f"thing_{count}" in page
        assert instances.notes[0] in html.unescape(page)
        (data,) = script_arguments(
            "dealias.start", (tmp_path / "page" / "assets" / "data.js").read_text()
        )
        assert [entry["name"] for entry in data["classes"]] == list(instances.classes)
        drawn = {number for row in data["rows"] for number in row[7][:: len(KINDS) + 1]}
        there = {one.label - 1 for image in instances.images for one in image.instances}
        assert drawn >= {label for label in there if not found_only_crowds(instances, label + 1)}

    def test_folders_of_the_address_may_be_there(self, tmp_path):
        content, _ = lvis_like(300)
        (tmp_path / "val2017").mkdir()
        for k in range(12):
            Image.new("RGB", SIZE[::-1]).save(tmp_path / "val2017" / f"{k}.png")
        instances = read_annotations(content, images=tmp_path)
        assert instances.images[3].name == "val2017/3.png"
        assert instances.images[3].path == tmp_path / "val2017" / "3.png"

    def test_data_check_and_sheet(self, folder, tmp_path):
        content, _ = lvis_like(300)
        (tmp_path / "train.json").write_text(json.dumps(content), "utf-8")
        names = [category["name"] for category in content["categories"]]
        data = InstanceDataModule(
            name="coco",
            root=str(tmp_path),
            classes=names,
            images={"train": str(folder)},
            annotations={"train": "train.json"},
            workers=0,
        )
        (split,) = check_instances(data, parts=["train"]).splits
        assert split.notes[0].startswith("not every category was looked for")
        assert split.instances == sum(not entry["iscrowd"] for entry in content["annotations"])
        assert instance_contact_sheet(data, samples=2).dtype == np.uint8

    def test_training_and_pictures(self, folder):
        content, _ = lvis_like(300)
        instances = read_annotations(content, images=folder)
        network = {"name": "mask_rcnn", "backbone": "test_resnet", "options": SMALL["mask_rcnn"]}
        task = InstanceTask(network, instances.classes)
        record = next(image for image in instances.images if image.instances)
        image = torch.zeros(3, *SIZE, dtype=torch.uint8)
        images, sizes = task.stack([image])
        target = {**target_of(record), "labels": torch.full((len(record.instances),), 300)}
        terms = task.network.loss(images, sizes, [target], task.network.features(images))
        assert all(torch.isfinite(term) for term in terms.values())
        masks = [instance.mask for instance in record.instances]
        boxes = torch.tensor([instance.box for instance in record.instances])
        labels = torch.full((len(masks),), 300)
        found = Detections(boxes, labels, torch.ones(len(masks)), masks)
        picture = task.picture({"image": [image]}, Prediction(record, found))
        assert picture.shape == (SIZE[0], 3 * SIZE[1], 3)
        color = spread_colors(300)[299]
        assert (picture[:, 2 * SIZE[1] :] == color).all(-1).any()


def found_only_crowds(instances, label):
    """Whether all instances of a class are crowds."""
    return all(
        one.crowd for image in instances.images for one in image.instances if one.label == label
    )
