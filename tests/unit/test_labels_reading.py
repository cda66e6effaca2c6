import os
import struct
import tracemalloc
import warnings
import zipfile
import zlib

import numpy as np
import PIL
import pytest
from PIL import Image

from dealias.evaluation import digest_file
from dealias.labels import LabelFileError, load_class_set, read_label_map
from dealias.text import list_pixels, printable
from image_folders import tiff_of

CAMVID = load_class_set("camvid")
LABELS = np.array([[0, 1, 2], [3, 10, 11]], np.uint8)


def write_image(path, pixels, mode=None):
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(path)
    return path


COLORS = [*CAMVID.palette, CAMVID.void_color]


def write_webp(path, pixels, **options):
    Image.fromarray(pixels).save(path, **{"lossless": True, "exact": True} | options)
    return path


def palette_png(path):
    image = Image.fromarray(LABELS).convert("P")
    image.putdata(LABELS.flatten().tolist())
    image.putpalette([7, 8, 9] * 256)
    image.save(path)
    return path


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: write_image(folder / "a.png", LABELS),
        lambda folder: write_image(folder / "a.png", LABELS.astype(np.uint16)),
        lambda folder: palette_png(folder / "a.png"),
        lambda folder: write_image(folder / "a.tif", LABELS),
        lambda folder: write_image(folder / "a.tiff", LABELS.astype(np.uint16)),
        lambda folder: write_image(folder / "a.TIFF", LABELS.astype(np.int32)),
        lambda folder: np.save(folder / "a.npy", LABELS) or folder / "a.npy",
        lambda folder: np.save(folder / "a.npy", LABELS.astype(">i8")[None]) or folder / "a.npy",
        lambda folder: np.save(folder / "a.npy", LABELS.astype(np.uint64)) or folder / "a.npy",
        lambda folder: np.savez_compressed(folder / "a.npz", LABELS) or folder / "a.npz",
        lambda folder: write_image(folder / "a.tif", LABELS.astype(np.float32)),
        lambda folder: np.save(folder / "a.npy", LABELS.astype(">f4")) or folder / "a.npy",
        lambda folder: (
            np.save(folder / "a.npy", LABELS.astype(np.float16)[None]) or folder / "a.npy"
        ),
        lambda folder: write_image(folder / "a.bmp", LABELS),
        lambda folder: write_image(folder / "a.BMP", np.array(COLORS, np.uint8)[LABELS]),
        lambda folder: write_webp(folder / "a.webp", np.array(COLORS, np.uint8)[LABELS]),
    ],
    ids=[
        "png8",
        "png16",
        "palette",
        "tiff8",
        "tiff16",
        "tiff32",
        "npy",
        "npy64",
        "npyu64",
        "npz",
        "tiff-float",
        "npy-float",
        "npy-half",
        "bmp",
        "bmp-colours",
        "webp-colours",
    ],
)
def test_every_format_reads_the_same_labels(write, tmp_path):
    found = read_label_map(write(tmp_path), CAMVID, "target")
    assert found.dtype == np.uint8
    assert found.flags.writeable
    assert (found == LABELS).all()


def test_one_bit_and_bool_maps_are_zeros_and_ones(tmp_path):
    mask = np.array([[True, False], [False, True]])
    Image.fromarray(mask).save(tmp_path / "a.png")
    np.save(tmp_path / "b.npy", mask)
    for name in ("a.png", "b.npy"):
        assert (read_label_map(tmp_path / name, CAMVID, "prediction") == mask).all()


@pytest.mark.parametrize(("bits", "row"), [(1, 0b01_000000), (2, 0b00_11_01_10), (4, 0x5C)])
def test_gray_of_few_bits_keeps_its_labels(bits, row, tmp_path):
    labels = [row >> shift & (1 << bits) - 1 for shift in range(8 - bits, -1, -bits)]
    (tmp_path / "a.png").write_bytes(png(len(labels), 1, bits, 0, bytes([0, row])))
    assert read_label_map(tmp_path / "a.png", CAMVID, "target").tolist() == [labels]


@pytest.mark.parametrize(("bits", "labels"), [(1, [0, 1] * 4), (2, [0, 1, 2, 3]), (4, [1, 2])])
def test_gray_of_few_bits_in_reversed_order_keeps_its_labels(bits, labels, tmp_path):
    tags = {256: len(labels), 257: 1, 258: bits, 262: 1, 266: 2, 277: 1}
    row = int("".join(f"{label:0{bits}b}" for label in labels)[::-1], 2)
    (tmp_path / "a.tif").write_bytes(tiff_of(tags, bytes([row])))
    assert read_label_map(tmp_path / "a.tif", CAMVID, "target").tolist() == [labels]


