"""Networks for instances: losses, detections, de-aliasing."""

import math

import pytest
import torch

from dealias.instance import (
    create_detector,
    decode_masks,
    feature_consistency,
    stack_images,
)
from dealias.instance._mask2former import _detections as of_queries
from dealias.instance._mask_rcnn import _detections as of_boxes
from dealias.models import ModelError

SMALL = {
    "mask_rcnn": {
        "channels": 16,
        "box_channels": 16,
        "mask_channels": 8,
        "mask_convolutions": 1,
        "anchor_sizes": [8, 16, 32, 64, 128],
        "candidates": 60,
        "proposals": 40,
        "boxes_drawn": 16,
    },
    "mask2former": {
        "feature_size": 32,
        "mask_feature_size": 32,
        "hidden_dim": 32,
        "encoder_feedforward_dim": 32,
        "dim_feedforward": 32,
        "encoder_layers": 1,
        "decoder_layers": 2,
        "num_attention_heads": 2,
        "num_queries": 5,
        "train_num_points": 64,
    },
}
NAMES = tuple(SMALL)


def detector(name, **options):
    given = {"num_classes": 3, "backbone": "test_resnet", "options": SMALL[name]} | options
    return create_detector(name, **given)


def target(boxes, labels, size, crowd=None):
    masks = torch.zeros(len(boxes), *size, dtype=torch.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = 1
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor(labels, dtype=torch.int64),
        "masks": masks,
        "iscrowd": torch.tensor(crowd or [0] * len(boxes), dtype=torch.int64),
    }


def batch():
    images, sizes = stack_images([torch.randn(3, 64, 96), torch.randn(3, 50, 70)])
    first = target([(4, 4, 40, 40), (30, 20, 90, 60)], [1, 3], sizes[0])
    return images, sizes, [first, target([(10, 10, 60, 45)], [2], sizes[1])]


def loss_of(model, images, sizes, targets):
    torch.manual_seed(0)
    return model.loss(images, sizes, targets, model.features(images))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dealias", [None, {}])
class TestEach:
    def test_every_weight_learns(self, name, dealias):
        model = detector(name, dealias=dealias)
        terms = loss_of(model, *batch())
        sum(terms.values()).backward()
        assert all(value.isfinite() and value.shape == () for value in terms.values())
        still = [
            key
            for key, p in model.named_parameters()
            if p.grad is None or not p.grad.isfinite().all()
        ]
        assert not still

    def test_images_without_instances_teach_that_there_are_none(self, name, dealias):
        model = detector(name, dealias=dealias)
        images, sizes, _ = batch()
        terms = loss_of(model, images, sizes, [target([], [], size) for size in sizes])
        assert terms["masks"] == 0
        assert terms["classes"] > 0
        sum(terms.values()).backward()

    def test_detections_are_for_the_size_asked_for(self, name, dealias):
        model = detector(name, dealias=dealias).eval()
        images, sizes, _ = batch()
        with torch.no_grad():
            found = model.detect(images, sizes, [(128, 192), (50, 70)])
        for detections, (height, width) in zip(found, [(128, 192), (50, 70)], strict=True):
            assert 0 < len(detections) <= 100
            assert detections.boxes.min() >= 0
            assert (detections.boxes <= torch.tensor([width, height, width, height])).all()
            assert set(detections.labels.tolist()) <= {1, 2, 3}
            assert decode_masks(detections.masks, height, width).shape == (
                len(detections),
                height,
                width,
            )


@pytest.mark.parametrize("name", NAMES)
class TestAlike:
    def test_crowds_are_left_out(self, name):
        model = detector(name)
        images, sizes, targets = batch()
        expected = loss_of(model, images, sizes, targets)
        targets[1] = target([(10, 10, 60, 45), (0, 0, 30, 30)], [2, 1], sizes[1], [0, 1])
        found = loss_of(model, images, sizes, targets)
        for key, value in expected.items():
            torch.testing.assert_close(found[key], value)

    def test_dealiasing_keeps_the_names_of_weights(self, name):
        plain, dealiased = detector(name), detector(name, dealias={})
        assert plain.dealias_report is None
        assert dealiased.dealias_report.inserted
        added = dealiased.state_dict().keys() - plain.state_dict().keys()
        assert plain.state_dict().keys() <= dealiased.state_dict().keys()
        assert added
        assert all(key.startswith("backbone.") and "frequency_mixing" in key for key in added)

    def test_the_configuration_builds_it_anew(self, name):
        model = detector(name, dealias={"mixing": False}, mean=[0.1, 0.2, 0.3])
        again = create_detector(**model.config)
        again.load_state_dict(model.state_dict())
        assert again.config == model.config
        assert again.mean == (0.1, 0.2, 0.3)

    def test_frozen_norms_keep_their_statistics(self, name):
        model = detector(name, frozen_norms=True).train()
        before = {k: v.clone() for k, v in model.state_dict().items() if "running_" in k}
        loss_of(model, *batch())
        changed = [k for k, v in before.items() if not torch.equal(v, model.state_dict()[k])]
        assert before
        assert not [k for k in changed if k.startswith("backbone.")]

    def test_packaged_weights(self, name):
        model = detector(name, backbone="tf_efficientnet_lite0", backbone_weights="packaged")
        stem = model.backbone.conv_stem.weight
        assert stem.std() > 0.1  # random ones are of another size
        other = detector(name, backbone="tf_efficientnet_lite0", backbone_weights="packaged")
        assert torch.equal(stem, other.backbone.conv_stem.weight)


