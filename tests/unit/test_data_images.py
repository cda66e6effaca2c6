import numpy as np
import pytest
import torch
from PIL import Image

from dealias.data.reading import read_image, read_target
from dealias.images import ImageError
from dealias.labels import ClassSet, LabelFileError
from image_folders import write_image

CLASSES = ClassSet("many", tuple(map(str, range(300))), ignore_index=999)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "CMYK", "1"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    gray = np.where(np.arange(35).reshape(5, 7) % 2, 255, 0).astype(np.uint8)
    path = tmp_path / f"a.{'tif' if mode == 'CMYK' else 'png'}"
    Image.fromarray(gray).convert("RGB").convert(mode).save(path)
    image = read_image(path)
    assert image.shape == (3, 5, 7)
    assert image.dtype == torch.uint8
    assert torch.equal(image, torch.from_numpy(gray).expand(3, 5, 7))


def test_transparency_is_dropped(tmp_path):
    picture = Image.fromarray(np.full((4, 4), 1, np.uint8), "P")
    picture.putpalette([0, 0, 0, 10, 20, 30])
    picture.save(tmp_path / "a.png", transparency=bytes([0, 128]))
    assert read_image(tmp_path / "a.png")[:, 0, 0].tolist() == [10, 20, 30]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "not an image"),
        (b"hello", "not an image"),
        (b"\x89PNG\r\n\x1a\n", ""),
    ],
)
def test_what_is_no_image(tmp_path, content, problem):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ImageError, match=rf"a\.png: ({problem})"):
        read_image(tmp_path / "a.png")


def test_a_folder(tmp_path):
    with pytest.raises(ImageError, match="expected a regular file, got a folder"):
        read_image(tmp_path)


def test_targets_of_many_classes(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[0, 299, 999]]))
    target = read_target(tmp_path / "a.npy", CLASSES)
    assert target.dtype == torch.int64
    assert target.tolist() == [[0, 299, 999]]
    write_image(tmp_path / "b.png", [[0, 255]])  # few labels, but the dtype of the set
    assert read_target(tmp_path / "b.png", CLASSES).dtype == torch.int64


@pytest.mark.parametrize("label", [-1, 300, 998, 1000, 70_000])
def test_labels_that_are_no_classes(tmp_path, label):
    np.save(tmp_path / "a.npy", np.array([[0, label, label, 999]]))
    with pytest.raises(LabelFileError, match=rf"classes 0..299 .*got {label} \(2 px\)"):
        read_target(tmp_path / "a.npy", CLASSES)


def test_targets_of_sixteen_bits(tmp_path):
    Image.fromarray(np.array([[0, 256, 299, 999]], np.uint16)).save(tmp_path / "a.png")
    assert read_target(tmp_path / "a.png", CLASSES).tolist() == [[0, 256, 299, 999]]
