import pytest

from dealias.data import DataError, find_samples
from dealias.data.layouts import LAYOUTS


def touch(root, *paths):
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def write(root, path, *lines):
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def found(root, name, split, **options):
    """(name, image, label map) of each sample, relative to the root, and the unpaired files."""
    sampling = find_samples(name, split, root=root, **options)
    samples = [
        (s.name, s.image.relative_to(root).as_posix(), s.label.relative_to(root).as_posix())
        for s in sampling.samples
    ]
    return samples, [path.relative_to(root).as_posix() for path in sampling.unpaired]


def refusal(*arguments, **options):
    with pytest.raises(DataError) as raised:
        find_samples(*arguments, **options)
    return str(raised.value)


@pytest.fixture
def cityscapes(tmp_path):
    images, labels = "leftImg8bit/val", "gtFine/val"
    for number in (1, 0):
        name = f"lindau/lindau_00000{number}_000019"
        touch(tmp_path, f"{images}/{name}_leftImg8bit.png")
        for kind in ("labelIds.png", "color.png", "instanceIds.png", "polygons.json"):
            touch(tmp_path, f"{labels}/{name}_gtFine_{kind}")
    touch(tmp_path, f"{images}/bochum/bochum_000000_000001_leftImg8bit.png")
    for kind in ("labelIds", "labelTrainIds"):
        touch(tmp_path, f"{labels}/bochum/bochum_000000_000001_gtFine_{kind}.png")
    return tmp_path


@pytest.fixture
def voc2012(tmp_path):
    for name in "abcd":
        touch(tmp_path, f"JPEGImages/{name}.jpg", f"SegmentationClassAug/{name}.png")
    touch(tmp_path, "SegmentationClass/a.png", "SegmentationClass/d.png")
    write(tmp_path, "ImageSets/Segmentation/train.txt", "a")
    write(tmp_path, "ImageSets/Segmentation/val.txt", "d")
    write(tmp_path, "ImageSets/Segmentation/aug.txt", "c", "b")
    return tmp_path


@pytest.fixture
def folder(tmp_path):
    """The names of val.txt lie beside the folder of train."""
    touch(tmp_path, "images/train/b.jpg", "images/train/a.png", "images/c.webp", "images/d.jpg")
    touch(tmp_path, "labels/train/a.png", "labels/train/b.npy", "labels/c.png", "labels/d.png")
    write(tmp_path, "val.txt", "d.jpg", "", " c ")
    return tmp_path


class TestCityscapes:
    def test_order_and_companions(self, cityscapes):
        samples, unpaired = found(cityscapes, "cityscapes", "val")
        bochum = "bochum/bochum_000000_000001"
        assert samples[0] == (
            "bochum_000000_000001",
            f"leftImg8bit/val/{bochum}_leftImg8bit.png",
            f"gtFine/val/{bochum}_gtFine_labelTrainIds.png",
        )
        assert [name for name, _, _ in samples[1:]] == [
            "lindau_000000_000019",
            "lindau_000001_000019",
        ]
        assert samples[1][2].endswith("lindau_000000_000019_gtFine_labelIds.png")
        assert unpaired == []

    def test_unpaired_of_either_side(self, cityscapes):
        (cityscapes / "gtFine/val/bochum/bochum_000000_000001_gtFine_labelIds.png").unlink()
        (cityscapes / "gtFine/val/bochum/bochum_000000_000001_gtFine_labelTrainIds.png").unlink()
        touch(cityscapes, "gtFine/val/ulm/ulm_000000_000019_gtFine_labelIds.png")
        samples, unpaired = found(cityscapes, "cityscapes", "val")
        assert len(samples) == 2
        assert unpaired == [
            "leftImg8bit/val/bochum/bochum_000000_000001_leftImg8bit.png",
            "gtFine/val/ulm/ulm_000000_000019_gtFine_labelIds.png",
        ]

    def test_a_split_that_is_not_there(self, cityscapes):
        said = refusal("cityscapes", "train", root=cityscapes)
        assert f"{cityscapes / 'leftImg8bit/train'}: no such folder" in said


