"""Columns of images in Parquet and Arrow files."""

import json
import pickle
import sys
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image as Pillow

from dealias import tables
from dealias.data import DataError, SegmentationDataModule, Splits, check_data
from dealias.labels import LabelFileError, PairingError, local_folder, name_table
from dealias.tables import ImageTable, TableError, in_order, table_files
from dealias.text import FileError
from image_folders import write_classes, write_image

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from datasets import Dataset, DatasetDict, Features, Image

    from image_tables import data_set, encoded, samples

NAMES = [f"city/{letter}.jpg" for letter in "bacde"]


@pytest.fixture
def classes(tmp_path):
    write_classes(tmp_path / "two.yaml", ["a", "b"])
    return tmp_path / "two.yaml"


def module(root, classes, **options):
    options = {"workers": 0, "seed": 3} | options
    return SegmentationDataModule(name="huggingface", root=root, classes=classes, **options)


def saved(root):
    held = DatasetDict(train=data_set(samples(5), NAMES), validation=data_set(samples(2, seed=1)))
    held.save_to_disk(root, num_shards={"train": 2, "validation": 1})


def single(root):
    data_set(samples(5), NAMES).save_to_disk(root)


def shards(root):
    (root / "data").mkdir(parents=True)
    held = data_set(samples(5), NAMES)
    held.select(range(3)).to_parquet(root / "data/train-00000-of-00002.parquet")
    held.select(range(3, 5)).to_parquet(root / "data/train-00001-of-00002.parquet")
    data_set(samples(2, seed=1)).to_parquet(root / "data/train-extra-00000-of-00001.parquet")


def folders(root):
    (root / "train").mkdir(parents=True)
    held = data_set(samples(5), NAMES)
    held.to_parquet(root / "train/0000.parquet", batch_size=2)  # groups of two rows


def plain(root):
    root.mkdir()
    held = [[encoded(part) for part in pair] for pair in samples(5)]
    columns = {"image": [image for image, _ in held], "label": [label for _, label in held]}
    pq.write_table(pa.table(columns), root / "train.parquet")


def feather(root):
    saved(root)
    path = root / "train/data-00001-of-00002.arrow"
    held = pa.ipc.open_stream(path.read_bytes()).read_all()
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, held.schema) as writer:
        writer.write_table(held)


WRITERS = [saved, single, shards, folders, plain, feather]


@pytest.mark.parametrize("write", WRITERS)
def test_rows_are_what_was_written(write, tmp_path, classes):
    write(tmp_path / "set")
    split = "." if write is single else "train"
    data = module(tmp_path / "set", classes, splits=Splits(train=split))
    found = pickle.loads(pickle.dumps(data.samples("train")))
    named = [f"{row:06d}" for row in range(5)] if write is plain else list("bacde")
    assert found.names == named
    for row in (4, 0, 3, 1, 2, 2):
        image, target = found.read(row)
        pixels, labels = list(samples(5))[row]
        assert torch.equal(image, torch.from_numpy(pixels).permute(2, 0, 1))
        assert torch.equal(target, torch.from_numpy(labels))
    assert all(path.is_file() for path in data.files("train"))
    limited = module(tmp_path / "set", classes, splits=Splits(train=split), limit=2)
    assert limited.samples("train").names == [named[0], named[2]]


def test_workers_and_the_check_of_the_data(tmp_path, classes):
    saved(tmp_path / "set")
    train, validation = check_data(module(tmp_path / "set", classes), workers=2).splits
    labels = np.stack([labels for _, labels in samples(5)])
    assert train.pixels == [int((labels == label).sum()) for label in (0, 1)]
    assert (train.problems, validation.split, validation.samples) == ([], "validation", 2)