def test_what_pillow_would_change_is_refused(tmp_path):
    (tmp_path / "deep.png").write_bytes(png(1, 1, 16, 2, bytes(7)))
    image = Image.fromarray(LABELS)
    image.save(tmp_path / "inverted.tif", tiffinfo={262: 0})
    for name in ("deep.png", "inverted.tif"):
        with pytest.raises(LabelFileError, match="expected gray, palette or 8-bit RGB, got"):
            read_label_map(tmp_path / name, CAMVID, "target")


def test_broken_bytes_never_end_in_another_error(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", LABELS.repeat(20, 0))
    np.save(tmp_path / "a.npy", LABELS)
    Image.fromarray(LABELS).save(tmp_path / "a.tif", compression="tiff_lzw")
    Image.fromarray(LABELS).save(tmp_path / "a.png")
    rng = np.random.default_rng(0)
    failures = 0
    for name in ("a.npz", "a.npy", "a.tif", "a.png"):
        whole = (tmp_path / name).read_bytes()
        for position in rng.integers(0, len(whole), 150):
            broken = bytearray(whole)
            broken[position] ^= int(rng.integers(1, 256))
            (tmp_path / name).write_bytes(broken)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    read_label_map(tmp_path / name, CAMVID, "target")
                except LabelFileError:
                    failures += 1
    assert failures > 100


def test_labels_above_255_keep_their_values(tmp_path):
    path = write_image(tmp_path / "a.png", np.array([[0, 300, 65535]], np.uint16))
    found = read_label_map(path, CAMVID, "prediction")
    assert found.tolist() == [[0, 300, 65535]]
    assert found.dtype == np.int32


@pytest.mark.parametrize("name", ["camvid", "cityscapes", "voc2012"])
@pytest.mark.parametrize("role", ["prediction", "target"])
def test_colours_are_looked_up_in_the_palette(name, role, tmp_path):
    classes = load_class_set(name)
    labels = np.arange(len(classes) + 1, dtype=np.uint8)[None]
    colors = np.vstack([classes.palette, classes.void_color]).astype(np.uint8)[labels]
    labels[labels == len(classes)] = classes.ignore_index
    for mode in ("RGB", "RGBA"):
        path = write_image(tmp_path / "a.png", colors, mode)
        assert (read_label_map(path, classes, role) == labels).all()


def test_cityscapes_label_ids_become_train_ids_by_file_name(tmp_path):
    classes = load_class_set("cityscapes")
    ids = np.array([[7, 8, 33, 0, 29, 255]], np.uint8)
    path = write_image(tmp_path / "x_gtFine_labelIds.png", ids)
    for role in ("prediction", "target"):
        assert read_label_map(path, classes, role).tolist() == [[0, 1, 18, 255, 255, 255]]
    path = write_image(tmp_path / "x_gtFine_labelTrainIds.png", ids)
    assert read_label_map(path, classes, "target").tolist() == ids.tolist()


def test_the_zero_label_of_ade20k_is_void_in_targets_alone(tmp_path):
    classes = load_class_set("ade20k")
    path = write_image(tmp_path / "a.png", np.array([[0, 1, 150, 255]], np.uint8))
    assert read_label_map(path, classes, "target").tolist() == [[255, 0, 149, 255]]
    path = write_image(tmp_path / "a.png", np.array([[0, 1, 149]], np.uint8))
    assert read_label_map(path, classes, "prediction").tolist() == [[0, 1, 149]]


def test_stored_labels_that_the_rule_lacks_are_refused(tmp_path):
    path = write_image(tmp_path / "a.png", np.array([[0, 151, 151]], np.uint8))
    with pytest.raises(LabelFileError, match=r"a\.png: .*151 \(2 px\)"):
        read_label_map(path, load_class_set("ade20k"), "target")
    np.save(tmp_path / "b.npy", np.array([[0, -7]]))
    with pytest.raises(LabelFileError, match=r"-7 \(1 px\)"):
        read_label_map(tmp_path / "b.npy", load_class_set("ade20k"), "target")


def test_colours_that_no_class_has_are_named_and_counted(tmp_path):
    pixels = np.zeros((2, 3, 3), np.uint8)
    pixels[0, :2] = (1, 2, 3)
    path = write_image(tmp_path / "a.png", pixels)
    with pytest.raises(LabelFileError, match=r"palette of 'camvid': #010203 \(2 px\)"):
        read_label_map(path, CAMVID, "target")
    gray = write_image(tmp_path / "b.png", LABELS, "RGB")
    with pytest.raises(LabelFileError, match="labels saved as RGB"):
        read_label_map(gray, CAMVID, "target")


def test_a_colour_of_two_classes_is_refused(tmp_path):
    path = write_image(tmp_path / "a.png", np.full((2, 2, 3), 140, np.uint8))
    with pytest.raises(LabelFileError, match=r"palette of one class of 'ade20k': #8c8c8c \(4 px\)"):
        read_label_map(path, load_class_set("ade20k"), "target")


def png(width, height, bits, color_type, data):
    """A PNG from its header and its uncompressed rows."""

    def chunk(kind, content):
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def huge_png():
    """A small file that claims 60,000 x 60,000 pixels."""
    return png(60_000, 60_000, 8, 0, b"0" * 99)


def png_bytes(tmp_path, **options):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 9, (64, 64), np.uint8)).save(tmp_path / "whole.png", **options)
    return (tmp_path / "whole.png").read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.png", lambda _: b"not an image", "not an image"),
        ("a.png", lambda _: b"", "not an image"),
        ("a.png", lambda folder: png_bytes(folder)[:-700], "can't be read: .*truncated"),
        ("a.png", lambda _: huge_png(), "decompression bomb"),
        ("a.npy", lambda _: npy("(60000, 60000)"), "decompression bomb: uint8 of shape"),
        ("a.npy", lambda _: b"nonsense", "can't be read"),
        ("a.npz", lambda _: b"nonsense", "can't be read: it does not end as a ZIP file"),
        ("a.jpg", lambda _: b"", r"expected one of \.png"),
    ],
)
def test_files_that_are_no_label_maps(name, content, message, tmp_path):
    path = tmp_path / name
    path.write_bytes(content(tmp_path))
    with pytest.raises(LabelFileError, match=message) as error:
        read_label_map(path, CAMVID, "target")
    assert str(error.value).startswith(str(path))
    assert error.value.path == path


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((4, 4), 0.5, np.float32), r"expected whole numbers .*got 0\.5 \(16 px"),
        (
            np.zeros((4, 4, 3), np.uint8),
            r"\[H, W\], or \[11, H, W\] .*got \[4, 4, 3\]",
        ),
        (np.array([[None]]), "expected integer labels, got object"),
        (np.zeros((0, 4), np.uint8), r"at least one pixel, got shape \[0, 4\]"),
    ],
)
def test_arrays_that_are_no_label_maps(array, message, tmp_path):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(LabelFileError, match=message):
        read_label_map(tmp_path / "a.npy", CAMVID, "target")