class TestVoc2012:
    def test_joined_lists_prefer_the_annotations_of_voc(self, voc2012):
        samples, unpaired = found(voc2012, "voc2012", "train_aug")
        assert samples == [
            ("a", "JPEGImages/a.jpg", "SegmentationClass/a.png"),
            ("b", "JPEGImages/b.jpg", "SegmentationClassAug/b.png"),
            ("c", "JPEGImages/c.jpg", "SegmentationClassAug/c.png"),
        ]
        assert unpaired == []

    def test_a_list_of_its_own_counts(self, voc2012):
        write(voc2012, "ImageSets/Segmentation/trainaug.txt", "b", "a")
        assert [name for name, _, _ in found(voc2012, "voc2012", "trainaug")[0]] == ["a", "b"]
        assert [name for name, _, _ in found(voc2012, "voc2012", "train_aug")[0]] == ["a", "b"]

    def test_without_the_annotations_of_sbd(self, voc2012):
        for path in (voc2012 / "SegmentationClassAug").iterdir():
            path.unlink()
        (voc2012 / "SegmentationClassAug").rmdir()
        assert len(found(voc2012, "voc2012", "val")[0]) == 1
        samples, unpaired = found(voc2012, "voc2012", "train_aug")
        assert [name for name, _, _ in samples] == ["a"]
        assert unpaired == ["JPEGImages/b.jpg", "JPEGImages/c.jpg"]

    def test_a_name_in_two_lists(self, voc2012):
        write(voc2012, "ImageSets/Segmentation/aug.txt", "b", "a")
        assert "'a' is listed twice" in refusal("voc2012", "train_aug", root=voc2012)

    def test_the_folder_that_the_archive_unpacks_to(self, voc2012, tmp_path_factory):
        root = tmp_path_factory.mktemp("archive")
        (root / "VOCdevkit").mkdir()
        voc2012.rename(root / "VOCdevkit/VOC2012")
        samples, _ = found(root, "voc2012", "val")
        image, label = "JPEGImages/d.jpg", "SegmentationClass/d.png"
        assert samples == [("d", f"VOCdevkit/VOC2012/{image}", f"VOCdevkit/VOC2012/{label}")]

    def test_no_list_of_the_split(self, voc2012):
        said = refusal("voc2012", "test", root=voc2012)
        assert "ImageSets/Segmentation/test.txt: no such file" in said
        assert "SegmentationClassAug/2008_000002.png" in said


class TestAde20k:
    @pytest.mark.parametrize("inner", ["", "ADEChallengeData2016/", "ade/ADEChallengeData2016/"])
    @pytest.mark.parametrize("split", ["val", "validation"])
    def test_layout(self, tmp_path, inner, split):
        for number in (2, 1):
            touch(tmp_path, f"{inner}images/validation/ADE_val_0000000{number}.jpg")
            touch(tmp_path, f"{inner}annotations/validation/ADE_val_0000000{number}.png")
        samples, unpaired = found(tmp_path, "ade20k", split)
        assert samples == [
            (
                f"ADE_val_0000000{number}",
                f"{inner}images/validation/ADE_val_0000000{number}.jpg",
                f"{inner}annotations/validation/ADE_val_0000000{number}.png",
            )
            for number in (1, 2)
        ]
        assert unpaired == []


class TestCamvid:
    @pytest.mark.parametrize("ending", ["png", "jpg", "JPG"])
    def test_layout(self, tmp_path, ending):
        for name in ("0006R0_f00930", "0001TP_006690"):
            touch(tmp_path, f"train/{name}.{ending}", f"trainannot/{name}.png")
        touch(tmp_path, f"val/0016E5_07959.{ending}", "valannot/0016E5_07959.png")
        samples, unpaired = found(tmp_path, "camvid", "train")
        assert samples == [
            (name, f"train/{name}.{ending}", f"trainannot/{name}.png")
            for name in ("0001TP_006690", "0006R0_f00930")
        ]
        assert unpaired == []

    def test_an_image_in_two_formats(self, tmp_path):
        touch(tmp_path, "val/a.png", "val/a.jpg", "valannot/a.png")
        assert "2 files are named 'a'" in refusal("camvid", "val", root=tmp_path)

    def test_as_it_lies_here(self, camvid):
        for split, length in {"train": 367, "val": 101}.items():
            samples, unpaired = found(camvid, "camvid", split)
            assert len(samples) == length
            assert [name for name, _, _ in samples] == sorted(name for name, _, _ in samples)
            assert unpaired == []


