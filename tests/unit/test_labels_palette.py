"""Palette images: whether their indices are labels, or their colours."""

import numpy as np
import pytest
from PIL import Image

from dealias.data.reading import read_target
from dealias.labels import (
    ClassSet,
    LabelFileError,
    load_class_set,
    read_label_map,
    write_label_map,
)

CAMVID = load_class_set("camvid")
VOC = load_class_set("voc2012")
LABELS = np.array([[8, 8, 2, 3], [0, 11, 1, 3]], np.uint8)  # with void


def colors_of(classes, labels):
    colors = np.zeros((256, 3), np.uint8)
    colors[: len(classes)] = classes.palette
    colors[classes.ignore_index] = classes.void_color
    return colors[labels]


def save(path, indices, palette):
    image = Image.fromarray(np.asarray(indices, np.uint8))
    image.putpalette(np.asarray(palette, np.uint8).tobytes())
    image.save(path)
    return path


def quantised(path, colors):
    """Save with a palette of what is in the image, as editors and `Image.quantize` do."""
    Image.fromarray(colors).quantize(len(np.unique(colors.reshape(-1, 3), axis=0))).save(path)
    return path


def voc_colors(count):
    """VOC's colour map: three bits of the index after another are the next bits of R, G and B."""
    return [
        [sum((k >> 3 * j + c & 1) << 7 - j for j in range(8)) for c in range(3)]
        for k in range(count)
    ]


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("role", ["prediction", "target", "stored"])
def test_quantised_colours_are_classes(tmp_path, suffix, role):
    path = quantised(tmp_path / f"a.{suffix}", colors_of(CAMVID, LABELS))
    assert not np.array_equal(np.array(Image.open(path)), LABELS)  # the indices are others
    assert np.array_equal(read_label_map(path, CAMVID, role), LABELS)


def test_quantised_voc_is_read_by_its_colours_in_training_too(tmp_path):
    labels = np.array([[0, 5, 15, 255, 20]], np.uint8)
    path = quantised(tmp_path / "a.png", colors_of(VOC, labels))
    assert read_target(path, VOC).tolist() == labels.tolist()