def test_a_group_of_rows_is_read_once_and_one_is_kept(tmp_path, monkeypatch):
    folders(tmp_path / "set")
    table = ImageTable([tmp_path / "set/train/0000.parquet"])
    (part,) = table._parts
    read, group = [], part._group
    monkeypatch.setattr(part, "_group", lambda *which: read.append(which) or group(*which))
    for row in (0, 1, 1, 4, 2, 3):
        table.read(row, "image", "x")
    assert read == [(0, "image"), (2, "image"), (1, "image")]
    assert len(part._kept) == 1


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_values_that_a_file_repeats_are_held_once(kind, tmp_path):
    value = b"\x89PNG" + bytes(100_000)
    columns = pa.StructArray.from_arrays(
        [pa.array([value] * 500, kind), pa.array(["x/" * 50_000 + "a.png"] * 500)],
        ["bytes", "path"],
    )
    plain = pa.array([*[value] * 499, None], kind)
    pq.write_table(pa.table({"image": columns, "label": plain}), tmp_path / "a.parquet")
    table = ImageTable([tmp_path / "a.parquet"])
    assert table.columns["label"] == str(kind)
    before = pa.total_allocated_bytes()
    assert table.names(["image"])[1] == "000001"
    for column in ("image", "label"):
        assert table.read(498, column, "x").content == value
    with pytest.raises(TableError, match="expected an encoded image in the table, got none"):
        table.read(499, "label", "x")
    assert pa.total_allocated_bytes() - before < 10 * len(value)


@pytest.mark.parametrize("kind", ["DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"])
def test_encodings_that_do_not_declare_their_size_are_refused(kind, tmp_path):
    held = pa.table({"image": pa.array([b"\x89PNG"] * 9)})
    options = {"use_dictionary": False, "column_encoding": {"image": kind}}
    pq.write_table(held, tmp_path / "a.parquet", **options)
    with pytest.raises(TableError, match=rf"image: expected values as PLAIN .*, got {kind}$"):
        ImageTable([tmp_path / "a.parquet"]).read(0, "image", "x")


def test_paths_that_are_no_text(tmp_path):
    path = tmp_path / "a.parquet"
    for paths, names in (([1, 2], ["000000", "000001"]), (["b.png", "a.png"], ["b", "a"])):
        held = pa.StructArray.from_arrays(
            [pa.array([b"x"] * 2), pa.array(paths)], ["bytes", "path"]
        )
        pq.write_table(pa.table({"image": held}), path)
        assert ImageTable([path]).names(["image"]) == names
    path.write_bytes(path.read_bytes().replace(b"b.png", b"\xff.png"))
    with pytest.raises(TableError, match="can't be read: "):
        ImageTable([path]).names(["image"])