class TestFolder:
    def test_a_subfolder(self, folder):
        assert found(folder, "folder", "train")[0] == [
            ("a", "images/train/a.png", "labels/train/a.png"),
            ("b", "images/train/b.jpg", "labels/train/b.npy"),
        ]

    @pytest.mark.parametrize("split", ["val", "val.txt"])
    def test_a_list(self, folder, split):
        assert found(folder, "folder", split)[0] == [
            ("c", "images/c.webp", "labels/c.png"),
            ("d", "images/d.jpg", "labels/d.png"),
        ]

    def test_a_list_elsewhere(self, folder, tmp_path_factory):
        path = tmp_path_factory.mktemp("lists") / "mine.txt"
        path.write_text("c.webp\n", encoding="utf-8")
        assert [name for name, _, _ in found(folder, "folder", str(path))[0]] == ["c"]

    def test_everything(self, folder):
        samples, _ = found(folder, "folder", ".")
        assert [name for name, _, _ in samples] == ["a", "b", "c", "d"]

    def test_a_subfolder_goes_before_a_list_of_its_name(self, folder):
        write(folder, "train.txt", "c")
        assert [name for name, _, _ in found(folder, "folder", "train")[0]] == ["a", "b"]
        assert [name for name, _, _ in found(folder, "folder", "train.txt")[0]] == ["c"]

    def test_folders_of_other_names(self, folder):
        (folder / "images").rename(folder / "photographs")
        (folder / "labels").rename(folder / "classes")
        renamed = {"images": "photographs", "labels": "classes"}
        samples, _ = found(folder, "folder", "val", **renamed)
        assert samples[0] == ("c", "photographs/c.webp", "classes/c.png")

    def test_names_with_folders_are_those_folders(self, folder):
        touch(folder, "images/b/x.jpg", "labels/a/x.png", "labels/b/x.png", "images/a/y.jpg")
        touch(folder, "labels/a/y.png")
        write(folder, "nested.txt", "./b/x.jpg", "a//y", "a/x")
        samples, unpaired = found(folder, "folder", "nested")
        assert samples == [
            ("a/y", "images/a/y.jpg", "labels/a/y.png"),
            ("b/x", "images/b/x.jpg", "labels/b/x.png"),
        ]
        assert unpaired == ["images/a/x"]

    def test_a_list_with_a_byte_order_mark(self, folder):
        (folder / "marked.txt").write_bytes(b"\xef\xbb\xbfd\r\nc\r\n")
        samples, unpaired = found(folder, "folder", "marked")
        assert [name for name, _, _ in samples] == ["c", "d"]
        assert unpaired == []

    def test_a_list_that_names_what_is_not_there(self, folder):
        (folder / "labels/d.png").unlink()
        write(folder, "val.txt", "c", "d", "e", "train/f.png")
        samples, unpaired = found(folder, "folder", "val")
        assert [name for name, _, _ in samples] == ["c"]
        assert unpaired == ["images/d.jpg", "images/e", "images/train/f"]

    def test_a_list_of_nothing_that_is_there(self, folder):
        write(folder, "val.txt", "x", "y")
        said = refusal("folder", "val", root=folder)
        assert "none of 2 names, such as 'x', has an image and a label map" in said
        write(folder, "val.txt")
        assert "expected names of images, one a line, got none" in refusal(
            "folder", "val", root=folder
        )

    @pytest.mark.parametrize(
        ("content", "message"),
        [("a\0b", "expected names of files"), ("a" * 10**6, "expected names of files, got 'aaa")],
    )
    def test_names_that_no_file_has(self, folder, content, message):
        (folder / "val.txt").write_text(content)
        said = refusal("folder", "val.txt", root=folder)
        assert f"val.txt: {message}" in said
        assert len(said) < 2000

    def test_a_list_that_does_not_end(self, folder):
        (folder / "zero.txt").symlink_to("/dev/zero")
        assert "zero.txt: expected a regular file" in refusal("folder", "zero.txt", root=folder)

    def test_a_list_that_is_no_text(self, folder):
        (folder / "val.txt").write_bytes(b"\xff\xfe\x00")
        assert "val.txt: can't be read: expected text" in refusal("folder", "val", root=folder)

    @pytest.mark.parametrize(
        "name",
        [
            "../d",
            "../../etc/passwd",
            "train/../../d",
            "/etc/passwd",
            "..\\d",
            "C:\\d",
            "..",
            "a/..",
        ],
    )
    def test_names_that_lead_out_of_the_folder_are_refused(self, folder, name):
        touch(folder, "d.jpg", "d.png")  # where ../d leads to
        write(folder, "val.txt", "c", name)
        said = refusal("folder", "val", root=folder)
        assert "val.txt: expected names below the folder of the images" in said
        assert repr(name) in said

    def test_a_name_listed_twice(self, folder):
        write(folder, "val.txt", "c", "d.jpg", "d")
        assert "val.txt: 'd' is listed twice" in refusal("folder", "val", root=folder)

    def test_no_pair(self, tmp_path):
        touch(tmp_path, "images/train/a.png", "labels/train/b.png")
        assert "no pairs: none of the 1 names" in refusal("folder", "train", root=tmp_path)


