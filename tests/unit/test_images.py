"""Photographs of every kind, read by all that reads photographs, and what is refused."""

import numpy as np
import pytest
from PIL import Image

from dealias.data.reading import read_image as read_for_training
from dealias.images import ImageError, open_image, read_photograph
from dealias.inputs import HeldFile
from dealias.probe import read_image as read_for_probe
from image_folders import tiff_of, write_image

DEEP = np.array([[0, 12_593, 27_499, 39_936, 54_784]], np.uint16).repeat(32, 0).repeat(7, 1)[:, :32]
GRAY = np.arange(35, dtype=np.uint8).reshape(5, 7)


def saved(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


def the_same(array):
    """The colours of gray pixels."""
    return np.repeat(array[..., None], 3, axis=2)


def read_by_all(path):
    """The colours that evaluation, training and the probe see, which must be the same."""
    pixels = read_photograph(path)
    assert pixels.dtype == np.uint8
    assert pixels.shape[2] == 3
    assert (read_for_training(path).permute(1, 2, 0).numpy() == pixels).all()
    height, width = pixels.shape[:2]
    if min(height, width) >= 32:
        top, left = height % 32 // 2, width % 32 // 2
        middle = pixels[top : top + height // 32 * 32, left : left + width // 32 * 32]
        seen = read_for_probe(path).permute(1, 2, 0).numpy() * 255
        assert np.allclose(seen, middle, atol=1e-4)
    return pixels


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_cut_to_the_upper_eight(tmp_path, suffix):
    path = saved(tmp_path / f"a.{suffix}", DEEP)
    assert (read_by_all(path) == the_same(DEEP // 256)).all()
    # The gray levels of a photograph that once came out white.
    assert sorted(set(read_photograph(path).flatten().tolist())) == [0, 49, 107, 156, 214]


def test_big_endian_sixteen_bits(tmp_path):
    image = Image.new("I;16B", (32, 32))
    image.putdata(DEEP.flatten().tolist())
    image.save(tmp_path / "a.tif")
    assert (read_by_all(tmp_path / "a.tif") == the_same(DEEP // 256)).all()


def test_inverted_gray_is_turned_round(tmp_path):
    path = saved(tmp_path / "a.tif", DEEP, tiffinfo={262: 0})
    assert (read_by_all(path) == the_same((65_535 - DEEP) // 256)).all()
    tags = {256: 7, 257: 5, 258: 8, 262: 0, 277: 1}
    (tmp_path / "b.tif").write_bytes(tiff_of(tags, GRAY.tobytes()))
    assert (read_photograph(tmp_path / "b.tif") == the_same(255 - GRAY)).all()


def test_twelve_bits_fill_their_own_range(tmp_path):
    # Two pixels of 12 bits, 0xABC and 0x123, in three bytes.
    path = tmp_path / "a.tif"
    path.write_bytes(tiff_of({256: 2, 257: 1, 258: 12, 262: 1, 277: 1}, b"\xab\xc1\x23"))
    assert read_photograph(path)[0, :, 0].tolist() == [0xAB, 0x12]


@pytest.mark.parametrize(
    ("pixels", "stored_as"),
    [
        (DEEP.astype(np.float32) / 65_535, "F;32F"),
        (DEEP.astype(np.int32) - 9, "I;32S"),
        (DEEP.astype(np.int16), "I;16S"),
    ],
    ids=["float", "int32", "int16"],
)
def test_pixels_of_no_known_range_are_refused(tmp_path, pixels, stored_as):
    if stored_as == "I;16S":
        tags = {256: 32, 257: 32, 258: 16, 262: 1, 277: 1, 339: 2}
        (tmp_path / "a.tif").write_bytes(tiff_of(tags, pixels.tobytes()))
    else:
        saved(tmp_path / "a.tif", pixels)
    for read in (read_photograph, read_for_training, read_for_probe):
        with pytest.raises(ImageError, match=rf"a\.tif: expected up to 16 .*got '{stored_as}'"):
            read(tmp_path / "a.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_tiff_files_are_read_as_stored(tmp_path, orientation, compression, dtype):
    pixels = GRAY.astype(dtype)
    options = {"compression": compression, "tiffinfo": {274: orientation}}
    with open_image(saved(tmp_path / "a.tif", pixels, **options)) as (image, _):
        assert np.array_equal(np.array(image), pixels)
        assert image.size == (7, 5)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
def test_photographs_are_read_as_stored(tmp_path, orientation, name):
    exif = Image.Exif()
    exif[274] = orientation
    pixels = np.zeros((40, 64, 3), np.uint8)
    pixels[:8, :16] = 255  # a corner that tells every turn from the others
    lossless = {"a.jpg": {"quality": 100}, "a.webp": {"lossless": True}}.get(name, {})
    path = saved(tmp_path / name, pixels, exif=exif, **lossless)
    assert np.abs(read_by_all(path).astype(int) - pixels).max() <= 3
    if orientation < 5:
        assert read_photograph(path, (64, 40)).shape == (40, 64, 3)
        assert read_photograph(path, (40, 64)).shape == (64, 40, 3)  # as asked for
        return
    with pytest.raises(ImageError, match=rf"stored upright.*64x40 .*orientation {orientation}"):
        read_photograph(path, (40, 64))


def test_of_several_images_one_is_read_if_it_is_the_photograph(tmp_path):
    def write(name):
        pages = [Image.fromarray(the_same(np.full((8, 8), v, np.uint8))) for v in (10, 200)]
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])

    write("a.mpo")
    (tmp_path / "a.mpo").rename(tmp_path / "a.jpg")
    assert abs(int(read_photograph(tmp_path / "a.jpg").max()) - 10) <= 2
    for name in ("a.tif", "a.gif", "a.png"):
        write(name)
        with pytest.raises(ImageError, match="expected one image, got several"):
            read_photograph(tmp_path / name)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_fill_the_range(tmp_path, bits, order):
    tags = {256: 8 // bits, 257: 1, 258: bits, 262: 1, 266: order, 277: 1}
    row = 0b11_01_00_10 if order == 1 else 0b01_00_10_11
    (tmp_path / "a.tif").write_bytes(tiff_of(tags, bytes([row])))
    most = 2**bits - 1
    levels = [0b11010010 >> shift & most for shift in range(8 - bits, -1, -bits)]
    assert read_photograph(tmp_path / "a.tif")[0, :, 0].tolist() == [
        v * 255 // most for v in levels
    ]


def test_more_pixels_than_allowed(tmp_path, monkeypatch):
    write_image(tmp_path / "a.png", np.zeros((20, 20)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)
    with pytest.raises(ImageError, match=r"decompression bomb.*--max-pixels allows"):
        read_photograph(tmp_path / "a.png")
    monkeypatch.setenv("DEALIAS_MAX_PIXELS", "400")
    assert read_photograph(tmp_path / "a.png").shape == (20, 20, 3)
    monkeypatch.setenv("DEALIAS_MAX_PIXELS", "many")
    with pytest.raises(ValueError, match="DEALIAS_MAX_PIXELS: expected a positive integer, got"):
        read_photograph(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["EPS", "PPM"])
def test_formats_that_are_not_listed_are_refused_before_their_pixels(tmp_path, kind, monkeypatch):
    started = []
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *given: started.append(given))
    path = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(path, kind)
    for file in (path, HeldFile.of(path, path.read_bytes())):
        with pytest.raises(ImageError, match=rf"a\.png: expected AVIF, BMP, .*, got {kind}"):
            read_photograph(file)
    assert not started
