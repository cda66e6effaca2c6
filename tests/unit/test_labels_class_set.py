import json
import os

import numpy as np
import pytest
import yaml

from dealias.labels import ClassSet, ClassSetError, builtin_class_sets, load_class_set

SIZES = {"ade20k": 150, "camvid": 11, "cityscapes": 19, "voc2012": 21}


@pytest.mark.parametrize(("name", "size"), SIZES.items())
def test_built_in_sets(name, size):
    classes = load_class_set(name)
    assert name in builtin_class_sets()
    assert len(classes) == size == len(set(classes.names))
    assert classes.colors().shape == (size, 3)
    assert (classes.colors() == classes.palette).all()


def test_known_entries_of_the_built_in_sets():
    assert load_class_set("cityscapes").names[6] == "traffic light"
    assert load_class_set("cityscapes").palette[18] == (119, 11, 32)
    assert load_class_set("voc2012").names[15] == "person"
    assert load_class_set("voc2012").palette[15] == (192, 128, 128)
    assert load_class_set("ade20k").names[149] == "flag"
    assert load_class_set("camvid").ignore_index == 11


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.yaml"
    content = {
        "names": ["land", "water"],
        "palette": [[1, 2, 3], [4, 5, 6]],
        "ignore_index": 9,
        "label_map": {10: 0, 20: 1, 30: "ignore"},
    }
    path.write_text(yaml.safe_dump(content))
    classes = load_class_set(path)
    assert classes.name == "mine"
    assert classes.names == ("land", "water")
    assert classes.stored_labels(tmp_path / "a.png", "target") == {10: 0, 20: 1, 30: 9}
    assert classes.stored_labels(tmp_path / "a.png", "prediction") is None


def test_further_colours_of_classes(tmp_path):
    path = tmp_path / "mine.yaml"
    content = {
        "names": ["land", "water"],
        "palette": [[1, 2, 3], [4, 5, 6]],
        "color_map": {"#0A0b0c": "water", "#0d0e0f": 0, "#101112": "ignore"},
    }
    path.write_text(yaml.safe_dump(content))
    classes = load_class_set(path)
    assert classes.color_map == {(10, 11, 12): 1, (13, 14, 15): 0, (16, 17, 18): 255}
    assert classes.labels_of_colors()[4, 5, 6] == classes.labels_of_colors()[10, 11, 12] == {1}
    assert ClassSet.from_dict(json.loads(json.dumps(classes.to_dict())), "a.json") == classes


def test_colours_without_a_palette_are_distinct(tmp_path):
    path = tmp_path / "mine.yml"
    path.write_text(yaml.safe_dump({"names": [f"c{i}" for i in range(60)]}))
    assert len(np.unique(load_class_set(path).colors(), axis=0)) == 60


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("names: []", "at least one class, got none"),
        ("", "expected a mapping"),
        ("{", "expected YAML"),
        ("names: road", "names: expected a list"),
        ("names: [yes]", "names: expected a list of class names"),
        ("names: [a]\nclasses: 3", r"unknown keys \['classes'\]"),
        ("names: [a, b]\nignore_index: 1", "which is 'b'"),
        ("names: [a]\nignore_index: none", "ignore_index: expected int, got 'none'"),
        ("names: [a]\nreduce_zero_label: 1", "reduce_zero_label: expected bool"),
        ("names: [a]\npalette: [[1, 2, 3], [4, 5, 6]]", r"one colour per class \(1\), got 2"),
        ("names: [a]\npalette: [[1, 2, 300]]", r"0\.\.255, got \[1, 2, 300\]"),
        ("names: [a]\npalette: red", "palette: expected a list"),
        ("names: [a]\nvoid_color: red", "expected a colour"),
        ("names: [a]\nlabel_map: {1: 4}", r"classes 0\.\.0 or ignore, got \[4\]"),
        ("names: [a]\nlabel_map: {1: a}", "expected integers or 'ignore', got 1: 'a'"),
        ("names: [a]\ncolor_map: {'#000000': 0}", "color_map without a palette"),
        ("names: [a]\ncolor_map: {black: 0}", "expected '#rrggbb' and a class.*got 'black': 0"),
        ("names: [a]\ncolor_map: {'#000000': b}", "its name or 'ignore', got '#000000': 'b'"),
        ("names: [a]\ncolor_map: {'#000000': [0]}", r"its name or 'ignore', got '#000000': \[0\]"),
        ("names: [a]\ncolor_map: [1]", "color_map: expected '#rrggbb': class"),
        (
            "names: [a]\npalette: [[1, 2, 3]]\ncolor_map: {'#000000': 4}",
            r"color_map: expected classes 0\.\.0 or ignore, got \[4\]",
        ),
        ("names: [a, b, a]", "several classes are named 'a'"),
        ("names: [a]\nlabel_map_files: x", "label_map_files without a label_map"),
        ("names: [a]\nlabel_map: [1]", "label_map: expected stored label: class"),
        ("names: [a]\nlabel_map: {1: 0}\nreduce_zero_label: true", "exclude one another"),
    ],
)
def test_files_that_are_no_class_set(content, message, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(ClassSetError, match=message):
        load_class_set(path)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ClassSetError, match=r"camvid, cityscapes.*got 'kitti'"):
        load_class_set("kitti")