class TestGeometry:
    def test_masks_of_boxes_are_pasted_where_the_boxes_are(self):
        found = {
            "boxes": torch.tensor([[10.0, 5.0, 30.0, 25.0]]),
            "masks": torch.ones(1, 1, 28, 28),
            "labels": torch.tensor([2]),
            "scores": torch.tensor([0.7]),
        }
        detections = of_boxes(found, (50, 100), (100, 400))
        assert detections.boxes.tolist() == [[40, 10, 120, 50]]
        mask = decode_masks(detections.masks, 100, 400)[0]
        assert mask[12:48, 44:116].all()
        assert mask.sum() == pytest.approx(80 * 40, rel=0.06)

    def test_queries_are_scored_by_class_and_mask(self):
        logits = torch.full((2, 8, 10), -20.0)
        logits[0, 2:5, 3:9] = 20
        classes = torch.tensor([[0.1, 0.6], [0.2, 0.3]])
        detections = of_queries(classes, logits)
        assert detections.boxes.tolist() == [[3, 2, 9, 5]] * 2  # the other mask is empty
        assert detections.labels.tolist() == [2, 1]
        assert detections.scores.tolist() == pytest.approx([0.6, 0.1])

    def test_consistency_is_bounded_for_each_value(self):
        bright = [torch.zeros(4), torch.zeros(1, 2)]
        dark = [torch.tensor([0.0, 0.1, 1.0, -5.0]), torch.tensor([[0.2, 0.0]])]
        # Means of 0, 0.01, 0.1, 0.1 and of 0.04, 0.
        assert feature_consistency(bright, dark).item() == pytest.approx((0.0525 + 0.02) / 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 0}, "num_classes: expected a positive integer, got 0"),
        ({"backbone": "no_such_network"}, "timm has no such network"),
        ({"mean": [0.5]}, "mean: expected one for each of R, G and B"),
        ({"options": {"chanels": 3}}, "'chanels'"),
        ({"options": {"channels": 0}}, "channels: expected integers from 1 on"),
        ({"options": {"anchor_sizes": [8, 16]}}, "anchor_sizes: expected 5, got 2"),
        ({"options": {"score_threshold": 2}}, "score_threshold"),
        ({"options": {"score_threshold": "abc"}}, r"score_threshold: expected \[0, 1\), got 'abc'"),
        ({"options": {"pyramid_norms": "maybe"}}, "pyramid_norms: expected true or false"),
        ({"dealias": {"cutof": 0.2}}, "'cutof'"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ModelError, match=message):
        detector("mask_rcnn", **options)


def test_other_names_and_options():
    with pytest.raises(ModelError, match="name: expected mask_rcnn or mask2former"):
        create_detector("yolo", num_classes=3)
    with pytest.raises(ModelError, match="num_querys: no such options of Mask2Former"):
        detector("mask2former", options={"num_querys": 3})


@pytest.mark.slow
def test_mask_rcnn_learns_an_image_by_heart():
    from dealias.instance import AnnotatedImage, Instance, average_precision, encode_masks

    model = detector("mask_rcnn")
    images, sizes = stack_images([torch.zeros(3, 64, 96)])
    boxes = [(4, 8, 36, 40), (50, 20, 90, 60)]
    for index, (left, top, right, bottom) in enumerate(boxes):
        images[0, index, top:bottom, left:right] = 3
    known = target(boxes, [1, 2], sizes[0])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(120):
        loss = sum(model.loss(images, sizes, [known], model.features(images)).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        (found,) = model.eval().detect(images, sizes, [(64, 96)])
    instances = tuple(
        Instance(label, tuple(map(float, box)), rle, 1000.0)
        for label, box, rle in zip([1, 2], boxes, encode_masks(known["masks"]), strict=True)
    )
    image = AnnotatedImage(1, "1.png", "1.png", (64, 96), instances)
    scores = average_precision([image], [found], classes=("a", "b", "c")).scores
    assert scores["AP50"] == pytest.approx(1.0)
    assert not math.isnan(scores["AP"])
