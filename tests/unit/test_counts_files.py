"""Files of counts from strangers."""

import csv
import functools
import io
import json
import os
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dealias.evaluation import (
    CountsFileError,
    Evaluation,
    Options,
    Shard,
    Sources,
    evaluate_maps,
    image_margins,
    merge_counts,
    read_counts,
    write_counts,
    write_csv,
)
from dealias.labels import ClassSet, PairingRule
from dealias.metrics.functional import OBJECT_RECALL
from dealias.report import compare_results
from helpers import random_maps

CLASSES = ClassSet("five", tuple("abcde"))
OPTIONS = Options(CLASSES)


@pytest.fixture(scope="module")
def evaluation():
    total = Evaluation.empty(OPTIONS.settings)
    for seed in range(3):
        maps = random_maps(seed, 20, 30, classes=5)
        total.absorb(evaluate_maps(f"image {seed}", *maps, OPTIONS))
    return total


@pytest.fixture
def arrays(evaluation, tmp_path):
    """What a file of counts holds, by name."""
    evaluation.shards[:] = [Shard.whole(["image 0", "image 1", "image 2"])]
    evaluation.sources = Sources.of(CLASSES, tmp_path, tmp_path)
    write_counts(evaluation, tmp_path / "whole.npz")
    with np.load(tmp_path / "whole.npz") as file:
        return dict(file)


def save(path, arrays, **header):
    content = json.loads(arrays["header"].tobytes()) | header
    stored = np.frombuffer(json.dumps(content).encode(), np.uint8)
    np.savez_compressed(path, **(arrays | {"header": stored}))
    return path


def member(shape, descr="'<i8'", data=b""):
    """An NPY file whose header says anything."""
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def test_what_is_written_is_read(evaluation, arrays, tmp_path):
    found = read_counts(save(tmp_path / "a.npz", arrays))
    assert found.settings == evaluation.settings
    assert found.images == evaluation.images
    assert found.sources == evaluation.sources
    assert torch.equal(found.counts.confusion, evaluation.counts.confusion)


def test_all_that_is_counted_is_written_and_merged(tmp_path):
    options = Options(CLASSES, object_recall=OBJECT_RECALL, band_widths="3,7")
    parts = []
    for seed in range(2):
        part = evaluate_maps(f"image {seed}", *random_maps(seed, 20, 30, classes=5), options)
        part.shards = [Shard.of(seed + 1, 2, ["image 0", "image 1"])]
        part.resized_images = seed
        write_counts(part, tmp_path / f"{seed}.npz")
        parts.append(part)
    whole = parts[0].merge(parts[1])
    found = merge_counts([tmp_path / "1.npz", tmp_path / "0.npz"])
    assert (found.images, found.resized_images) == (whole.images, 1)
    assert found.to_dict() == whole.to_dict()
    assert whole.objects.any()
    assert whole.widths.any()


def test_more_resized_predictions_than_images_are_refused(arrays, tmp_path):
    arrays["resized_images"] = np.array(4)
    with pytest.raises(CountsFileError, match="resized_images: expected at most 3, got 4"):
        read_counts(save(tmp_path / "a.npz", arrays))


def test_earlier_files_have_fewer_arrays(arrays, tmp_path):
    for name in ("image_digests", "void_pixels", "resized_images"):
        del arrays[name]
    found = read_counts(save(tmp_path / "a.npz", arrays, sources=None))
    assert found.void_pixels == 0
    assert {row.digests for row in found.images} == {("", "")}


def test_files_of_the_first_format_have_no_margins_and_still_merge(arrays, tmp_path):
    early = {name: array for name, array in arrays.items() if "margin" not in name}
    save(tmp_path / "a.npz", early, format=1, shards=[[1, 2]])
    assert {row.margins for row in read_counts(tmp_path / "a.npz").images} == {None}
    other = Evaluation.empty(OPTIONS.settings)
    other.absorb(evaluate_maps("image 3", *random_maps(3, 20, 30, classes=5), OPTIONS))
    other.shards.append(Shard.of(2, 2, ["image 0", "image 1", "image 2", "image 3"]))
    write_counts(other, tmp_path / "b.npz")
    merged = merge_counts([tmp_path / "a.npz", tmp_path / "b.npz"])
    missing = "the margins of 3 of 4 images are not known: an earlier version counted them"
    assert merged.to_dict()["intervals"]["missing"] == missing
    write_counts(merged, tmp_path / "c.npz")  # margins of some images alone are not written
    found = read_counts(tmp_path / "c.npz")
    assert {row.margins for row in found.images} == {None}
    missing = "the margins of 4 of 4 images are not known: a file of counts has them of all its"
    assert found.to_dict()["intervals"]["missing"] == f"{missing} images or of none"