class TestMissing:
    @pytest.mark.parametrize("name", sorted(LAYOUTS))
    def test_no_root_names_the_variable_and_shows_the_layout(self, name, monkeypatch):
        monkeypatch.delenv(f"DEALIAS_{name.upper()}", raising=False)
        said = refusal(name, "train")
        assert f"the option root or the environment variable DEALIAS_{name.upper()}" in said
        assert LAYOUTS[name].tree in said

    def test_an_empty_variable_is_none(self, monkeypatch):
        monkeypatch.setenv("DEALIAS_CAMVID", "")
        assert "expected the option root or" in refusal("camvid", "train")

    def test_the_variable_says_where(self, folder, monkeypatch):
        monkeypatch.setenv("DEALIAS_FOLDER", str(folder))
        assert [sample.name for sample in find_samples("folder", "train").samples] == ["a", "b"]
        said = refusal("folder", "nothing")
        assert f"Looked in {folder}, which DEALIAS_FOLDER says" in said

    def test_the_option_goes_before_the_variable(self, folder, monkeypatch, tmp_path):
        monkeypatch.setenv("DEALIAS_FOLDER", str(tmp_path / "nowhere"))
        assert len(find_samples("folder", "train", root=folder).samples) == 2

    def test_a_root_that_is_not_there(self, tmp_path):
        said = refusal("camvid", "train", root=tmp_path / "nowhere")
        assert f"camvid, split 'train': {tmp_path / 'nowhere'}: not a folder" in said
        assert "which the option root says; expected there:" in said
        assert LAYOUTS["camvid"].tree in said

    @pytest.mark.parametrize("name", ["ade20k", "camvid", "cityscapes", "folder"])
    def test_an_empty_root(self, name, tmp_path):
        said = refusal(name, "train", root=tmp_path)
        assert "no such folder" in said
        assert LAYOUTS[name].tree in said

    def test_empty_folders(self, tmp_path):
        for inside in ("train", "trainannot"):
            (tmp_path / inside).mkdir()
        assert "train: expected images" in refusal("camvid", "train", root=tmp_path)
        touch(tmp_path, "train/a.jpg", "trainannot/readme.txt")
        said = refusal("camvid", "train", root=tmp_path)
        assert "trainannot: expected label maps" in said
        assert "got only .txt" in said

    def test_a_home_folder(self, folder, monkeypatch):
        monkeypatch.setenv("HOME", str(folder.parent))
        assert len(find_samples("folder", "train", root=f"~/{folder.name}").samples) == 2


class TestArguments:
    def test_no_such_data_set(self):
        assert "expected a data set (ade20k, camvid, cityscapes, folder, voc2012)" in refusal(
            "kitti", "train"
        )

    @pytest.mark.parametrize("option", ["images", "labels"])
    def test_folders_of_other_data_sets_are_fixed(self, option, tmp_path):
        assert "are for the data set 'folder'" in refusal(
            "camvid", "train", root=tmp_path, **{option: "x"}
        )


def test_hostile_names_are_printed_on_one_line(tmp_path):
    evil = "a\n\x1b[31mb"
    touch(tmp_path, f"images/{evil}.png", f"labels/{evil}.png", "images/b.png", "labels/b.png")
    write(tmp_path, "val.txt", "b", "../\x1b[31m")
    assert [name for name, _, _ in found(tmp_path, "folder", ".")[0]] == [evil, "b"]
    for split in ("val", "\x1b[31m", "\x1b[31m.txt"):
        said = refusal("folder", split, root=tmp_path)
        assert "\x1b" not in said
        assert "\\x1b[31m" in said
