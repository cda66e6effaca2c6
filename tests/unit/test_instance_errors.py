"""Right and false detections, against COCO's evaluator and worked by hand."""

import math

import numpy as np
import pytest
import torch

from dealias.instance import (
    Detections,
    average_precision,
    encode_masks,
    match_instances,
    summarize_errors,
)
from instances import CLASSES, boxes_of, image_of, random_case, square


def found(*entries):
    """Detections of (mask, label, score)."""
    masks = torch.cat([mask for mask, _, _ in entries])
    labels, scores = ([entry[i] for entry in entries] for i in (1, 2))
    return Detections(
        boxes_of(masks), torch.tensor(labels), torch.tensor(scores), encode_masks(masks)
    )


def summary(*pairs):
    matched = [
        (image, detections, match_instances(image, detections)) for image, detections in pairs
    ]
    return summarize_errors(matched, len(CLASSES))


A, B = square(0, 0, 40), square(100, 60, 40)
NEAR_A = square(0, 0, 24)  # IoU 0.36
ELSEWHERE = square(50, 50, 10)


class TestMatching:
    def test_each_kind_by_hand(self):
        image = image_of(1, torch.cat([A, B]), [1, 2])
        detections = found(
            (NEAR_A, 1, 0.95),
            (A, 1, 0.9),
            (square(2, 0, 40), 1, 0.8),
            (A, 3, 0.7),
            (NEAR_A, 3, 0.6),
            (ELSEWHERE, 1, 0.5),
        )
        matches = match_instances(image, detections)
        expected = "localisation", "found", "duplicate", "classification", "both", "background"
        assert matches.kinds == expected
        assert matches.partners.tolist() == [0, 0, 0, 0, 0, -1]
        assert matches.overlaps == pytest.approx([0.36, 1, 38 / 42, 1, 0.36, 0])
        assert matches.finders.tolist() == [1, -1]

    def test_the_surest_comes_first_whatever_the_order(self):
        image = image_of(1, A, [1])
        matches = match_instances(image, found((A, 1, 0.3), (square(2, 0, 40), 1, 0.8)))
        assert matches.kinds == ("duplicate", "found")
        assert matches.finders.tolist() == [1]

    def test_crowds_are_neither_found_nor_missed(self):
        image = image_of(1, torch.cat([A, B]), [1, 1], crowd=[True, False])
        pair = image, found((NEAR_A, 1, 0.9), (B, 1, 0.8))
        matches = match_instances(*pair)
        assert matches.kinds == ("ignored", "found")  # all of the first lies in the crowd
        assert summary(pair).counts["missed"] == (0, 0, 0)
        assert summary(pair).precision == summary(pair).recall == 1

    @pytest.mark.parametrize("options", [{"overlap": 0}, {"overlap": 1.1}, {"touch": 0.6}])
    def test_thresholds_out_of_range(self, options):
        with pytest.raises(ValueError, match="expected an IoU in"):
            match_instances(image_of(1, A, [1]), Detections.none(), **options)

    def test_nothing_to_find_and_nothing_found(self):
        empty = image_of(1, torch.zeros(0, *A.shape[1:], dtype=torch.bool), [])
        assert match_instances(empty, found((A, 1, 0.9))).kinds == ("background",)
        assert match_instances(image_of(1, A, [1]), Detections.none()).finders.tolist() == [-1]