def test_margins_of_many_images_are_left_out_and_the_reason_is_kept(
    evaluation, tmp_path, monkeypatch
):
    monkeypatch.setattr(image_margins, "_MOST_ROWS", 5)
    write_counts(evaluation, tmp_path / "a.npz")
    found = read_counts(tmp_path / "a.npz")
    missing = "the margins of 3 of 3 images are not known: a file of counts has at most"
    assert found.to_dict()["intervals"]["missing"].startswith(missing)
    write_counts(found, tmp_path / "b.npz")
    assert read_counts(tmp_path / "b.npz").images == found.images
    result = json.loads(json.dumps(found.to_dict()))
    notes = compare_results(result, result)["notes"]
    assert any(missing in note for note in notes)


@pytest.mark.parametrize("margins", [False, None, 1, 201 * "x"])
def test_a_file_without_margins_says_why(margins, arrays, tmp_path):
    early = {name: array for name, array in arrays.items() if "margin" not in name}
    with pytest.raises(CountsFileError, match="margins: expected true or why there are none"):
        read_counts(save(tmp_path / "a.npz", early, margins=margins))


def test_groups_are_kept(evaluation, tmp_path):
    grouped = replace(evaluation, images=[row._replace(group="g") for row in evaluation.images])
    write_counts(grouped, tmp_path / "a.npz")
    assert read_counts(tmp_path / "a.npz").images == grouped.images


def test_no_images(tmp_path):
    empty = Evaluation.empty(OPTIONS.settings)
    empty.shards.append(Shard.of(2, 3, ["a", "b", "c"]))
    write_counts(empty, tmp_path / "a.npz")
    assert read_counts(tmp_path / "a.npz").shards == empty.shards


def changed(name, index, value):
    def change(arrays):
        arrays[name] = arrays[name].copy()
        arrays[name][index] = value

    return change


def cast(name, dtype):
    return lambda arrays: arrays.update({name: arrays[name].astype(dtype)})


def moved(arrays):
    """Let the first image have a correct pixel that is one of the second, of the same class."""
    rows = arrays["image_margins"] = arrays["image_margins"].copy()
    first, second = rows[0], rows[int(arrays["image_margin_rows"][0])]
    wrong = np.minimum(first[5:9], first[9:13]) - first[1:5]
    region = int(np.flatnonzero((wrong > 0) & (second[1:5] > 0))[0])
    first[1 + region] += 1
    second[1 + region] -= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (changed("confusion", (0, 0, 1), -1), "confusion: expected counts from 0 on"),
        (changed("confusion", (0, 0, 1), 2**60), "confusion: expected counts .* at most"),
        (changed("confusion", (0, 0, 1), 10**6), "image_error_pixels: expected .* as in the table"),
        (cast("confusion", np.float64), "confusion: expected int64 .* got float64"),
        (cast("edges", ">i8"), "edges: expected int64"),
        (changed("edges", 0, -3), "edges: expected counts from 0 on"),
        (changed("boundary", 0, -3), "boundary: expected counts from 0 on"),
        (changed("image_miou", 0, 1e300), r"image_miou: expected shares in \[0, 1\]"),
        (changed("image_miou", 0, -0.1), "image_miou: expected shares"),
        (changed("image_error_pixels", (0, 0), -1), "image_error_pixels: expected counts"),
        (changed("image_error_pixels", (0, 0), 10**9), "image_error_pixels: expected .* table"),
        (cast("image_error_pixels", np.float64), "image_error_pixels: expected int64"),
        (cast("image_digests", "<U900"), "image_digests: expected <U80"),
        (lambda a: a.update(void_pixels=np.array(-1)), "void_pixels: expected counts"),
        (lambda a: a.update(void_pixels=np.array([1, 2])), "void_pixels: expected int64"),
        (changed("image_margin_rows", 0, 9), "image_margin_rows: expected one a class"),
        (changed("image_margin_rows", 0, 1), "image_margins: expected int64 of shape"),
        (changed("image_margins", (0, 0), 7), "margins: expected classes from 0 to 4"),
        (changed("image_margins", (1, 0), 0), "margins: expected ascending classes"),
        (changed("image_margins", (0, 1), 10**6), "margins: expected no more correct pixels"),
        (changed("image_margins", (0, 9), 10**6), "image_margins: expected those of the table"),
        (moved, "image_margins: expected the wrong pixels of each image"),
        (lambda a: a.pop("image_margins"), "lacks 'image_margins'"),
        (lambda a: a.pop("edges"), "lacks 'edges'"),
        (lambda a: a.update(image_miou=a["image_miou"][:2]), "image_miou: expected"),
    ],
)
def test_arrays_that_contradict_are_refused(change, message, arrays, tmp_path):
    change(arrays)
    with pytest.raises(CountsFileError, match=rf"a\.npz: expected counts .*{message}") as caught:
        read_counts(save(tmp_path / "a.npz", arrays))
    assert len(str(caught.value)) < 2000