class TestLabels:
    @pytest.mark.parametrize("mode", ["L", "P", "I;16"])
    def test_modes_and_label_maps(self, mode, tmp_path):
        stored = np.array([[7, 200, 7], [0, 200, 0]], np.uint8)
        picture = Pillow.fromarray(stored.astype(np.uint16) if mode == "I;16" else stored)
        if mode == "P":
            picture.putpalette([value for i in range(256) for value in (i, 255 - i, i // 2)])
        assert picture.mode == mode
        image = np.zeros((2, 3, 3), np.uint8)
        (tmp_path / "set").mkdir()
        data_set([(image, encoded(picture))]).to_parquet(tmp_path / "set/train.parquet")
        options = {"label_map": "{7: 1, 200: 0, 0: ignore}"}
        write_classes(tmp_path / "mapped.yaml", ["a", "b"], **options)
        _, target = module(tmp_path / "set", tmp_path / "mapped.yaml").samples("train").read(0)
        assert target.tolist() == [[1, 0, 1], [255, 0, 255]]

    def test_zero_as_void(self, tmp_path):
        (tmp_path / "set").mkdir()
        pair = np.zeros((1, 3, 3), np.uint8), np.array([[0, 1, 2]], np.uint8)
        data_set([pair]).to_parquet(tmp_path / "set/train.parquet")
        write_classes(tmp_path / "zero.yaml", ["a", "b"], reduce_zero_label="true")
        _, target = module(tmp_path / "set", tmp_path / "zero.yaml").samples("train").read(0)
        assert target.tolist() == [[255, 0, 1]]

    def test_jpeg_is_none(self, tmp_path, classes):
        (image, labels), *_ = samples(1)
        (tmp_path / "set").mkdir()
        data_set([(image, encoded(labels, "JPEG"))]).to_parquet(tmp_path / "set/train.parquet")
        with pytest.raises(LabelFileError, match=r"annotation/000000\.jpg: expected one of .*JPEG"):
            module(tmp_path / "set", classes).samples("train").read(0)

    def test_lossless_webp_and_lossy(self, tmp_path, classes):
        (image, labels), *_ = samples(1)
        rows = []
        for lossless in (True, False):
            held = Pillow.fromarray(labels)
            path = tmp_path / "x.webp"
            held.save(path, lossless=lossless)
            rows.append((image, path.read_bytes()))
        (tmp_path / "set").mkdir()
        data_set(rows).to_parquet(tmp_path / "set/train.parquet")
        found = module(tmp_path / "set", classes).samples("train")
        assert torch.equal(found.read(0)[1], torch.from_numpy(labels))
        with pytest.raises(LabelFileError, match="lossy WebP changes labels"):
            found.read(1)

    def test_another_size(self, tmp_path, classes):
        (image, labels), *_ = samples(1)
        (tmp_path / "set").mkdir()
        data_set([(image[:7], labels)]).to_parquet(tmp_path / "set/train.parquet")
        with pytest.raises(
            FileError,
            match=r"train\.parquet/image/000000\.png: expected 28x20 pixels like its label map "
            r".*annotation/000000\.png, got 28x7$",
        ):
            module(tmp_path / "set", classes).samples("train").read(0)

    def test_the_limit_of_pixels(self, tmp_path, classes, monkeypatch):
        saved(tmp_path / "set")
        monkeypatch.setenv("DEALIAS_MAX_PIXELS", "100")
        with pytest.raises(FileError, match="refused as a decompression bomb"):
            module(tmp_path / "set", classes).samples("train").read(0)


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a.jpg", "x/b.PNG"], ["a", "b"]),
        (["../../etc/passwd", "C:\\d\\e.tif"], ["passwd", "e"]),
        (["a.v1", "a.v2"], ["a.v1", "a.v2"]),
        (["x/a.jpg", "y/a.jpg"], None),
        (["a.jpg", "A.jpg"], None),
        (["a.jpg", None], None),
        (["a.jpg", ".hidden"], None),
        (["a.jpg", ".."], None),
        (["a.jpg", "b\nc.jpg"], None),
        (["a.jpg", "b" * 300], None),
    ],
)
def test_names(paths, names, tmp_path):
    data_set(samples(2), paths).to_parquet(tmp_path / "a.parquet")
    found = ImageTable([tmp_path / "a.parquet"]).names(["image"])
    assert found == (names or ["000000", "000001"])


class TestRefused:
    @pytest.fixture
    def refused(self, tmp_path, classes):
        def refuse(message, **options):
            with pytest.raises(DataError, match=message) as found:
                module(tmp_path / "set", classes, **options).samples("train")
            assert str(tmp_path / "set") in str(found.value)

        (tmp_path / "set").mkdir()
        return refuse

    def test_a_program(self, tmp_path, refused):
        saved(tmp_path / "set")
        (tmp_path / "set/set.py").write_text("raise SystemExit")
        refused(r"set/set\.py: a data set with a program, which is not run")

    def test_another_split(self, tmp_path, refused):
        saved(tmp_path / "set")
        refused("expected one of its splits, train, validation", splits=Splits(train="test"))
        refused("expected one of its splits", splits=Splits(train="../set/train"))

    def test_a_set_without_splits(self, tmp_path, refused):
        single(tmp_path / "set")
        refused(r"expected the split \., as it was saved")

    def test_no_files_of_the_split(self, tmp_path, refused):
        refused("expected Parquet files of the split, got those of none")
        data_set(samples(1)).to_parquet(tmp_path / "set/val.parquet")
        refused("got those of val")

    def test_names_that_would_take_several_lines(self, tmp_path, refused):
        single(tmp_path / "set")
        state = tmp_path / "set/state.json"
        state.write_text(json.dumps(json.loads(state.read_text()) | {"_split": "a\nb"}))
        refused(r"expected the split a\\nb, as it was saved")
        saved(tmp_path / "set2")
        (tmp_path / "set2/train").rename(tmp_path / "set2/a\nb")
        (tmp_path / "set").rename(tmp_path / "set1")
        (tmp_path / "set2").rename(tmp_path / "set")
        refused(r"expected one of its splits, a\\nb, validation")

    def test_no_rows(self, tmp_path, refused):
        data_set(samples(1)).select([]).to_parquet(tmp_path / "set/train.parquet")
        refused(r"train\.parquet: expected rows of images, got none")

    def test_missing_files(self, tmp_path, refused):
        held = data_set(samples(1))
        held.to_parquet(tmp_path / "set/train-00000-of-00003.parquet")
        held.to_parquet(tmp_path / "set/train-00002-of-00003.parquet")
        refused("expected all files of 'train', as they count themselves, got")

    def test_files_in_two_places(self, tmp_path, refused):
        shards(tmp_path / "set2")
        (tmp_path / "set2/data").rename(tmp_path / "set/data")
        data_set(samples(1)).to_parquet(tmp_path / "set/train.parquet")
        refused("expected the files of a split in one folder")

    def test_columns_in_doubt(self, tmp_path, refused):
        path = tmp_path / "set/train.parquet"
        held = data_set(samples(1))
        held.add_column("mask", list(held.with_format("arrow")["annotation"])).cast_column(
            "mask", Image()
        ).to_parquet(path)
        refused(
            r"expected the name of a column of images as data\.labels, annotation, mask have usual "
            r"names; columns: image \(struct.*number \(int32\)"
        )
        refused("as data.labels, got 'number'", labels="number")
        refused("as data.images, got 'nope'", images="nope")
        refused(
            "data.labels: expected another column than that of the images, 'image'", labels="image"
        )
        data_set(samples(1), image="photo").to_parquet(path)
        refused("as data.images, none have usual names")

    def test_a_class_is_no_label_map(self, tmp_path, refused):
        held = Dataset.from_dict({"image": [{"bytes": b"x", "path": None}], "label": [3]})
        held.to_parquet(tmp_path / "set/train.parquet")
        refused(r"as data\.labels, none have usual names; columns: .*label \(int64\)")

    def test_shards_of_other_columns(self, tmp_path, refused):
        data_set(samples(1)).to_parquet(tmp_path / "set/train-00000-of-00002.parquet")
        other = data_set(samples(1), label="mask")
        other.to_parquet(tmp_path / "set/train-00001-of-00002.parquet")
        refused("expected columns of images as in .*, image, annotation, got image, mask")

    @pytest.mark.parametrize("content", [b"", b"PAR1", b"ARROW1\0\0" + bytes(99), bytes(300)])
    @pytest.mark.parametrize("kind", [".parquet", ".arrow"])
    def test_no_table(self, content, kind, tmp_path):
        path = tmp_path / f"train{kind}"
        path.write_bytes(content)
        with pytest.raises(TableError, match="can't be read: "):
            ImageTable([path])

    def test_cut_short(self, tmp_path, refused):
        saved(tmp_path / "set")
        path = tmp_path / "set/train/data-00000-of-00002.arrow"
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        refused(r"data-00000-of-00002\.arrow: can't be read: ")
        path.unlink()
        refused(r"data-00000-of-00002\.arrow: no such file")

    def test_offsets_that_lead_elsewhere(self, tmp_path):
        path = tmp_path / "a.arrow"
        held = pa.array([b"x" * 1000, b"y"])
        table = pa.table({"image": held})
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
        good = path.read_bytes()
        offset = np.array([0, 1000, 1001], np.int32).tobytes()
        assert good.count(offset) == 1
        for bad in ([0, 2**30, 2**30 + 9], [0, -5, 1001], [1001, 1000, 1001]):
            path.write_bytes(good.replace(offset, np.array(bad, np.int32).tobytes()))
            with pytest.raises(TableError, match="can't be read: "):
                ImageTable([path])

    def test_names_of_files_that_lead_out(self, tmp_path, refused):
        saved(tmp_path / "set")
        path = tmp_path / "set/train/state.json"
        path.write_text(path.read_text().replace("data-00000", "../data-00000"))
        refused("expected names of files beside it")
        path.write_text('{"_data_files": []}')
        refused("expected what Dataset.save_to_disk writes")

    def test_paths_are_not_followed(self, tmp_path, classes):
        write_image(tmp_path / "there.png", np.zeros((4, 4)))
        rows = {"image": [str(tmp_path / "there.png")], "label": [str(tmp_path / "there.png")]}
        held = Dataset.from_dict(rows, features=Features({"image": Image(), "label": Image()}))
        (tmp_path / "set").mkdir()
        held.to_parquet(tmp_path / "set/train.parquet")
        with pytest.raises(TableError, match="expected an encoded image in the table, got none"):
            module(tmp_path / "set", classes).samples("train").read(0)

    def test_what_is_no_image(self, tmp_path, classes):
        (tmp_path / "set").mkdir()
        data_set([(b"\x80pickle", b"")]).to_parquet(tmp_path / "set/train.parquet")
        found = module(tmp_path / "set", classes).samples("train")
        with pytest.raises(TableError, match="expected PNG, JPEG, TIFF, BMP or WebP, got b'"):
            found.read(0)

    def test_limits(self, tmp_path, monkeypatch):
        data_set(samples(3)).to_parquet(tmp_path / "a.parquet")
        monkeypatch.setattr(tables, "_LARGEST_GROUP", 1000)
        with pytest.raises(
            TableError, match=r"image: expected groups of rows of at most 1,000 bytes, .* got \d,\d"
        ):
            ImageTable([tmp_path / "a.parquet"]).read(0, "image", "a")
        data_set(samples(3), ["x" * 1000] * 3).to_parquet(tmp_path / "a.parquet")
        with pytest.raises(TableError, match="image: expected groups of rows of at most 1,000"):
            ImageTable([tmp_path / "a.parquet"]).names(["image"])
        monkeypatch.setattr(tables, "_MOST_ROWS", 2)
        with pytest.raises(TableError, match="expected at most 2 rows, got 3"):
            ImageTable([tmp_path / "a.parquet"])

    def test_without_pyarrow(self, tmp_path, monkeypatch):
        (tmp_path / "a.parquet").touch()
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
        with pytest.raises(TableError, match=r"pip install 'dealias\[tables\]'"):
            ImageTable([tmp_path / "a.parquet"])


class TestFolders:
    def content(self, given, kind="labels"):
        with local_folder(name_table(str(given)), kind) as folder:
            return {path.name: path.read_bytes() for path in folder.iterdir()}

    def test_of_whatever_names_a_table(self, tmp_path):
        saved(tmp_path / "set")
        shards(tmp_path / "files")
        expected = {
            f"{name[5]}.png": encoded(labels)
            for name, (_, labels) in zip(NAMES, samples(5), strict=True)
        }
        assert self.content(tmp_path / "set/train") == expected
        assert self.content(tmp_path / "set/train/state.json") == expected
        assert self.content(f"{tmp_path / 'set/train'}#annotation") == expected
        (tmp_path / "files/data/train-extra-00000-of-00001.parquet").unlink()
        assert self.content(tmp_path / "files/data") == expected
        assert self.content(tmp_path / "files/data/train-*.parquet") == expected
        images = self.content(tmp_path / "files/data", "images")
        assert images.keys() == expected.keys()
        assert images != expected
        assert self.content(f"{tmp_path / 'files/data/train-*.parquet'}#image") == images

    def test_names_are_those_of_the_images(self, tmp_path):
        held = data_set(samples(1), ["a_leftImg8bit.jpg"])
        rows = [{**held.with_format("arrow")[0].to_pylist()[0]}]
        rows[0]["annotation"]["path"] = "another.png"
        Dataset.from_list(rows, features=held.features).to_parquet(tmp_path / "a.parquet")
        assert list(self.content(tmp_path / "a.parquet")) == ["a_leftImg8bit.png"]

    def test_several_splits(self, tmp_path):
        saved(tmp_path / "set")
        with pytest.raises(PairingError, match=r"the folder of a split, got one of .* val"):
            self.content(tmp_path / "set")
        shards(tmp_path / "files")
        with pytest.raises(PairingError, match="expected files of one split, got"):
            self.content(tmp_path / "files/data")

    def test_folders_that_are_none(self, tmp_path):
        write_image(tmp_path / "a.png", np.zeros((2, 2)))
        (tmp_path / "b.parquet").touch()
        assert name_table(str(tmp_path)) == str(tmp_path)
        (tmp_path / "masks").mkdir()
        (tmp_path / "a.png").rename(tmp_path / "masks/a.png")
        assert name_table(str(tmp_path)) == str(tmp_path)  # which is searched with its subfolders
        (tmp_path / "a#b").mkdir()
        assert name_table(str(tmp_path / "a#b")) == str(tmp_path / "a#b")

    def test_files_of_no_use(self, tmp_path):
        with pytest.raises(PairingError, match=r"x-\*\.parquet: no such files"):
            self.content(tmp_path / "x-*.parquet")
        data_set(samples(1)).to_parquet(tmp_path / "a.parquet")
        with pytest.raises(PairingError, match=r"as .*a\.parquet#COLUMN, got 'nope'"):
            self.content(f"{tmp_path / 'a.parquet'}#nope")
        assert table_files(tmp_path / "a.parquet") == [tmp_path / "a.parquet"]


def test_shards_are_in_the_order_of_their_numbers():
    names = [f"train-{number}.parquet" for number in range(12)]
    assert [path.name for path in in_order(map(Path, sorted(names)))] == names
