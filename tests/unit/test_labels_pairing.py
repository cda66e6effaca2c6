import itertools
import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dealias.labels import (
    PairingError,
    find_images,
    find_label_maps,
    list_images,
    load_class_set,
    pair_folders,
    pair_images,
    read_label_map,
)


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


@pytest.fixture
def folders(tmp_path):
    return tmp_path / "predictions", tmp_path / "targets"


def names_of(pairing):
    return [pair.name for pair in pairing.pairs]


@pytest.mark.parametrize(
    ("prediction", "target", "name"),
    [
        ("a.png", "a.png", "a"),
        ("a.npy", "a.tif", "a"),
        ("f_1_leftImg8bit.png", "frankfurt/f_1_gtFine_labelTrainIds.png", "f_1"),
        ("frankfurt/f_1_leftImg8bit.png", "frankfurt/f_1_gtFine_labelIds.png", "f_1"),
        ("f_1.png", "f_1_gtCoarse_labelIds.png", "f_1"),
        ("0001TP_006690.png", "0001TP_006690_L.png", "0001TP_006690"),
        ("2007_000033.png", "SegmentationClass/2007_000033.png", "2007_000033"),
        ("ADE_val_00000001_pred.png", "ADE_val_00000001.png", "ADE_val_00000001"),
        ("a.b c'\"<i>\n.png", "a.b c'\"<i>\n.png", "a.b c'\"<i>\n"),
        ("f_1_leftImg8bit_pred.png", "f_1_gtFine_labelIds.png", "f_1"),
        ("f_1_leftImg8bit_labelIds.png", "f_1_gtFine_labelTrainIds.png", "f_1"),
        ("f_1_gtFine_labelTrainIds_pred.png", "f_1_gtFine_labelTrainIds.png", "f_1"),
        ("0_pred.png", "0_target.png", "0"),
        ("0cdf5b5d0ce1_01_OUT.png", "0cdf5b5d0ce1_01_mask.png", "0cdf5b5d0ce1_01"),
        ("1.png", "1_Segmentation.png", "1"),
        ("104_sat_pred.png", "104_mask.png", "104"),
        ("traffic_L.png", "traffic_L.png", "traffic_L"),
        ("_pred.png", "_pred.png", "_pred"),
        ("_pred_pred.png", "_pred_gt.png", "_pred"),
        ("spread.png", "spread.png", "spread"),
    ],
)
def test_conventions(prediction, target, name, folders):
    touch(folders[0], prediction)
    touch(folders[1], target)
    (pair,) = pair_folders(*folders).pairs
    assert pair.name == name
    assert pair.prediction == folders[0] / prediction
    assert pair.target == folders[1] / target


def test_folders_are_part_of_the_name_where_stems_repeat(folders):
    for folder in folders:
        touch(folder, "b/1.png", "a/1.png", "a/2.png")
    assert names_of(pair_folders(*folders)) == ["a/1", "a/2", "b/1"]


def test_cityscapes_companions_are_passed_over_and_train_ids_preferred(folders):
    touch(folders[0], "x.png")
    endings = ("color.png", "instanceIds.png", "labelIds.png", "labelTrainIds.png", "polygons.json")
    touch(folders[1], *(f"x_gtFine_{ending}" for ending in endings))
    (pair,) = pair_folders(*folders).pairs
    assert pair.target.name == "x_gtFine_labelTrainIds.png"


def test_files_named_like_companions_are_label_maps_where_there_is_no_other(folders):
    touch(folders[0], "x_color.png", "y_color.png", "y.png")
    touch(folders[1], "x_color.png", "y.png")
    pairing = pair_folders(*folders)
    assert names_of(pairing) == ["x_color", "y"]
    assert pairing.unpaired == []


def test_hidden_files_and_circular_links_do_no_harm(folders):
    for folder in folders:
        touch(folder, "a.png", "._a.png", ".cache/b.png")
        (folder / "again").symlink_to(folder, target_is_directory=True)
    assert names_of(pair_folders(*folders)) == ["a"]


def test_files_without_a_partner_are_listed_on_either_side(folders):
    touch(folders[0], "a.png", "b.png")
    touch(folders[1], "a.png", "c.png")
    pairing = pair_folders(*folders)
    assert names_of(pairing) == ["a"]
    assert pairing.unpaired == [folders[0] / "b.png", folders[1] / "c.png"]