SETTINGS = vars(OPTIONS.settings)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"format": 3}, "expected format 1 or 2, got 3"),
        ({"format": None}, "expected format 1 or 2"),
        ({"images": ["image 0", "image 1", "image 1"]}, "got one twice"),
        ({"images": [1, 2, 3]}, "images: expected a list of text"),
        ({"images": "abc"}, "images: expected a list of text"),
        ({"skipped": [{}]}, "skipped: expected a list of text"),
        ({"shards": [[1, 99_999_999]]}, "shards: expected i of n"),
        ({"shards": [[0, 1]]}, "shards: expected i of n"),
        ({"shards": [[1.0, 2]]}, "shards: expected i of n"),
        ({"shards": [[1]]}, "shards: expected i of n"),
        ({"shards": {"a": 1}}, "shards: expected i of n"),
        ({"shards": [[1, 2, 3]]}, "shards: expected i of n"),
        ({"shards": [[1, 2, "x"]]}, "and a digest"),
        ({"shards": [[1, 2, "0" * 16, 3]]}, "shards: expected i of n"),
        ({"settings": None}, "settings: expected those"),
        ({"settings": {"x": 1}}, "settings: expected those"),
        ({"settings": {}}, "names: expected"),
        ({"settings": {**SETTINGS, "names": []}}, "num_classes: expected a positive"),
        ({"settings": {**SETTINGS, "names": ["a"] * 5}}, "names that differ"),
        ({"settings": {**SETTINGS, "names": [*map(str, range(70_000))]}}, "at most 4,096 classes"),
        ({"settings": {**SETTINGS, "ignore_index": 2**63}}, "64 bits"),
        ({"settings": {**SETTINGS, "band_width": 10**6 + 1}}, "at most 65,535 pixels"),
        ({"settings": {**SETTINGS, "band_width": 4}}, "band_width"),
        ({"settings": {**SETTINGS, "protocol": ["paper"]}}, "protocol"),
        ({"settings": {**SETTINGS, "boundary": 1}}, "boundary true or false"),
        ({"settings": {**SETTINGS, "class_set": 1}}, "a name of a class set"),
        ({"groups": ["a"]}, "groups: expected 3, one an image, got 1"),
        ({"groups": [1, 2, 3]}, "groups: expected a list of text"),
        ({"sources": []}, "sources: expected a mapping"),
        ({"sources": {"predictions": 1}}, "predictions: expected a folder"),
        ({"several": {}}, "several: expected a list of sources"),
        ({"several": [1]}, "sources: expected a mapping"),
    ],
)
def test_headers_that_are_none(header, message, arrays, tmp_path):
    with pytest.raises(CountsFileError, match=rf"a\.npz: expected counts .*{message}") as caught:
        read_counts(save(tmp_path / "a.npz", arrays, **header))
    assert len(str(caught.value)) < 2000