class TestSummary:
    def test_the_threshold_is_that_of_the_best_f1(self):
        image = image_of(1, torch.cat([A, B]), [1, 2])
        pair = image, found((A, 1, 0.9), (ELSEWHERE, 1, 0.8), (B, 2, 0.7), (ELSEWHERE, 2, 0.2))
        result = summary(pair)
        # F1 is 2/3, 1/2, 4/5 and 2/3.
        assert result.threshold == pytest.approx(0.7)
        assert (result.precision, result.recall) == pytest.approx((2 / 3, 1))
        assert result.f1 == pytest.approx(0.8)
        assert result.counts["background"] == (1, 0, 0)
        assert result.counts["found"] == (1, 1, 0)

    def test_what_is_below_the_threshold_is_missed(self):
        image = image_of(1, torch.cat([A, B]), [1, 2])
        noise = [(square(8 * i, 80, 8), 1, 0.5) for i in range(8)]
        result = summary((image, found((A, 1, 0.9), *noise, (B, 2, 0.3))))
        assert result.threshold == pytest.approx(0.9)
        assert result.counts["missed"] == (0, 1, 0)

    @pytest.mark.parametrize(
        ("kind", "entry", "gain"),
        [
            # Class 1 has AP 1 or 0; class 2 is found.
            ("localisation", (NEAR_A, 1, 0.9), 0.5),
            ("classification", (A, 2, 0.8), 0.5),
            ("missed", (ELSEWHERE, 3, 0.9), 0.5),
        ],
    )
    def test_gains_by_hand(self, kind, entry, gain):
        result = summary((image_of(1, torch.cat([A, B]), [1, 2]), found(entry, (B, 2, 0.95))))
        assert result.gains[kind] == pytest.approx(gain)

    def test_false_ones_are_gone_when_mended(self):
        image = image_of(1, A, [1])
        result = summary((image, found((ELSEWHERE, 1, 0.9), (A, 1, 0.8))))
        assert result.gains["background"] == pytest.approx(0.5)
        assert result.gains["missed"] == 0
        twice = summary(
            (
                image_of(1, torch.cat([A, B]), [1, 1]),
                found(
                    (A, 1, 0.9),
                    (square(2, 0, 40), 1, 0.8),
                    (B, 1, 0.7),
                ),
            )
        )
        # Precision 1 up to a recall of 1/2, then 2/3: 51 and 50 of 101 recalls.
        assert twice.gains["duplicate"] == pytest.approx(1 - (51 + 50 * 2 / 3) / 101)

    def test_only_the_surest_of_several_is_mended(self):
        image = image_of(1, A, [1])
        result = summary((image, found((NEAR_A, 1, 0.9), (square(0, 0, 25), 1, 0.8))))
        assert result.gains["localisation"] == pytest.approx(1)

    def test_nothing_is_undefined_not_an_error(self):
        result = summary((image_of(1, A, [1]), Detections.none()))
        assert (result.recall, result.f1, result.threshold) == (0, 0, 0.5)
        assert math.isnan(result.precision)
        assert math.isnan(result.gains["missed"])  # no instance is left
        assert result.to_dict()["precision"] is None
        assert result.counts["missed"] == (1, 0, 0)

    @pytest.mark.parametrize("seed", range(8))
    def test_agrees_with_the_evaluator(self, seed):
        """Mended sets, built anew, have the AP50 that the gains say."""
        images, detections = random_case(seed)
        pairs = list(zip(images, detections, strict=True))
        before = average_precision(images, detections, classes=CLASSES).scores["AP50"]
        result = summary(*pairs)
        for kind in ("both", "duplicate", "background"):
            left = [without(kind, *pair) for pair in pairs]
            after = average_precision(images, left, classes=CLASSES).scores["AP50"]
            assert result.gains[kind] == pytest.approx(after - before, abs=1e-6)


def without(kind, image, detections):
    kinds = match_instances(image, detections).kinds
    keep = [i for i, own in enumerate(kinds) if own != kind]
    parts = (detections.boxes[keep], detections.labels[keep], detections.scores[keep])
    return Detections(*parts, [detections.masks[i] for i in keep])


def test_counts_add_up_on_random_cases():
    for seed in range(4):
        images, detections = random_case(seed)
        result = summary(*zip(images, detections, strict=True))
        real = [i for image in images for i in image.instances if not i.crowd]
        assert sum(result.counts["found"]) + sum(result.counts["missed"]) == len(real)
        shown = sum(int((d.scores >= np.float32(result.threshold)).sum()) for d in detections)
        named = sum(sum(n) for key, n in result.counts.items() if key != "missed")
        assert named <= shown  # those in crowds are not counted