@pytest.mark.parametrize(
    ("predictions", "targets", "message"),
    [
        (["a.png"], None, "targets: no such folder"),
        (["a.png"], [], "expected label maps .* it is empty"),
        (["a.jpg"], ["a.png"], r"predictions: expected label maps .*got only \.jpg"),
        (["a.png"], ["b.png"], r"no pairs: .*such as a\.png.*such as b\.png"),
        (["a.png", "a.npy"], ["a.png"], r"2 files are named 'a': .*a\.npy, .*a\.png"),
        (["a.png"], ["a.png", "a_gtFine_labelIds.png"], "2 files are named 'a'"),
        (["x/a.png", "x/a_pred.png"], ["x/a.png"], "2 files are named 'a': .*a_pred"),
        (["a.png", "a_pred.png"], ["a.png", "a_gt.png"], "2 files are named 'a'"),
        (["a.png"], ["a.png", "a_mask.png"], "2 files are named 'a'"),
        (["a_pred.png", "a_out.png"], ["a.png", "a_L.png"], "2 files are named 'a'"),
    ],
)
def test_what_cannot_be_paired(predictions, targets, message, folders):
    for folder, names in zip(folders, (predictions, targets), strict=True):
        if names is not None:
            folder.mkdir()
            touch(folder, *names)
    with pytest.raises(PairingError, match=message):
        pair_folders(*folders)


def test_a_file_is_not_a_folder(folders):
    touch(folders[0].parent, "predictions")
    with pytest.raises(PairingError, match="predictions: not a folder"):
        pair_folders(*folders)


def test_photographs_are_found_by_name(tmp_path):
    touch(tmp_path, "a.jpg", "city/f_1_leftImg8bit.png", "x/1.jpg", "y/1.jpg", "notes.txt")
    found = find_images(tmp_path, ["a", "f_1", "x/1", "y/1"])
    relative = {name: path.relative_to(tmp_path).as_posix() for name, path in found.items()}
    assert relative == {
        "a": "a.jpg",
        "f_1": "city/f_1_leftImg8bit.png",
        "x/1": "x/1.jpg",
        "y/1": "y/1.jpg",
    }
    assert list(find_images(tmp_path, ["a", "b"])) == ["a"]
    (tmp_path / "y/1.jpg").unlink()
    found = find_images(tmp_path, ["a", "f_1", "x/1", "y/1"])
    assert list(found) == ["a", "f_1", "x/1"]  # the image of another scene is none of y/1
    assert list(find_images(tmp_path, ["1", "x/1"])) == ["x/1"]
    assert find_images(tmp_path, ["z/1"])["z/1"].parent.name == "x"  # folders may differ
    with pytest.raises(PairingError, match="not a folder"):
        find_images(tmp_path / "a.jpg", [])


def test_one_folder_of_predictions_and_targets_is_paired_by_what_their_names_say(tmp_path):
    touch(tmp_path, "1_pred.png", "1_target.png", "1_image.png", "2_pred.png", "2_gt.png", "3.png")
    pairing = pair_folders(tmp_path, tmp_path)
    assert [(p.name, p.prediction.name, p.target.name) for p in pairing.pairs] == [
        ("1", "1_pred.png", "1_target.png"),
        ("2", "2_pred.png", "2_gt.png"),
    ]
    assert pairing.unpaired == [tmp_path / "3.png"]


@pytest.mark.parametrize("names", [["1.png"], ["1_pred.png", "1.png"], ["1_mask.png"]])
def test_one_folder_whose_names_say_nothing_is_refused(tmp_path, names):
    touch(tmp_path / "a", *names)
    (tmp_path / "b").symlink_to(tmp_path / "a", target_is_directory=True)
    for second in ("a", "b"):
        with pytest.raises(PairingError, match="a: is given for predictions and for targets"):
            pair_folders(tmp_path / "a", tmp_path / second)


@pytest.mark.parametrize(
    ("names", "jpeg"),
    [
        (["s0_pred.jpg", "s0_gt.png"], "s0_pred.jpg"),
        (["s0_pred.png", "s0_gt.JPEG", "s0.jpg"], "s0_gt.JPEG"),
        (["predictions/0.jpg", "masks/0.png"], "predictions/0.jpg"),
    ],
)
def test_one_folder_in_which_a_side_is_jpeg_is_refused_for_that(names, jpeg, tmp_path):
    touch(tmp_path, *names)
    with pytest.raises(PairingError, match=re.escape(f"{jpeg}: JPEG changes labels")):
        pair_folders(tmp_path, tmp_path)