def test_sources_of_other_classes(arrays, tmp_path):
    sources = Sources.of(ClassSet("b", ("x", "y")), tmp_path, tmp_path).to_dict()
    with pytest.raises(CountsFileError, match="expected the classes of the settings"):
        read_counts(save(tmp_path / "a.npz", arrays, sources=sources))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("confusion", member("(4, 99999999, 99999999)"), "confusion: expected int64"),
        ("confusion", member("(4, 5, 5)"), "."),
        ("header", member("(99999999999,)", "'|u1'"), "header: expected at most"),
        ("header", member("(1,)", "'<U9999999'"), "header: expected at most"),
        ("header", member("(4,)", "'|O'"), "header: expected at most"),
        ("header", member("(-1,)", "'|u1'"), "negative length"),
        ("header", member("(4,)", "'|u1'", b"[[[["), "expected JSON"),
        ("header", member("(100000,)", "'|u1'", b"[" * 100_000), "nesting"),
        ("header", member("(2,)", "'|u1'", b"[]"), "header: expected a mapping"),
        ("header", member("()", "__import__('os')"), "."),
        ("edges", b"", "."),
    ],
)
def test_arrays_that_lie(name, content, message, arrays, tmp_path):
    save(tmp_path / "whole.npz", arrays)
    with (
        zipfile.ZipFile(tmp_path / "whole.npz") as whole,
        zipfile.ZipFile(tmp_path / "a.npz", "w") as file,
    ):
        for entry in whole.namelist():
            file.writestr(entry, content if entry == f"{name}.npy" else whole.read(entry))
    with pytest.raises(CountsFileError, match=rf"(?s)a\.npz: expected counts .*{message}"):
        read_counts(tmp_path / "a.npz")


def archive(compression=zipfile.ZIP_STORED, count=1):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as content:
        for number in range(count):
            content.writestr(f"header{number or ''}.npy", member("(2,)", "'|u1'", b"{}"))
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (archive(zipfile.ZIP_LZMA), "unusual compression"),
        (archive(zipfile.ZIP_BZIP2), "unusual compression"),
        (archive(count=2000), "few entries"),
        (archive(count=70_000), "few entries"),  # of 64 bits
        (archive()[:-30], "another kind"),
        (archive(count=2000)[:-14] + b"PK\5\6" + archive(count=2000)[-10:], "few entries"),
        (b"", "another kind"),
    ],
    ids=range(7),
)
def test_archives_that_are_none(content, message, tmp_path):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(CountsFileError, match=rf"a\.npz: expected counts .*{message}"):
        read_counts(tmp_path / "a.npz")


def test_what_does_not_end(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "zero.npz").symlink_to("/dev/zero")
    for name in ("pipe.npz", "zero.npz"):
        with pytest.raises(CountsFileError, match=rf"{name}: expected a regular file"):
            read_counts(tmp_path / name)


def test_many_missing_shards_are_counted(arrays, tmp_path):
    path = save(tmp_path / "a.npz", arrays, shards=[[2, 100_000], [1, 99_999]])
    with pytest.raises(CountsFileError, match=r"missing: 2/99999, .* and 199,989 more"):
        merge_counts([path])
    assert merge_counts([path], partial=True).shards == [Shard(2, 100_000), Shard(1, 99_999)]


def shard_of(index, names, folder):
    """A file of counts of one of two shards of these images."""
    part = Evaluation.empty(OPTIONS.settings)
    for name in names[index - 1 :: 2]:
        part.absorb(evaluate_maps(name, *random_maps(1, 20, 30, classes=5), OPTIONS))
    part.shards.append(Shard.of(index, 2, names))
    path = folder / f"{names[0]}{index}.npz"
    write_counts(part, path)
    return path


COLORED = ClassSet("five", tuple("abcde"), palette=tuple((k, 0, 0) for k in range(5)))
MAPPED = replace(CLASSES, label_map={7: 0, 9: 4})