def test_images_that_are_no_label_maps(tmp_path):
    write_image(tmp_path / "float.tif", np.full((4, 4), 0.5, np.float32))
    write_image(tmp_path / "glass.png", np.zeros((4, 4, 4), np.uint8))
    frame = Image.fromarray(LABELS)
    frame.save(tmp_path / "two.tif", save_all=True, append_images=[frame])
    np.savez(tmp_path / "two.npz", a=LABELS, b=LABELS)
    for name, message in {
        "float.tif": r"expected whole numbers as labels.*got 0\.5",
        "glass.png": "transparent",
        "two.tif": "expected one image, got several",
        "two.npz": "expected a single array",
        "none.png": "no such file",
        "none.npy": "no such file",
    }.items():
        with pytest.raises(LabelFileError, match=message):
            read_label_map(tmp_path / name, CAMVID, "target")


def npy2(length):
    """The start of an NPY file of version 2 whose header has a length."""
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", length)


def npy(shape, descr="'|u1'", data=b""):
    """An NPY file whose header says anything."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def tiff(width, height, *more, pages=1):
    """A gray TIFF file of a 64-byte strip; `more` are tags as (number, kind, count, value)."""
    file = b"II*\0" + struct.pack("<I", 8)
    for page in range(pages):
        tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1)]
        tags += [(262, 3, 1, 1), (273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, height)]
        tags = sorted([*tags, (279, 4, 1, 64), *more])
        following = len(file) + 6 + 12 * len(tags) if page < pages - 1 else 0
        entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
        file += struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)
    return file + bytes(64)


def bmp(width, height):
    """The header of a gray BMP file."""
    picture = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 200, 0, 0, 54 + 1024) + picture + bytes(1024 + 64)


def webp(width, height):
    """A WebP file of the extended format that claims a size."""
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunks = b"VP8X" + struct.pack("<I", 10) + bytes(4) + canvas + b"VP8L" + struct.pack("<I", 8)
    return b"RIFF" + struct.pack("<I", len(chunks) + 12) + b"WEBP" + chunks + bytes(8)


LIES = {
    "negative.npy": (npy("(-1, -1)", data=b"1"), "negative length"),
    "endless.npy": (npy("(0, 1180591620717411303424)"), "can't be read"),
    "deep.npy": (npy("(" * 2000 + ")" * 2000), "can't be read"),
    "long.npy": (npy(f"({'1, ' * 3000})"), r"expected shape \[H, W\]"),
    "longer.npy": (npy(f"({'1, ' * 9000})"), "a header of at most 10,000 bytes, got 27,"),
    "longest.npy": (npy2(2**32 - 1), "a header of at most 10,000 bytes, got 4,294,967,295"),
    "wide.npy": (npy("(2, 2)", "'|V999999999'"), "expected integer labels"),
    "parts.npy": (npy("(2, 2)", "[('a', '<i8'), ('b', 'O')]"), "expected integer labels"),
    "code.npy": (npy("(2, 2)", "__import__('os')"), "can't be read"),
    "cut.npy": (npy("(99, 99)", data=b"1"), "can't be read"),
    "wide.tif": (tiff(2**31, 2**31 - 1), "decompression bomb"),
    "long.tif": (tiff(1, 2**32 - 1), "decompression bomb"),
    "flat.tif": (tiff(8, 0), "not an image"),
    "pages.tif": (tiff(8, 8, pages=3000), "got several"),
    "wide.bmp": (bmp(60_000, 60_000), "decompression bomb"),
    "low.bmp": (bmp(8, 2**31 - 1), "decompression bomb"),
    "wide.webp": (webp(2**24, 2**24), "not an image|decompression bomb|can't be read"),
    "flat.png": (png(8, 0, 8, 0, b""), "not an image"),
    "thin.png": (png(0, 8, 8, 0, b""), "not an image"),
}


@pytest.mark.parametrize("name", LIES)
def test_files_that_lie_about_their_size(name, tmp_path):
    content, message = LIES[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(LabelFileError, match=f"{name}: .*{message}") as caught:
        read_label_map(tmp_path / name, CAMVID, "target")
    assert len(str(caught.value)) < 2000


def test_a_long_header_is_not_read(tmp_path):
    """Compression makes it short in the file, however much memory it takes."""
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", npy2(2**25) + b" " * 2**25)
    tracemalloc.start()
    with pytest.raises(LabelFileError, match="a header of at most 10,000 bytes, got 33,554,432"):
        read_label_map(tmp_path / "a.npz", CAMVID, "target")
    largest = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert largest < 2**22


@pytest.mark.skipif(int(PIL.__version__.split(".")[0]) < 13, reason="Pillow refuses such files")
def test_odd_tags_are_no_matter(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff(8, 8, (270, 2, 2**31, 8), (34665, 4, 1, 8)))
    assert read_label_map(tmp_path / "a.tif", CAMVID, "target").shape == (8, 8)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy", ".npz"])
def test_what_does_not_end(suffix, tmp_path):
    os.mkfifo(tmp_path / f"pipe{suffix}")
    (tmp_path / f"zero{suffix}").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        for read in (read_label_map, lambda path, *_: digest_file(path)):
            with pytest.raises(LabelFileError, match=f"{name}{suffix}: expected a regular file"):
                read(tmp_path / f"{name}{suffix}", CAMVID, "target")


def test_large_maps_are_read_as_small_ones(monkeypatch, tmp_path):
    """Some rows at a time."""
    monkeypatch.setattr("dealias.labels.reading._BAND", 20)
    palette, ade = np.array(CAMVID.palette, np.uint8), load_class_set("ade20k")
    labels = np.random.default_rng(0).integers(0, 11, (13, 7), np.uint8)
    write_image(tmp_path / "colors.png", palette[labels])
    np.save(tmp_path / "wide.npy", labels.astype(np.int64) + 1)
    write_image(tmp_path / "gray.png", labels + 1)
    assert np.array_equal(read_label_map(tmp_path / "colors.png", CAMVID, "target"), labels)
    for name in ("wide.npy", "gray.png"):
        assert np.array_equal(read_label_map(tmp_path / name, ade, "target"), labels)
    np.save(tmp_path / "wrong.npy", np.repeat([[500], [3], [600]], 9, 1))
    with pytest.raises(LabelFileError, match=r"500 \(9 px\), 600 \(9 px\)"):
        read_label_map(tmp_path / "wrong.npy", ade, "target")


def test_messages_stay_on_one_line():
    assert printable("a\nb\x1b[31m<script>'\"é") == "a\\nb\\x1b[31m<script>'\"é"
    assert (
        list_pixels([(label, 1) for label in range(10)], most=2) == "0 (1 px), 1 (1 px) and 8 more"
    )