@pytest.mark.parametrize(
    ("classes", "palette"),
    [
        (CAMVID, colors_of(CAMVID, np.arange(12))),
        (CAMVID, colors_of(CAMVID, np.arange(256) % 12)),
        (VOC, voc_colors(256)),
        (CAMVID, voc_colors(256)),
        (CAMVID, np.repeat(np.arange(256)[:, None], 3, 1)),
        (load_class_set("ade20k"), np.repeat(np.arange(256)[:, None], 3, 1)),
        (CAMVID, np.random.RandomState(0).randint(1, 256, (256, 3)) // 2 * 2 + 1),
        (CAMVID, [[0, 0, 0], *np.random.RandomState(0).randint(1, 256, (255, 3)) // 2 * 2 + 1]),
        (ClassSet("plain", tuple("abcdefghijk"), ignore_index=11), voc_colors(16)),
    ],
    ids=[
        "own",
        "own256",
        "voc",
        "voc on camvid",
        "gray",
        "gray on ade",
        "odd",
        "black, odd",
        "none",
    ],
)
def test_indices_stay_labels(tmp_path, classes, palette):
    labels = np.minimum(LABELS, 11)
    path = save(tmp_path / "a.png", labels, palette)
    assert np.array_equal(read_label_map(path, classes, "prediction"), labels)


@pytest.mark.parametrize(
    "classes",
    [
        *map(load_class_set, ("camvid", "cityscapes", "voc2012", "ade20k", "scenes")),
        ClassSet("two", ("a", "b"), palette=((0, 0, 0), (9, 9, 9))),  # void has no colour
        ClassSet("three", ("a", "b", "c")),
    ],
    ids=lambda classes: classes.name,
)
def test_our_own_predictions_are_read_back_with_any_label(tmp_path, classes):
    labels = np.array([[*range(len(classes)), classes.ignore_index]], np.uint8)
    write_label_map(tmp_path / "a.png", labels, classes)
    assert np.array_equal(read_label_map(tmp_path / "a.png", classes, "prediction"), labels)


def test_void_that_a_mask_cannot_hold_is_not_written(tmp_path):
    binary = load_class_set("binary")
    labels = np.array([[0, 1]], np.uint8)
    write_label_map(tmp_path / "a.png", labels, binary)
    assert np.array_equal(read_label_map(tmp_path / "a.png", binary, "prediction"), labels)
    with pytest.raises(ValueError, match="labels: expected classes of 'binary', got void, 255"):
        write_label_map(tmp_path / "b.png", np.array([[0, 1, 255]], np.uint8), binary)
    assert not (tmp_path / "b.png").exists()


@pytest.mark.parametrize("role", ["prediction", "target"])
def test_colours_repeated_as_padding_mean_nothing(tmp_path, role):
    palette = np.zeros((256, 3), np.uint8)
    palette[:21] = VOC.palette
    path = save(tmp_path / "a.png", [[0, 1, 255, 2]], palette)
    assert read_label_map(path, VOC, role).tolist() == [[0, 1, 255, 2]]
    # Colours in another order still mean their classes, whatever pads them.
    palette[:21] = VOC.palette[::-1]
    path = save(tmp_path / "b.png", [[0, 1, 20, 255]], palette)
    assert read_label_map(path, VOC, role).tolist() == [[20, 19, 0, 0]]


def test_colours_of_stored_labels_in_their_order_are_indices(tmp_path):
    cityscapes = load_class_set("cityscapes")
    stored = cityscapes.label_map
    palette = [
        cityscapes.void_color if stored.get(k, 255) == 255 else cityscapes.palette[stored[k]]
        for k in range(34)
    ]
    labels = np.array([[7, 8, 26, 0, 33]], np.uint8)
    path = save(tmp_path / "x_labelIds.png", labels, palette)
    assert read_label_map(path, cityscapes, "target").tolist() == [[0, 1, 13, 255, 18]]
    by_color = quantised(tmp_path / "y_labelIds.png", np.array(palette, np.uint8)[labels])
    assert read_label_map(by_color, cityscapes, "target").tolist() == [[0, 1, 13, 255, 18]]


def test_an_image_of_void_alone(tmp_path):
    path = save(tmp_path / "a.png", [[0, 0]], [[0, 0, 0]])
    assert read_label_map(path, CAMVID, "target").tolist() == [[11, 11]]


def test_colours_of_classes_among_others_are_refused(tmp_path):
    sky, tree = CAMVID.palette[0], CAMVID.palette[5]
    path = save(tmp_path / "a.png", [[0, 1, 1, 2, 3]], [[1, 2, 3], tree, sky])
    message = (
        r"a\.png: a palette .*classes of 'camvid' at other indices \(1: #808000 \(2 px\), "
        r"2: #808080 \(1 px\)\) and some are of no class \(0: #010203 \(1 px\), "
        r"3: no colour \(1 px\)\)"
    )
    with pytest.raises(LabelFileError, match=message):
        read_label_map(path, CAMVID, "prediction")
    # Where the foreign colours are not in use they do not matter.
    path = save(tmp_path / "b.png", [[1, 1, 2]], [[1, 2, 3], tree, sky])
    assert read_label_map(path, CAMVID, "prediction").tolist() == [[5, 5, 0]]


def test_a_colour_of_two_classes_is_ambiguous(tmp_path):
    path = save(tmp_path / "a.png", [[0, 1]], [[140, 140, 140], [120, 120, 120]])
    with pytest.raises(LabelFileError, match="palette of one class of 'ade20k': #8c8c8c"):
        read_label_map(path, load_class_set("ade20k"), "prediction")


def test_the_colours_of_the_original_camvid(tmp_path):
    # Truck_Bus, Wall, LaneMkgsDriv, Child, Void, RoadShoulder
    colors = [(192, 128, 192), (64, 192, 0), (128, 0, 192), (192, 128, 64), (0, 0, 0)]
    colors = np.array([[*colors, (128, 128, 192)]], np.uint8)
    expected = [["Car", "Building", "Road", "Pedestrian", None, "Pavement"]]
    Image.fromarray(colors).save(tmp_path / "a.png")
    for path in (tmp_path / "a.png", quantised(tmp_path / "b.png", colors)):
        found = read_label_map(path, CAMVID, "target")
        names = [None if k == 11 else CAMVID.names[k] for k in found[0].tolist()]
        assert [names] == expected
    assert len(CAMVID.labels_of_colors()) == 32


def test_the_licence_plates_of_cityscapes_are_void(tmp_path):
    np.save(tmp_path / "x_labelIds.npy", np.array([[-1, 7]], np.int16))
    found = read_label_map(tmp_path / "x_labelIds.npy", load_class_set("cityscapes"), "target")
    assert found.tolist() == [[255, 0]]
