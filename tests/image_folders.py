"""Small data sets of files that several tests share."""

import json
import struct

import numpy as np
from PIL import Image


def write_image(path, pixels):
    """Write uint8 (H, W, 3) or (H, W), making the folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)


def write_classes(path, names, **options):
    """Write a class set."""
    lines = [f"names: {json.dumps(names)}", *(f"{key}: {value}" for key, value in options.items())]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def write_samples(root, count, *, split="train", size=(20, 28), seed=0):
    """Write noisy images with label maps of classes 0, 1 and void 255; their names.

    The first pixel of image i is (i, i, i).
    """
    random = np.random.default_rng(seed)
    names = [f"{number:02d}" for number in range(count)]
    for number, name in enumerate(names):
        image = random.integers(0, 256, (*size, 3), np.uint8)
        image[0, 0] = number
        labels = random.choice(np.array([0, 1, 255], np.uint8), size)
        write_image(root / "images" / split / f"{name}.png", image)
        write_image(root / "labels" / split / f"{name}.png", labels)
    return names


def cut_short(path):
    """Leave half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def tiff_of(tags, pixels):
    """A TIFF of one strip, its tags short integers but for where the strip lies."""
    tags = {259: 1, 278: tags[257], 279: len(pixels), **tags}
    tags[273] = 8 + 2 + 12 * (len(tags) + 1) + 4
    rows = [
        struct.pack("<HHI", tag, 4, 1) + struct.pack("<I", value)
        for tag, value in sorted(tags.items())
    ]
    directory = struct.pack("<H", len(rows)) + b"".join(rows) + bytes(4)
    return struct.pack("<2sHI", b"II", 42, 8) + directory + pixels
