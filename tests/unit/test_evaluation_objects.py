"""Objects in evaluations, their files and their results."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from dealias.evaluation import (
    CountsFileError,
    Evaluation,
    Options,
    Shard,
    evaluate_maps,
    read_counts,
    write_counts,
)
from dealias.labels import ClassSet
from dealias.metrics.functional import ObjectColumn, ObjectRecall, count_objects
from dealias.report import ResultFileError, read_result
from helpers import random_maps

OPTIONS = Options(ClassSet("five", tuple("abcde")), object_recall=ObjectRecall())


@pytest.fixture(scope="module")
def evaluation():
    total = Evaluation.empty(OPTIONS.settings)
    for seed in range(3):
        maps = random_maps(seed, 20, 30, classes=5)
        total.absorb(evaluate_maps(f"image {seed}", *maps, OPTIONS))
    total.absorb(evaluate_maps("void", torch.zeros_like(maps[0]), maps[0] * 0 + 255, OPTIONS))
    total.shards.append(Shard(1, 1))
    return total


def test_the_counts_are_those_of_the_images(evaluation):
    maps = (random_maps(seed, 20, 30, classes=5) for seed in range(3))
    expected = [count_objects(*pair, num_classes=5) for pair in maps]
    assert torch.equal(evaluation.objects, sum(expected))
    for row, counts in zip(evaluation.to_dict()["per_image"], [*expected, None], strict=True):
        of_class = {} if counts is None else dict(zip("abcde", counts.sum(1), strict=True))
        assert row["objects"] == {
            name: {
                key: int(numbers[ObjectColumn[key.upper()]])
                for key in ("objects", "vanished", "merged", "split", "false")
            }
            for name, numbers in of_class.items()
        }


def test_the_result_adds_up(evaluation):
    found = evaluation.to_dict()["objects"]
    for rows in (found["sizes"], found["classes"]):
        for key, number in found["total"].items():
            assert sum(row[key] for row in rows) == number
    for row in [*found["classes"], *found["sizes"], found["total"]]:
        assert row["objects"] == row["found"] + row["partly_found"] + row["vanished"]
    sizes = [row["sizes"] for row in found["classes"]]
    for place, size in enumerate(found["sizes"]):
        for mean, metric in (("mIoU", "IoU"), ("mAcc", "Acc")):
            values = [row[place][metric] for row in sizes if row[place][metric] is not None]
            assert size[mean] == (pytest.approx(np.mean(values)) if values else None)


def test_without_objects_nothing_is_said_of_them():
    maps = random_maps(0, 20, 30, classes=5)
    found = evaluate_maps("one", *maps, replace(OPTIONS, object_recall=None))
    assert not found.objects.any()
    result = found.to_dict()
    assert "objects" not in result
    assert "objects" not in result["per_image"][0]


def test_other_shares_do_not_add_up(evaluation):
    other = replace(OPTIONS, object_recall=ObjectRecall(0.2, 0.5))
    with pytest.raises(CountsFileError, match=r"object_recall: expected .*0\.1.* got .*0\.2"):
        evaluation.merge(Evaluation.empty(other.settings))


@pytest.fixture
def arrays(evaluation, tmp_path):
    write_counts(evaluation, tmp_path / "whole.npz")
    with np.load(tmp_path / "whole.npz") as file:
        return dict(file)


def save(path, arrays, **settings):
    header = json.loads(arrays["header"].tobytes())
    header["settings"] |= settings
    stored = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez_compressed(path, **(arrays | {"header": stored}))
    return path


def test_what_is_written_is_read(evaluation, arrays, tmp_path):
    found = read_counts(save(tmp_path / "a.npz", arrays))
    assert found.settings == evaluation.settings
    assert [row.objects for row in found.images] == [row.objects for row in evaluation.images]
    assert found.to_dict() == evaluation.to_dict()


def test_earlier_files_have_no_objects(evaluation, arrays, tmp_path):
    header = json.loads(arrays["header"].tobytes())
    del header["settings"]["object_recall"]
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    for name in ("objects", "image_objects", "image_object_classes"):
        del arrays[name]
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    found = read_counts(tmp_path / "a.npz")
    assert found.settings.object_recall is None
    assert "objects" not in found.to_dict()
    assert torch.equal(found.counts.confusion, evaluation.counts.confusion)


def moved(name, source, place):
    """Move one object, so that sums stay."""

    def change(arrays):
        arrays[name] = arrays[name].copy()
        arrays[name][source] -= 1
        arrays[name][place] += 1

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("objects"), "lacks 'objects'"),
        (lambda a: a.pop("image_objects"), "lacks 'image_objects'"),
        (lambda a: a.update(objects=a["objects"][:4]), "objects: expected int64 of shape"),
        (lambda a: a.update(objects=-a["objects"]), "objects: expected counts from 0 on"),
        (moved("objects", (0, 3, 7), (1, 3, 7)), "objects: expected the pixels of the table"),
        (moved("objects", (0, 3, 8), (1, 3, 8)), "objects: expected the hit_pixels of the table"),
        (moved("objects", (0, 3, 9), (1, 3, 9)), "objects: expected the false_pixels of the"),
        (lambda a: a["objects"][..., 1].fill(9999), "objects: expected no more of a kind"),
        (moved("image_objects", (0, 1), (1, 1)), "image_objects: expected as many objects"),
        (moved("image_object_classes", 0, 3), "image_objects: expected the classes of each"),
        (lambda a: a["image_objects"][:, 0].fill(9), "image_objects: expected the classes of"),
        (lambda a: a["image_object_classes"].fill(2**40), "image_objects: expected int64 of shape"),
    ],
)
def test_arrays_that_contradict_are_refused(change, message, arrays, tmp_path):
    change(arrays)
    with pytest.raises(CountsFileError, match=rf"a\.npz: expected counts .*{message}"):
        read_counts(save(tmp_path / "a.npz", arrays))


@pytest.mark.parametrize("recall", [0.1, [0.1], [0.1, "a"], [0.6, 0.5], [-1, 0.5], [0.1, 0.5, 1]])
def test_shares_that_are_none_are_refused(recall, arrays, tmp_path):
    with pytest.raises(CountsFileError, match="object_recall: expected two shares"):
        read_counts(save(tmp_path / "a.npz", arrays, object_recall=recall))


def test_the_result_is_read_and_its_lies_refused(evaluation, tmp_path):
    result = json.loads(json.dumps(evaluation.to_dict()))
    path = tmp_path / "r.json"
    path.write_text(json.dumps(result))
    assert read_result(path) == result
    for place, value, message in (
        ("vanished", -1, r"objects.classes\[0\].vanished: expected an integer in"),
        ("sizes", 5, r"objects.classes\[0\].sizes: expected a list"),
    ):
        lie = json.loads(json.dumps(result))
        lie["objects"]["classes"][0][place] = value
        path.write_text(json.dumps(lie))
        with pytest.raises(ResultFileError, match=message):
            read_result(path)
