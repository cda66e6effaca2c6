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
from dealias.models import ModelError
from dealias.models.detectors.mask2former import _detections as of_queries
from dealias.models.detectors.mask_rcnn import _detections as of_boxes
from detectors import SMALL

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


def test_boxes_are_pooled_alike_whatever_came_first():
    model = detector("mask_rcnn").eval()
    images, sizes = stack_images([torch.randn(3, 40, 200)])  # 40 rows are padded to 64
    with torch.no_grad():
        model.detect(images, sizes, sizes)
    for pool in (model.roi_heads.box_roi_pool, model.roi_heads.mask_roi_pool):
        assert pool.scales == [1 / 4, 1 / 8, 1 / 16, 1 / 32]
        boxes = [torch.tensor([[0.0, 0.0, side, side]]) for side in (56, 112, 224, 448)]
        assert pool.map_levels(boxes).tolist() == [0, 1, 2, 3]


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
        plain, dealiased = detector(name), detector(name, dealias={"mixing": True})
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


class TestMaskRCNN:
    def test_options_go_where_they_belong(self):
        numbers = {
            "anchors_drawn": 31,
            "boxes_drawn": 17,
            "candidates": 62,
            "proposals": 44,
            "detections": 9,
            "score_threshold": 0.2,
            "pyramid_norms": True,
        }
        model = detector("mask_rcnn", options=SMALL["mask_rcnn"] | numbers)
        assert model.rpn.fg_bg_sampler.batch_size_per_image == 31
        assert model.rpn._pre_nms_top_n == {"training": 62, "testing": 31}
        assert model.rpn._post_nms_top_n == {"training": 44, "testing": 22}
        assert model.rpn.anchor_generator.sizes == ((8,), (16,), (32,), (64,), (128,))
        assert model.roi_heads.fg_bg_sampler.batch_size_per_image == 17
        assert model.roi_heads.detections_per_img == 9
        assert model.roi_heads.score_thresh == 0.2
        norms = [m for m in model.neck.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        assert len(norms) == 8  # of four lateral and four output convolutions
        plain = detector("mask_rcnn")
        assert not [m for m in plain.neck.modules() if isinstance(m, torch.nn.BatchNorm2d)]


class TestMask2Former:
    def test_the_loss_sees_classes_from_zero_and_masks_at_the_top_left(self, monkeypatch):
        model = detector("mask2former")
        images, sizes, targets = batch()
        targets[0]["iscrowd"][1] = 1
        seen, loss = [], model.network.get_loss_dict

        def look(masks, classes, mask_labels, class_labels, auxiliary):
            terms = loss(masks, classes, mask_labels, class_labels, auxiliary)
            seen.append((mask_labels, class_labels, auxiliary, terms))
            return terms

        monkeypatch.setattr(model.network, "get_loss_dict", look)
        found = loss_of(model, images, sizes, targets)
        ((masks, classes, auxiliary, terms),) = seen
        assert [labels.tolist() for labels in classes] == [[0], [1]]
        for drawn, known, (height, width) in zip(masks, targets, sizes, strict=True):
            assert drawn.shape[1:] == images.shape[2:]
            assert torch.equal(drawn[0, :height, :width], known["masks"][0].float())
            assert drawn[0].sum() == known["masks"][0].sum()
        layers = SMALL["mask2former"]["decoder_layers"]  # the last is no auxiliary one
        assert len(auxiliary) == layers - 1
        assert len(terms) == 3 * layers
        assert sum(found.values()).item() == pytest.approx(
            sum(v.sum().item() for v in terms.values())
        )
        assert set(found) == {"classes", "masks", "dice"}

    def test_detections_by_hand(self, monkeypatch):
        model = detector("mask2former").eval()
        images, sizes = stack_images([torch.zeros(3, 16, 20)])  # padded to 32x32
        masks = torch.full((1, 2, 32, 32), -20.0)
        masks[0, 0, :, 10:] = 20  # over the right half and the padding
        masks[0, 1, 4:8, 2:6] = 2  # unsure: a probability of 0.88
        classes = torch.tensor([[[0.0, 0.0, 3.0, 0.0], [2.0, 0.0, 0.0, 1.0]]])  # and none
        monkeypatch.setattr(model, "_decode", lambda _: ([classes], [masks]))
        (found,) = model.detect(images, sizes, [(32, 40)])
        sure = classes[0].softmax(-1)
        assert found.labels[:2].tolist() == [3, 1]
        assert found.scores[0].item() == pytest.approx(sure[0, 2].item(), abs=1e-3)
        height, width = 32, 40
        first, second = decode_masks(found.masks[:2], height, width)
        assert first[:, 21:].all()
        assert not first[:, :19].any()
        assert 2 * 16 <= second.sum() <= 6 * 16
        assert found.scores[1] < 0.9 * sure[1, 0]


def test_how_images_are_scaled_and_what_built_it_are_kept():
    options = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "frozen_norms": True}
    options |= {"backbone_options": {"drop_path_rate": 0.1}}
    model = detector("mask_rcnn", **options)
    assert (model.mean, model.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert model.config.items() >= options.items()
    again = create_detector(**model.config)
    assert again.config == model.config
    again.load_state_dict(model.state_dict())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 0}, "num_classes: expected a positive integer, got 0"),
        ({"backbone": "no_such_network"}, "timm has no such network"),
        ({"mean": [0.5]}, "mean: expected three finite numbers, one for each of R, G and B"),
        ({"options": {"chanels": 3}}, "'chanels'"),
        ({"options": {"channels": 0}}, "channels: expected integers from 1 on"),
        ({"mean": 3}, "mean: expected three finite numbers, one for each of R, G and B"),
        ({"std": [0.1, 0.0, 0.2]}, "std: expected three positive finite numbers"),
        ({"mean": [0.1, float("nan"), 0.2]}, "mean: expected three finite numbers"),
        ({"backbone_options": [1]}, r"backbone_options: expected a mapping, got \[1\]"),
        ({"frozen_norms": "no"}, "frozen_norms: expected true or false, got 'no'"),
        ({"options": {"anchor_sizes": [8, 16]}}, r"anchor_sizes: expected 5 integers, got \[8"),
        ({"options": {"anchor_sizes": 8}}, "anchor_sizes: expected 5 integers, got 8"),
        ({"options": {"anchor_sizes": [8, 16.5, 32, 64, 128]}}, "anchor_sizes: expected integers"),
        ({"options": {"anchor_sizes": [8, "a", 32, 64, 128]}}, "anchor_sizes: expected integers"),
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
    with pytest.raises(ModelError, match="to_dict: no such options of Mask2Former"):
        detector("mask2former", options={"to_dict": 3})
    with pytest.raises(ModelError, match="'num_queries': 'x'} can't be those of Mask2Former"):
        detector("mask2former", options={"num_queries": "x"})


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