def part_of(name, classes=CLASSES, folder="p", **more):
    """The counts of one image that is read by these rules."""
    part = evaluate_maps(name, *random_maps(1, 20, 30, classes=5), Options(classes))
    part.sources = Sources.of(classes, Path("/data", folder), Path("/data/t"), **more)
    return part


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ({}, {"classes": MAPPED}, "label_map of 7: expected None as in the first, got 0"),
        (
            {"classes": MAPPED},
            {"classes": replace(MAPPED, label_map={7: 0, 9: 3})},
            "label_map of 9: expected 4 as in the first, got 3",
        ),
        (
            {"classes": MAPPED},
            {"classes": replace(MAPPED, label_map_files="*_ids.png")},
            "label_map_files: expected None as in the first, got '*_ids.png'",
        ),
        ({}, {"classes": replace(CLASSES, reduce_zero_label=True)}, "reduce_zero_label: expected"),
        ({"classes": COLORED}, {}, "palette of a: expected (0, 0, 0) as in the first, got None"),
        (
            {"classes": COLORED},
            {"classes": replace(COLORED, color_map={(9, 9, 9): 1})},
            "color_map of (9, 9, 9): expected None as in the first, got 1",
        ),
        (
            {"classes": COLORED},
            {"classes": replace(COLORED, void_color=(9, 9, 9))},
            "void_color: expected None as in the first, got (9, 9, 9)",
        ),
        ({}, {"map_predictions": True}, "map_predictions: expected False as in the first"),
        ({"resize_predictions": True}, {}, "resize_predictions: expected True as in the first"),
        ({}, {"rule": PairingRule("{name}_p")}, "prediction_pattern: expected None as in the f"),
        ({}, {"rule": PairingRule(table=Path("a.csv"))}, "pairs: expected None as in the first"),
    ],
)
def test_labels_read_by_other_rules_are_not_added(first, second, message, tmp_path):
    parts = part_of("a", **first), part_of("b", **second)
    with pytest.raises(CountsFileError, match=f"^{re.escape(message)}"):
        parts[0].merge(parts[1])
    parts[0].merge(replace(parts[1], sources=None))  # by rules that are not known
    apart = part_of("c", folder="q", **first)
    for name, part in (("a", parts[0].merge(apart)), ("b", parts[1])):
        part.shards = [Shard.whole([name])]
        write_counts(part, tmp_path / f"{name}.npz")
    with pytest.raises(CountsFileError, match=re.escape(message)):  # nor once folders differ
        merge_counts([tmp_path / "a.npz", tmp_path / "b.npz"])


def test_folders_that_differ_are_said():
    strict = replace(MAPPED, single_labels=True)
    part_of("a", MAPPED).merge(part_of("b", strict))
    same = part_of("a").merge(part_of("b"))
    assert same.sources == part_of("a").sources
    assert same.warnings() == []
    merged = same.merge(part_of("c", folder="q", found_by="x")).merge(part_of("d", found_by="x"))
    assert merged.sources is None
    assert merged.warnings() == [
        "paired by what names have in common: x",
        "predictions of 2 places were added up: /data/p, /data/q",
    ]
    tables = [part_of(name, rule=PairingRule(table=Path("/", name))) for name in "abcdef"]
    merged = functools.reduce(Evaluation.merge, tables)
    assert merged.warnings() == ["pairs of 6 places were added up: /a, /b, /c, /d and 2 more"]


def test_images_that_were_not_counted_are_said(tmp_path):
    first, second = (shard_of(index, ["a", "b"], tmp_path) for index in (1, 2))
    message = "not all images are counted; missing shards: 2/2"
    assert message in read_counts(first).to_dict()["warnings"]
    assert message in merge_counts([first], partial=True).warnings()
    assert merge_counts([first, second]).warnings() == []


def test_shards_of_other_images_do_not_complete_each_other(tmp_path):
    first, second = (shard_of(index, ["a", "b"], tmp_path) for index in (1, 2))
    third, fourth = (shard_of(index, ["c", "d"], tmp_path) for index in (1, 2))
    with pytest.raises(CountsFileError, match="2/2; these shards are of 2 different lists of im"):
        merge_counts([first, second, third])
    with pytest.raises(CountsFileError, match="missing: 2/2, 1/2; these shards are of 2 diff"):
        merge_counts([first, fourth])
    assert len(merge_counts([first, fourth], partial=True).images) == 2
    assert len(merge_counts([fourth, second, third, first]).images) == 4


def test_shards_of_unknown_images_are_completed_by_their_numbers(arrays, tmp_path):
    early = save(tmp_path / "early.npz", arrays, shards=[[1, 2]])
    with pytest.raises(CountsFileError, match="missing: 2/2; --partial"):
        merge_counts([early])
    assert len(merge_counts([early, shard_of(2, ["a", "b"], tmp_path)]).images) == 4


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *((name, f"'{name}") for name in ("=1+1", "+1", "-1", "@SUM(A1)", " =1")),
        *((f"{sign}=1", f"{escape}=1") for sign, escape in (("\t", r"\t"), ("\r", r"\r"))),
    ],
)
def test_names_are_no_formulas_in_tables(name, text, tmp_path):
    """What a spreadsheet would run."""
    classes = ClassSet("formulas", (name, "plain"))
    evaluation = evaluate_maps("a", *random_maps(0, 8, 8, classes=2), Options(classes))
    write_csv(evaluation, tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == [text, "plain", "mean"]
