"""COCO's JSON files as folders of label maps."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from dealias.labels import PairingError, RunLengthError, local_folder, read_run_lengths
from dealias.labels.coco import NO_CATEGORY

MAPS = hnp.arrays(
    np.uint16, st.tuples(st.integers(1, 5), st.integers(1, 5)), elements=st.integers(0, 3)
)


def run_lengths(mask):
    """Pixel by pixel, down the columns."""
    runs, inside = [0], False
    for column in mask.T.tolist():
        for pixel in column:
            if pixel != inside:
                runs.append(0)
                inside = not inside
            runs[-1] += 1
    return {"size": list(mask.shape), "counts": runs}


def masks(labels, image):
    """One mask for each category but 0."""
    return [
        {"image_id": image, "category_id": int(k), "segmentation": run_lengths(labels == k)}
        for k in np.unique(labels)
        if k
    ]


def expected(labels):
    return np.where(labels == 0, NO_CATEGORY, labels).tolist()


def laid_out(folder, content):
    path = folder / "a.json"
    path.write_text(json.dumps(content))
    with local_folder(str(path)) as place:
        found = {
            file.relative_to(place).as_posix(): np.array(Image.open(file)).tolist()
            for file in place.rglob("*.png")
        }
    assert not place.exists()
    return found


@given(MAPS, MAPS)
def test_masks_come_back(tmp_path_factory, one, two):
    folder = tmp_path_factory.mktemp("masks")
    results = [*masks(one, 139), *masks(two, "x/b.jpg")]
    named = {"000000000139.png": one, "x/b.png": two}
    left = {name: expected(labels) for name, labels in named.items() if labels.any()}
    assert laid_out(folder, results) == left
    images = [{"id": 7, "file_name": "c.jpg"}]
    found = laid_out(folder, {"images": images, "annotations": masks(one, 7)})
    assert found == ({"c.png": expected(one)} if one.any() else {})


def test_what_comes_after_a_dot_is_no_suffix_unless_it_is_that_of_a_picture(tmp_path):
    results = [mask for name in ("scene.0001", "scene.0002") for mask in masks(np.eye(2), name)]
    assert {*laid_out(tmp_path, results)} == {"scene.0001.png", "scene.0002.png"}


@given(MAPS)
def test_panoptic_colours_are_ids_of_segments(tmp_path_factory, labels):
    folder = tmp_path_factory.mktemp("panoptic")
    (folder / "a").mkdir()
    ids = {0: 0, 1: 9, 2: 70_000, 3: 2**24 - 1}  # categories by segment, the first of none
    colors = [[ids[int(k)] >> shift & 255 for shift in (0, 8, 16)] for k in labels.ravel()]
    pixels = np.array(colors, np.uint8).reshape(*labels.shape, 3)
    Image.fromarray(pixels).save(folder / "a/one.png")
    parts = [{"id": ids[k], "category_id": 10 * k} for k in (1, 2, 3)]
    entry = {"image_id": 1, "file_name": "one.png", "segments_info": parts}
    found = laid_out(folder, {"annotations": [entry]})
    assert found == {"one.png": expected(labels * 10)}


MASK = masks(np.ones((2, 3), int), 1)[0]


def panoptic(name, *parts):
    return {"annotations": [{"file_name": name, "segments_info": list(parts)}]}


PART = {"id": 5, "category_id": 1}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "expected panoptic annotations, or masks in run lengths, of COCO: KeyError"),
        ({"annotations": [MASK]}, "KeyError"),
        ([MASK, MASK], "'000000000001': masks that overlap"),
        ([MASK | {"segmentation": [[0, 0, 1, 1, 0, 1]]}], r"expected run lengths, got \[\["),
        ([MASK | {"category_id": 65535}], "category_id 65535"),
        ([MASK | {"category_id": True}], "category_id True"),
        ([MASK | {"image_id": -1}], "image_id -1"),
        ([MASK | {"image_id": "../x"}], "no name, or given twice"),
        ([MASK, MASK | {"image_id": "000000000001"}], "no name, or given twice"),
        ([MASK | {"segmentation": {"size": [2, 3], "counts": [5]}}], "add up to 6, got 5"),
        ([MASK | {"segmentation": {"size": [2, 10**9], "counts": [5]}}], "expected run lengths"),
        ([MASK | {"segmentation": {"size": [65535, 65535], "counts": [5]}}], "--max-pixels"),
        ([MASK, MASK | {"segmentation": {"size": [3, 2], "counts": [6]}}], r"size \[2, 3\]"),
        (["x"], "TypeError"),
        (panoptic("../a.png"), "expected names inside"),
        (panoptic("none.png"), "no such file"),
        (panoptic("b.png"), r"of its annotation.*\[5\]"),
        (panoptic("b.png", PART, PART), "one twice"),
        (panoptic("g.png", PART), "PNG of RGB, got PNG"),
    ],
)
def test_what_is_none_of_these(content, said, tmp_path):
    (tmp_path / "a").mkdir()
    Image.fromarray(np.full((2, 2, 3), [5, 0, 0], np.uint8)).save(tmp_path / "a/b.png")
    Image.fromarray(np.full((2, 2), 5, np.uint8)).save(tmp_path / "a/g.png")
    with pytest.raises(PairingError, match=said):
        laid_out(tmp_path, content)


def test_a_folder_may_be_named_like_a_file(tmp_path):
    (tmp_path / "a.json").mkdir()
    with local_folder(str(tmp_path / "a.json")) as folder:
        assert folder == tmp_path / "a.json"
    with (
        pytest.raises(PairingError, match=r"none\.json: no such file"),
        local_folder(str(tmp_path / "none.json")),
    ):
        pass


def test_run_lengths_that_are_none():
    for counts, said in (
        ("", "add up"),
        ("`", "breaks off"),
        ([-1, 7], "from 0 on"),
        ("é", "text"),
    ):
        with pytest.raises(RunLengthError, match=said):
            read_run_lengths({"size": [2, 3], "counts": counts}, 2, 3)
    for counts in ([1, 3, 2], "132", b"132", np.array([1, 3, 2])):
        assert read_run_lengths({"size": [2, 3], "counts": counts}, 2, 3) == [1, 3, 2]


def test_as_many_values_as_the_annotations_of_whole_data_sets_have(tmp_path, monkeypatch):
    monkeypatch.setattr("dealias.inputs._MOST_JSON_VALUES", 5)
    assert laid_out(tmp_path, [MASK | {"extra": [0] * 2**22}])