def test_no_file_is_its_own_target_where_one_folder_lies_in_the_other(tmp_path):
    touch(tmp_path, "1.png", "gt/1.png")
    for outer in ((tmp_path, tmp_path / "gt"), (tmp_path / "gt", tmp_path)):
        (pair,) = pair_folders(*outer).pairs
        assert {pair.prediction, pair.target} == {tmp_path / "1.png", tmp_path / "gt/1.png"}
    (tmp_path / "1.png").unlink()
    with pytest.raises(PairingError, match="no pairs"):
        pair_folders(tmp_path, tmp_path / "gt")


def test_images_and_label_maps_in_one_folder(tmp_path):
    touch(tmp_path, "1.jpg", "1_mask.png", "2.png", "2_mask.png")
    found = [(s.name, s.image.name, s.label.name) for s in pair_images(tmp_path, tmp_path).samples]
    assert found == [("1", "1.jpg", "1_mask.png"), ("2", "2.png", "2_mask.png")]
    touch(tmp_path / "plain", "1.png")
    with pytest.raises(PairingError, match="is given for images and for label maps"):
        pair_images(tmp_path / "plain", tmp_path / "plain")


@pytest.mark.parametrize(
    "names",
    [
        ["a_color.png", "a_leftImg8bit_labelIds.png"],
        ["a_leftImg8bit_color.png", "a_leftImg8bit_labelIds.png"],
        ["a_leftImg8bit_color.png", "a_pred.png"],
        ["a_pred_color.png", "a_pred.png"],
        ["a_color_pred.png", "a.png"],
        ["a_gtFine_instanceIds.png", "a_gtFine_labelIds.png"],
        ["a_gtFine_labelIds_pred.png", "a_gtFine_labelTrainIds_pred.png"],
    ],
)
def test_colours_instances_and_label_ids_beside_predictions_are_passed_over(folders, names):
    touch(folders[0], *names)
    touch(folders[1], "a_gtFine_labelTrainIds.png")
    pairing = pair_folders(*folders)
    assert [pair.prediction.name for pair in pairing.pairs] == [names[-1]]
    assert pairing.unpaired == []


PREDICTED = ["", "_pred", "_prediction", "-pred", "_OUT", "_leftImg8bit", "_leftImg8bit_pred"]
PREDICTED += ["_leftImg8bit_labelIds", "_gtFine_labelTrainIds_pred", "_mask", "_seg_pred"]
TRUE = ["", "_target", "_mask", "_label", "_labels", "_gt", "_GT", "_seg", "_annotation"]
TRUE += ["_gtFine_labelIds", "_gtCoarse_labelTrainIds", "_labelIds", "_mask_gt"]


@pytest.mark.parametrize(("predicted", "true"), [*itertools.product(PREDICTED, TRUE)])
def test_any_endings_pair(tmp_path, predicted, true):
    bases = ["1", "12", "traffic_L", "pred", "a.b"]
    for folder, ending in (("p", predicted), ("t", true)):
        touch(tmp_path / folder, *(f"{base}{ending}.png" for base in bases))
    pairing = pair_folders(tmp_path / "p", tmp_path / "t")
    assert pairing.unpaired == []
    assert [pair.name for pair in pairing.pairs] == sorted(bases)
    assert all(
        (pair.prediction.name, pair.target.name)
        == (f"{pair.name}{predicted}.png", f"{pair.name}{true}.png")
        for pair in pairing.pairs
    )


STEM = st.lists(
    st.sampled_from(
        ["a", "b", "1", "_L", "_pred", "_gt", "_mask", "_leftImg8bit", "_labelTrainIds"]
    ),
    min_size=1,
    max_size=4,
).map("".join)


@given(st.sets(STEM, min_size=1, max_size=6))
def test_equal_names_pair_whatever_they_look_like(tmp_path_factory, stems):
    folder = tmp_path_factory.mktemp("equal")
    names = [f"{stem}.png" for stem in stems]
    pairing = pair_folders(touch(folder / "p", *names), touch(folder / "t", *names))
    assert pairing.unpaired == []
    assert sorted(pair.prediction.name for pair in pairing.pairs) == sorted(names)
    assert all(pair.prediction.name == pair.target.name for pair in pairing.pairs)
    assert len({pair.name for pair in pairing.pairs}) == len(names)


