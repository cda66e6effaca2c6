import pytest

from dealias.labels import PairingError, find_images, pair_folders


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
        (["x/a.png", "x/a_pred.png"], ["x/a.png"], "2 files are named 'x/a'"),
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
    with pytest.raises(PairingError, match="no image for 1 pairs: b"):
        find_images(tmp_path, ["a", "b"])
    with pytest.raises(PairingError, match="not a folder"):
        find_images(tmp_path / "a.jpg", [])