HOSTILE = {
    "x: " + "- " * 300_000: "expected YAML|at most",
    "names: [" + ", ".join(f"c{i}" for i in range(4097)) + "]": "at most 4,096 classes, got 4,097",
    "names: [" + ", ".join(f"c{i}" for i in range(70_000)) + "]": "",
    "names: [a]\nignore_index: 1180591620717411303424": "ignore_index of 64 bits",
    "names: [a]\nlabel_map: {1180591620717411303424: 0}": "of 64 bits",
    "names: [a]\nlabel_map: {1: 1180591620717411303424}": "expected classes",
    "names: [a]\nnames: [b]": "the key 'names' is given twice",
    "names: [2024-01-01, a]\nname: [a]": "name: expected a name",
    f"names: [{'a' * 1001}]": "at most 1,000 characters",
    f"names: [a]\nname: {'a' * 1001}": "at most 1,000 characters",
    f"names: {'a' * 100_000}": "names: expected a list",
    "names: [a]\n" + "".join(f"k{i}: 1\n" for i in range(5000)): "unknown keys",
    f"names: [a]\npalette: [{'b' * 100_000}]": "expected a colour",
    "names: [a]\nlabel_map: {1: [" + "[" * 60 + "]" * 60 + "]}": "label_map: expected",
    "a: &a [x]\nb: &b [*a, *a]\nnames: &names [*b, *names]": "an alias of what it lies in",
    "\n".join(f"k{i}: &k{i} [{f'*k{i - 1}, ' * 9 if i else ''}1]" for i in range(12)): "aliases",
    "names: &n [" + "a, " * 999 + "a]\nlabel_map: {1: *n}\npalette: *n": "expected",
}


@pytest.mark.parametrize("content", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_files_are_refused_in_a_line(content, tmp_path):
    (tmp_path / "mine.yaml").write_text(content)
    with pytest.raises(ClassSetError, match=rf"mine\.yaml: .*({HOSTILE[content]})") as caught:
        load_class_set(tmp_path / "mine.yaml")
    assert len(str(caught.value)) < 1000
    assert "\n" not in str(caught.value)


def test_what_is_no_file_is_named(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "folder.yaml").mkdir()
    for name, problem in (("pipe", "regular"), ("folder", "a folder"), ("none", "no such file")):
        with pytest.raises(ClassSetError, match=rf"{name}\.yaml: .*{problem}"):
            load_class_set(tmp_path / f"{name}.yaml")


@pytest.mark.parametrize(
    "change",
    [
        {"label_map": {"--5": 0}},
        {"label_map": {"9" * 5000: 0}},
        {"label_map": {"1": 10**400}},
        {"color_map": {"#00000": 0}},
        {"names": [1]},
        {"names": {}},
        {"palette": [[1, 2]]},
        {"void_color": 5},
        {"ignore_index": 2.0},
        {"name": {}},
        {"label_map_files": 3},
        {"reduce_zero_label": "yes"},
    ],
)
def test_values_that_are_none_of_a_class_set(change):
    content = load_class_set("camvid").to_dict()
    assert ClassSet.from_dict(content, "a") == load_class_set("camvid")
    with pytest.raises(ClassSetError, match=r"^a\b.*: "):
        ClassSet.from_dict(content | change, "a")


def test_what_is_neither_a_class_nor_void_is_not_painted():
    classes = ClassSet("three", ("a", "b", "c"))
    assert classes.paint(np.array([[0, 255]], np.uint8))[0, 1].tolist() == [0, 0, 0]
    for wrong in (3, -1, -2, 256):
        with pytest.raises(IndexError, match=rf"classes 0\.\.2 or void 255, got \[{wrong}\]"):
            classes.paint(np.array([[0, 255, wrong]]))
    assert classes.paint(np.zeros((0, 2), np.uint8)).shape == (0, 2, 3)
