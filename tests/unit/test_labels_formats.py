"""Label maps as other tools save them: masks, one-hot maps, scores, and what loses labels."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from dealias.labels import (
    ClassSet,
    ClassSetError,
    LabelFileError,
    PairingError,
    load_class_set,
    pair_folders,
    read_label_map,
    write_label_map,
)
from dealias.labels.scores import ScoresError, labels_of_channels, whole_numbers

CAMVID = load_class_set("camvid")
BINARY = load_class_set("binary")
THREE = ClassSet("three", ("a", "b", "c"))
MASK = np.array([[0, 1, 1], [1, 0, 0]], np.uint8)
SMOOTH = np.add.outer(np.arange(32), np.arange(32)).astype(np.uint8) // 6


def image(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


def bilevel_palette(path):
    """White at index 0, black at 1: read by colour, as it looks."""
    picture = Image.fromarray(1 - MASK, "L").convert("P")
    picture.putdata((1 - MASK).flatten().tolist())
    picture.putpalette([255] * 3 + [0] * 3)
    picture.save(path)
    return path


MASKS = {
    "0 and 1": lambda folder: image(folder / "a.png", MASK),
    "0 and 255": lambda folder: image(folder / "a.png", MASK * 255),
    "1 bit": lambda folder: image(folder / "a.png", MASK > 0),
    "bilevel BMP": lambda folder: image(folder / "a.bmp", MASK > 0),
    "gray BMP": lambda folder: image(folder / "a.bmp", MASK * 255),
    "RGB": lambda folder: image(folder / "a.png", np.repeat(MASK[..., None] * 255, 3, 2)),
    "WebP": lambda folder: image(folder / "a.webp", MASK * 255, lossless=True),
    "palette": lambda folder: bilevel_palette(folder / "a.png"),
    "float": lambda folder: np.save(folder / "a.npy", MASK * 255.0) or folder / "a.npy",
    "bool": lambda folder: np.save(folder / "a.npy", MASK > 0) or folder / "a.npy",
    "one-hot": lambda folder: (
        np.save(folder / "a.npy", np.stack([MASK == 0, MASK == 1])) or folder / "a.npy"
    ),
    "scores": lambda folder: (
        np.save(folder / "a.npy", np.stack([1.5 - MASK, MASK * 2.0])) or folder / "a.npy"
    ),
}


@pytest.mark.parametrize("role", ["prediction", "target", "stored"])
@pytest.mark.parametrize("kind", MASKS)
def test_masks_of_every_kind_are_background_and_foreground(kind, role, tmp_path):
    path = MASKS[kind](tmp_path)
    if (kind, role) in [("scores", "target"), ("scores", "stored"), ("one-hot", "stored")]:
        with pytest.raises(LabelFileError, match="expected"):
            read_label_map(path, BINARY, role)
    else:
        found = read_label_map(path, BINARY, role)
        assert found.dtype == np.uint8
        assert np.array_equal(found, MASK)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        ([[0, 1, 255]], r"expected one label for a class, got 1 \(1 px\), 255 \(1 px\): if one"),
        ([[0, 128, 255]], r"not in the label map: 128 \(1 px\)"),
    ],
)
def test_masks_that_may_have_void_are_refused(pixels, message, tmp_path):
    path = image(tmp_path / "a.png", np.array(pixels, np.uint8))
    with pytest.raises(LabelFileError, match=message):
        read_label_map(path, BINARY, "target")


def test_masks_that_may_have_void_are_refused_whatever_pads_their_palette(tmp_path):
    mask = Image.fromarray(np.array([[0, 1, 255]], np.uint8))
    mask.putpalette([0, 0, 0, 255, 255, 255, *[0] * 762])
    mask.save(tmp_path / "a.png")
    with pytest.raises(LabelFileError, match=r"got 1 \(1 px\), 255 \(1 px\): if one"):
        read_label_map(tmp_path / "a.png", BINARY, "target")


@pytest.mark.parametrize(
    ("pixels", "asked"),
    [([0, 255, *range(60, 64)], True), ([0, 255, 60], False), ([0, 1, *range(2, 9)], False)],
)
def test_many_values_between_those_of_a_mask_are_told_for_interpolation(pixels, asked, tmp_path):
    path = image(tmp_path / "a.png", np.array([pixels], np.uint8))
    with pytest.raises(LabelFileError, match="stored labels not in the label map") as caught:
        read_label_map(path, BINARY, "target")
    assert ("was the mask resized with interpolation" in str(caught.value)) == asked


def test_the_names_of_a_mask(tmp_path):
    assert load_class_set("binary:crack").names == ("background", "crack")
    named = load_class_set("binary: road , pothole")
    assert named.names == ("road", "pothole")
    assert ClassSet.from_dict(named.to_dict(), "r.json") == named
    write_label_map(tmp_path / "a.png", MASK, named)
    assert np.array_equal(read_label_map(tmp_path / "a.png", named, "prediction"), MASK)
    for wrong in ("binary:", "binary:a,", "binary:a,b,c", "binary:a,a"):
        with pytest.raises(ClassSetError, match=r"binary:FOREGROUND|several classes"):
            load_class_set(wrong)
    with pytest.raises(ClassSetError, match="single_labels without a label_map"):
        ClassSet("x", ("a",), single_labels=True)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("a.png", {"format": "JPEG", "quality": 100}, "JPEG changes labels .*: save .* as PNG"),
        ("a.webp", {"format": "WEBP", "quality": 100}, "lossy WebP changes labels"),
        ("a.png", {"format": "WEBP"}, "lossy WebP changes labels"),
        ("a.tif", {"format": "TIFF", "compression": "jpeg"}, "TIFF of jpeg changes labels"),
    ],
)
def test_what_loses_labels_is_refused_by_content(name, options, said, tmp_path):
    path = image(tmp_path / name, SMOOTH, **options)
    with pytest.raises(LabelFileError, match=f"{name}: {said}"):
        read_label_map(path, CAMVID, "target")


def test_webp_with_metadata_and_transparency_is_told_by_its_picture(tmp_path):
    pixels = np.dstack([SMOOTH.repeat(3).reshape(32, 32, 3), np.full((32, 32), 255, np.uint8)])
    for lossless in (True, False):
        path = image(tmp_path / "a.webp", pixels, lossless=lossless, icc_profile=b"x" * 7)
        if lossless:
            assert np.array_equal(read_label_map(path, THREE, "target"), SMOOTH)
        else:
            with pytest.raises(LabelFileError, match="lossy WebP"):
                read_label_map(path, THREE, "target")
    frames = [Image.fromarray(SMOOTH), Image.fromarray(SMOOTH + 1)]
    frames[0].save(tmp_path / "b.webp", save_all=True, append_images=frames[1:], lossless=True)
    with pytest.raises(LabelFileError, match="several"):
        read_label_map(tmp_path / "b.webp", THREE, "target")


def test_webp_of_gray_is_labels_without_a_palette_and_colours_with_one(tmp_path):
    path = image(tmp_path / "a.webp", SMOOTH, lossless=True)
    assert np.array_equal(read_label_map(path, THREE, "target"), SMOOTH)
    with pytest.raises(LabelFileError, match="it may hold labels saved as RGB"):
        read_label_map(path, CAMVID, "target")


def test_a_folder_of_jpegs_says_why(tmp_path):
    for side in "pt":
        (tmp_path / side).mkdir()
        image(tmp_path / side / "a.jpg", SMOOTH)
    with pytest.raises(PairingError, match=r"got only \.jpg; JPEG changes labels"):
        pair_folders(tmp_path / "p", tmp_path / "t")
    with pytest.raises(LabelFileError, match=r"expected one of \.png.*; JPEG changes labels"):
        read_label_map(tmp_path / "p/a.jpg", CAMVID, "target")


def test_bmp_and_webp_count_but_beside_a_label_map_of_another_kind(tmp_path):
    for side in "pt":
        (tmp_path / side).mkdir()
        for name in ("a.bmp", "b.webp"):
            (tmp_path / side / name).touch()
    assert [p.name for p in pair_folders(tmp_path / "p", tmp_path / "t").pairs] == ["a", "b"]
    for side in "pt":
        (tmp_path / side / "a.png").touch()  # of which a.bmp is a picture
    pairing = pair_folders(tmp_path / "p", tmp_path / "t")
    assert [pair.prediction.name for pair in pairing.pairs] == ["a.png", "b.webp"]
    assert pairing.unpaired == []


def slow_class(channels):
    """The class of a pixel, one channel after another; None where nothing is decided."""
    best = [k for k, score in enumerate(channels) if score == max(channels)]
    return None if len(best) == len(channels) else best[0]


SCORES = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=3, max_dims=3, min_side=2, max_side=4),
    elements=st.sampled_from([0, 1, -2.5, 0.25, float("inf"), -float("inf")]),
)


@given(SCORES)
def test_the_largest_score_counts(tmp_path_factory, scores):
    path = tmp_path_factory.mktemp("scores") / "a.npy"
    expected = [
        [slow_class(scores[:, row, column].tolist()) for column in range(scores.shape[2])]
        for row in range(scores.shape[1])
    ]
    if any(None in row for row in expected):
        with pytest.raises(ScoresError, match="numbers and differ between classes"):
            labels_of_channels(path, scores, "prediction")
    else:
        assert labels_of_channels(path, scores, "prediction").tolist() == expected


@given(hnp.arrays(np.uint8, (3, 2, 2), elements=st.integers(0, 2)))
def test_one_hot_is_one_and_only_one(tmp_path_factory, channels):
    path = tmp_path_factory.mktemp("hot") / "a.npy"
    pixels = channels.reshape(3, 4).T.tolist()
    for role in ("prediction", "target"):
        if all(sorted(pixel) == [0, 0, 1] for pixel in pixels):
            found = labels_of_channels(path, channels, role)
            assert found.ravel().tolist() == [pixel.index(1) for pixel in pixels]
        else:
            with pytest.raises(ScoresError, match="one-hot"):
                labels_of_channels(path, channels, role)


def test_scores_that_are_no_numbers_are_counted(tmp_path):
    scores = np.random.default_rng(0).normal(size=(3, 5, 4))
    scores[1, 2, :3] = np.nan
    np.save(tmp_path / "a.npy", scores)
    with pytest.raises(LabelFileError, match=r"a\.npy: .*differ between classes, got 3 px"):
        read_label_map(tmp_path / "a.npy", THREE, "prediction")
    with pytest.raises(LabelFileError, match="one-hot"):
        read_label_map(tmp_path / "a.npy", THREE, "target")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f8"])
def test_scores_and_one_hot_targets_of_any_float(dtype, tmp_path):
    labels = np.random.default_rng(0).integers(0, 3, (5, 4))
    hot = np.moveaxis(np.eye(3)[labels], 2, 0).astype(dtype)
    np.save(tmp_path / "a.npy", hot)
    np.savez(tmp_path / "b.npz", hot * 3 - 7)
    assert np.array_equal(read_label_map(tmp_path / "a.npy", THREE, "target"), labels)
    found = read_label_map(tmp_path / "b.npz", THREE, "prediction")
    assert found.dtype == np.uint8
    assert np.array_equal(found, labels)


@pytest.mark.parametrize("value", [0.5, -1e-9, np.nan, np.inf, 2.0**54])
def test_floats_that_are_no_labels(value, tmp_path):
    values = np.array([[3, -2.0, value]])
    with pytest.raises(ScoresError, match=r"expected whole numbers as labels.*1 px"):
        whole_numbers(tmp_path / "a.npy", values)
    assert whole_numbers(tmp_path / "a.npy", values[:, :2]).tolist() == [[3, -2]]


@pytest.mark.parametrize(
    ("shape", "dtype", "said"),
    [
        ((2, 9, 9), np.float32, r"or \[3, H, W\] with a channel for each class"),
        ((9, 9, 3), np.float32, r"or \[3, H, W\] with a channel for each class"),
        ((1, 3, 9, 9), np.float32, "expected shape"),
        ((3, 0, 9), np.float32, "at least one pixel"),
        ((9, 9), np.complex64, "expected integer labels, got complex64"),
        ((9, 9), np.longdouble, "expected integer labels, got"),
    ],
)
def test_arrays_of_other_shapes(shape, dtype, said, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(shape, dtype))
    with pytest.raises(LabelFileError, match=said):
        read_label_map(tmp_path / "a.npy", THREE, "prediction")


def test_the_limit_counts_the_values_of_all_classes(monkeypatch, tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(3, 5, 4)))
    monkeypatch.setenv("DEALIAS_MAX_PIXELS", "59")
    with pytest.raises(LabelFileError, match="60 values, more than 59; --max-pixels"):
        read_label_map(tmp_path / "a.npy", THREE, "prediction")
    monkeypatch.setenv("DEALIAS_MAX_PIXELS", "60")
    assert read_label_map(tmp_path / "a.npy", THREE, "prediction").shape == (5, 4)


def test_broken_webp_and_bmp_are_errors_of_their_file(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a.webp", "a.bmp"):
        stream = io.BytesIO()
        Image.fromarray(SMOOTH).save(stream, name[2:], lossless=True)
        whole = stream.getvalue()
        for cut in range(0, len(whole), 7):
            (tmp_path / name).write_bytes(whole[:cut])
            with pytest.raises(LabelFileError, match=name):
                read_label_map(tmp_path / name, THREE, "target")
        for place in rng.integers(0, len(whole), 60):
            broken = bytearray(whole)
            broken[place] ^= 255
            (tmp_path / name).write_bytes(broken)
            with contextlib.suppress(LabelFileError):  # and nothing else
                read_label_map(tmp_path / name, THREE, "target")