def test_names_that_endings_alone_tell_apart_keep_them(folders):
    touch(folders[0], "car_pred.png", "car_mask_pred.png", "bus_pred.png")
    touch(folders[1], "car_gt.png", "car_mask_gt.png", "bus_gt.png")
    pairs = pair_folders(*folders).pairs
    assert [(p.name, p.prediction.name, p.target.name) for p in pairs] == [
        ("bus", "bus_pred.png", "bus_gt.png"),
        ("car", "car_pred.png", "car_gt.png"),
        ("car_mask", "car_mask_pred.png", "car_mask_gt.png"),
    ]
    listed = list_images(folders[0])
    assert [sample.name for sample in listed] == ["bus", "car_mask_pred", "car_pred"]


@pytest.mark.parametrize(
    ("predictions", "targets", "left"),
    [
        (["a.png", "a_rgb.png"], ["a.png"], "a_rgb.png"),
        (["a.png", "a_mask.png"], ["a.png"], "a_mask.png"),
        (["a.png", "a_mask.png"], ["a_mask.png"], "a.png"),
        (["a_pred.png"], ["a.png", "a_img.png"], "a_img.png"),
    ],
)
def test_a_file_left_over_whose_ending_fits_its_side_less_has_no_partner(
    folders, predictions, targets, left
):
    touch(folders[0], *predictions)
    touch(folders[1], *targets)
    pairing = pair_folders(*folders)
    assert len(pairing.pairs) == 1
    assert [path.name for path in pairing.unpaired] == [left]


def test_the_image_of_a_name_is_the_one_with_the_fewest_foreign_endings(tmp_path):
    touch(tmp_path, "a_mask.png", "a.jpg", "b_gt.png", "b_leftImg8bit.png", "c_mask.png")
    found = find_images(tmp_path, ["a", "a_mask", "b", "c"])
    assert {name: path.name for name, path in found.items()} == {
        "a": "a.jpg",
        "a_mask": "a_mask.png",
        "b": "b_leftImg8bit.png",
        "c": "c_mask.png",
    }


@pytest.mark.parametrize("names", [["a.jpg", "a.png"], ["x/a.jpg", "y/a.jpg"]])
def test_images_that_fit_a_name_equally_well_are_refused(tmp_path, names):
    touch(tmp_path, *names)
    with pytest.raises(PairingError, match="2 files are named 'a'"):
        find_images(tmp_path, ["a"])
    assert find_images(tmp_path, ["b"]) == {}


def test_label_maps_of_a_list_are_train_ids_where_there_are_both(tmp_path):
    touch(tmp_path, "x_gtFine_labelIds.png", "x_gtFine_labelTrainIds.png", "x_gtFine_color.png")
    assert find_label_maps(tmp_path, ["x"])["x"].name == "x_gtFine_labelTrainIds.png"


@pytest.mark.parametrize(
    ("name", "means"),
    [
        ("x_leftImg8bit_labelIds.png", 0),
        ("x_gtFine_labelIds_pred.png", 0),
        ("x_leftImg8bit_pred.png", 7),
        ("x_gtFine_labelTrainIds_pred.png", 7),
    ],
)
def test_cityscapes_label_ids_are_told_by_any_of_several_endings(tmp_path, name, means):
    path = touch(tmp_path, name) / name  # label id 7 is road, class 0; train id 7 traffic sign
    Image.fromarray(np.full((2, 2), 7, np.uint8)).save(path)
    assert (read_label_map(path, load_class_set("cityscapes"), "prediction") == means).all()


def test_a_folder_that_cannot_be_read_is_named(folders, monkeypatch):
    touch(folders[0], "a.png", "sub/b.png")
    touch(folders[1], "a.png")
    scan = os.scandir

    def refuse(path):
        if Path(path).name in ("sub", "lost+found"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PairingError, match=r"predictions/sub: can't be read: Permission denied"):
        pair_folders(*folders)
    (folders[0] / "sub").rename(folders[0] / "lost+found")  # that of a file system
    assert [pair.name for pair in pair_folders(*folders).pairs] == ["a"]
