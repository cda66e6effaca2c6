"""Objects found, vanished, merged and split."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from dealias.metrics.functional import (
    OBJECT_RECALL,
    OBJECT_SIZES,
    LabelRangeError,
    ObjectColumn,
    ObjectRecall,
    banded_confusion,
    count_objects,
    object_scores,
)
from dealias.metrics.functional.components import connect
from helpers import VOID, random_maps

COLUMNS = [column.name for column in ObjectColumn]


def counted(preds, target, classes=2, **options):
    """Counts by name of the column, [C] each, over all sizes."""
    maps = (torch.tensor(labels, dtype=torch.uint8) for labels in (preds, target))
    table = count_objects(*maps, num_classes=classes, **options).sum(1)
    return {name: table[:, column].tolist() for column, name in enumerate(COLUMNS)}


def size_of(pixels, area):
    """The place in OBJECT_SIZES, from its definition."""
    fits = (i for i, size in enumerate(OBJECT_SIZES) if size.one_in and pixels * size.one_in < area)
    return next(fits, len(OBJECT_SIZES) - 1)


def slow_objects(preds, target, classes, recall=OBJECT_RECALL, void=VOID):
    """The counts of one image, class by class and object by object."""
    preds, target = (np.asarray(labels).astype(int) for labels in (preds, target))
    table = np.zeros((classes, len(OBJECT_SIZES), len(COLUMNS)), int)
    for label in range(classes):
        known = target != void
        objects, predicted, cut = (
            [mask for mask in ((parts == i + 1) & known for i in range(count)) if mask.any()]
            for parts, count in (
                ndimage.label(mask, np.ones((3, 3)))
                for mask in (target == label, preds == label, (preds == label) & known)
            )
        )
        shared, held = (
            np.array([[(a & b).sum() for b in parts] for a in objects], int).reshape(
                len(objects), len(parts)
            )
            for parts in (predicted, cut)
        )
        sizes = [size_of(mask.sum(), target.size) for mask in objects]
        covered = held >= recall.found_from * np.array([[m.sum()] for m in objects]).reshape(-1, 1)
        for i, mask in enumerate(objects):
            row = table[label, sizes[i]]
            share = shared[i].sum() / mask.sum()
            row[ObjectColumn.OBJECTS] += 1
            row[ObjectColumn.FOUND] += share >= recall.found_from
            row[ObjectColumn.VANISHED] += share < recall.vanished_below
            row[ObjectColumn.MERGED] += any(
                covered[i, j] and covered[:, j].sum() > 1 for j in range(len(cut))
            )
            row[ObjectColumn.SPLIT] += (shared[i] / mask.sum() >= recall.vanished_below).sum() > 1
            row[ObjectColumn.PIXELS] += mask.sum()
            row[ObjectColumn.HIT_PIXELS] += shared[i].sum()
        for j, mask in enumerate(predicted):
            own = size_of(mask.sum(), target.size)
            right = shared[:, j].sum()
            table[label, own, ObjectColumn.PREDICTED] += 1
            table[label, own, ObjectColumn.FALSE] += right / mask.sum() < recall.vanished_below
            blamed = sizes[int(shared[:, j].argmax())] if right else own
            table[label, blamed, ObjectColumn.FALSE_PIXELS] += mask.sum() - right
    return table


def test_a_case_worked_by_hand():
    target = [
        [1, 1, 0, 1, 1, 0, 1, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 1, 0, 0],  # touches the third at a corner: one object
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
    ]
    preds = [
        [1, 1, 1, 1, 1, 0, 0, 0, 0, 1],  # two merged; the third vanished; one that isn't there
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0, 0, 1, 0],  # split, and partly found: 3 of 10
    ]
    found = {name: values[1] for name, values in counted(preds, target).items()}
    assert found == {
        "OBJECTS": 4,
        "FOUND": 2,
        "VANISHED": 1,
        "MERGED": 2,
        "SPLIT": 1,
        "PREDICTED": 4,
        "FALSE": 1,
        "PIXELS": 16,
        "HIT_PIXELS": 7,
        "FALSE_PIXELS": 2,
    }


def test_the_thresholds_are_reached_exactly():
    target, preds = [[1] * 10], [[1] * 3 + [0] * 7]
    for recall, expected in (((0.3, 0.3), (1, 0)), ((0.3, 0.31), (0, 0)), ((0.31, 1), (0, 1))):
        found = counted(preds, target, recall=ObjectRecall(*recall))
        assert (found["FOUND"][1], found["VANISHED"][1]) == expected


def test_no_error_rests_on_void():
    """Two objects and a predicted one over both, which void does not show to be merged."""
    target = [[1, 1, VOID, 1, 1, 0, VOID, VOID]]
    preds = [[1, 1, 1, 1, 1, 0, 1, 1]]
    found = counted(preds, target)
    assert found["OBJECTS"] == found["FOUND"] == [1, 2]
    assert found["PREDICTED"] == [1, 1]
    assert found["MERGED"] == found["FALSE"] == found["FALSE_PIXELS"] == [0, 0]


def test_what_a_predicted_object_has_beyond_a_rim_of_void_is_not_false():
    """As around the objects of VOC, which are often predicted a little too large."""
    target = [[0, VOID, 1, 1, 1, 1, VOID, 0, 0, 0]]
    preds = [[1, 1, 1, 1, 1, 1, 1, 1, 0, 1]]
    found = {name: values[1] for name, values in counted(preds, target).items()}
    assert (found["PREDICTED"], found["FALSE"], found["FALSE_PIXELS"]) == (2, 1, 3)
    assert (found["FOUND"], found["SPLIT"]) == (1, 0)


def test_parts_of_an_object_that_meet_in_void_are_not_split():
    target, preds = [[1, 1, 1, 1], [VOID] * 4], [[1, 1, 0, 1], [1] * 4]
    assert counted(preds, target)["SPLIT"] == [0, 0]
    assert counted([preds[0]], [target[0]])["SPLIT"] == [0, 1]


def test_sizes_are_shares_of_the_area_of_the_image():
    target = torch.zeros(100, 200, dtype=torch.uint8)
    target[0, 0] = 1  # 1 of 20,000 pixels: tiny
    target[10, :2] = 1  # 2, a ten-thousandth: small
    target[20, :19], target[30, :20] = 1, 1  # small, and a thousandth: medium
    target[40, :200] = 1  # a hundredth: large
    counts = count_objects(target, target, num_classes=2)
    assert counts[1, :, ObjectColumn.OBJECTS].tolist() == [1, 2, 1, 1]
    assert counts[0, :, ObjectColumn.OBJECTS].tolist() == [0, 0, 0, 2]


def test_false_pixels_count_against_the_object_that_is_held_most_of():
    target = torch.zeros(100, 200, dtype=torch.uint8)
    target[50, 0], target[50, 2:4] = 1, 1  # tiny and small
    preds = torch.zeros_like(target)
    preds[50, :10] = 1  # 7 wrong pixels
    preds[0, 0] = 1  # a tiny one of its own
    counts = count_objects(preds, target, num_classes=2)
    assert counts[1, :, ObjectColumn.FALSE_PIXELS].tolist() == [1, 7, 0, 0]
    scores = object_scores(counts)
    assert scores["IoU_per_class"][1].tolist() == pytest.approx(
        [1 / 2, 2 / 9, np.nan, np.nan], nan_ok=True
    )
    assert scores["mAcc"].tolist() == pytest.approx(
        [1, 1, np.nan, (20000 - 11) / (20000 - 3)], nan_ok=True
    )


@pytest.mark.parametrize("blocks", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2), (17, 65), (60, 90)])
def test_counts_against_the_oracle(shape, blocks, device):
    preds, target = random_maps(0, *shape, classes=3, blocks=blocks)
    found = count_objects(preds.to(device), target.to(device), num_classes=3)
    assert (found.cpu().numpy() == slow_objects(preds, target, 3)).all()


@pytest.mark.parametrize("name", ["0016E5_08137", "0016E5_07959"])
def test_counts_of_a_real_prediction_against_the_oracle(name, predictions, camvid):
    paths = (predictions / "camvid_espnet" / f"{name}.png", camvid / "valannot" / f"{name}.png")
    preds, target = (torch.from_numpy(np.array(Image.open(path))) for path in paths)
    found = count_objects(preds, target, num_classes=11, ignore_index=11)
    assert (found.numpy() == slow_objects(preds, target, 11, void=11)).all()


maps = st.integers(1, 12).flatmap(
    lambda width: st.lists(
        st.lists(
            st.tuples(*[st.sampled_from([0, 0, 1, 2])] * 2, st.integers(0, 9)),
            min_size=width,
            max_size=width,
        ),
        min_size=1,
        max_size=12,
    )
)


@settings(max_examples=200)
@given(maps, st.sampled_from([(0.1, 0.5), (0.3, 0.3), (0.05, 1.0)]))
def test_counts_against_the_oracle_on_any_maps(cells, shares):
    grid = torch.tensor(cells)
    preds = grid[..., 0]
    target = torch.where(grid[..., 2] == 0, VOID, grid[..., 1])
    recall = ObjectRecall(*shares)
    found = count_objects(preds, target, num_classes=3, recall=recall)
    assert (found.numpy() == slow_objects(preds, target, 3, recall)).all()


@pytest.mark.parametrize("seed", range(5))
def test_pixels_are_those_of_the_confusion_matrix(seed):
    preds, target = random_maps(seed, 40, 70, classes=5)
    counts = count_objects(preds, target, num_classes=5).sum(1)
    confusion = banded_confusion(preds, target, num_classes=5).sum(0)
    assert torch.equal(counts[:, ObjectColumn.PIXELS], confusion.sum(1))
    assert torch.equal(counts[:, ObjectColumn.HIT_PIXELS], confusion.diagonal())
    wrong = confusion.sum(0) - confusion.diagonal()
    assert torch.equal(counts[:, ObjectColumn.FALSE_PIXELS], wrong)


def test_what_vanished_is_false_the_other_way_round():
    one, other = (labels.clamp(max=3) for labels in random_maps(7, 50, 80, classes=4))
    ahead, back = (count_objects(*pair, num_classes=4) for pair in ((one, other), (other, one)))
    assert ahead[..., ObjectColumn.VANISHED].any()
    assert torch.equal(ahead[..., ObjectColumn.VANISHED], back[..., ObjectColumn.FALSE])
    assert torch.equal(ahead[..., ObjectColumn.OBJECTS], back[..., ObjectColumn.PREDICTED])


@pytest.mark.parametrize("dims", [(0,), (1,), (0, 1)])
def test_mirrored_and_turned_images_have_the_same_objects(dims):
    preds, target = random_maps(3, 30, 40, classes=3)
    expected = count_objects(preds, target, num_classes=3)
    flipped = count_objects(preds.flip(dims), target.flip(dims), num_classes=3)
    turned = count_objects(preds.T, target.T, num_classes=3)
    kept = [column for column in ObjectColumn if column != ObjectColumn.FALSE_PIXELS]  # ties
    assert torch.equal(flipped[..., kept], expected[..., kept])
    assert torch.equal(turned[..., kept], expected[..., kept])


def test_a_batch_is_the_sum_of_its_images():
    pairs = [random_maps(seed, 24, 31, classes=5) for seed in range(3)]
    batch = count_objects(*map(torch.stack, zip(*pairs, strict=True)), num_classes=5)
    assert torch.equal(batch, sum(count_objects(*pair, num_classes=5) for pair in pairs))


def test_an_empty_batch_and_all_void_have_no_objects():
    empty = torch.zeros(0, 4, 5, dtype=torch.uint8)
    assert not count_objects(empty, empty, num_classes=2).any()
    void = torch.full((4, 5), VOID)
    assert not count_objects(torch.zeros(4, 5, dtype=torch.int64), void, num_classes=2).any()


def test_more_classes_than_a_byte_holds():
    rng = np.random.default_rng(0)
    preds, target = (torch.from_numpy(rng.integers(250, 253 + 5, (20, 30))) for _ in range(2))
    target[0] = -1
    found = count_objects(preds, target, num_classes=300, ignore_index=-1)
    assert (found.numpy() == slow_objects(preds, target, 300, void=-1)).all()


def test_a_spiral_is_one_object():
    """Labels that only spread to neighbours would take as many rounds as it has turns."""
    side = 101
    spiral = np.zeros((side, side), np.uint8)
    for ring in range(0, side // 2, 2):
        spiral[ring, max(0, ring - 2) : side - ring] = 1
        spiral[ring : side - ring, side - 1 - ring] = 1
        spiral[side - 1 - ring, ring : side - ring] = 1
        spiral[ring + 2 : side - ring, ring] = 1
    assert ndimage.label(spiral, np.ones((3, 3)))[1] == 1
    assert counted(spiral, spiral)["OBJECTS"][1] == 1


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=30))
def test_components_of_graphs(edges):
    expected = list(range(20))
    for _ in range(20):
        for a, b in edges:
            expected[a] = expected[b] = min(expected[a], expected[b])
    ends = np.array(edges, np.intp).reshape(-1, 2)
    assert connect(20, *ends.T).tolist() == expected


@pytest.mark.parametrize(
    ("recall", "got"),
    [((0, 0.5), "vanished_below 0 and found_from 0.5"), ((0.6, 0.5), "0.6"), ((0.1, 1.5), "1.5")],
)
def test_shares_that_contradict_each_other(recall, got):
    with pytest.raises(ValueError, match=f"object_recall: expected two shares .* got .*{got}"):
        counted([[0]], [[0]], recall=ObjectRecall(*recall))


def test_labels_out_of_range():
    with pytest.raises(LabelRangeError, match=r"preds: expected labels 0..1, got 2 \(3 px\)"):
        counted([[2, 2, 2]], [[0, 0, VOID]])
    with pytest.raises(LabelRangeError, match="target: expected"):
        counted([[0, 0]], [[0, 7]])
    with pytest.raises(ValueError, match="preds and target: expected one shape"):
        counted([[0, 0]], [[0]])
