"""Data sets of the library datasets, written by it."""

import io
import os

os.environ["HF_HUB_OFFLINE"] = "1"

import datasets
import numpy as np
from datasets import Dataset, Features, Image, Value
from PIL import Image as Pillow

datasets.disable_progress_bars()


def encoded(pixels, kind="PNG"):
    """An image file in memory; `pixels` may be an image of Pillow."""
    held = io.BytesIO()
    picture = pixels if isinstance(pixels, Pillow.Image) else Pillow.fromarray(pixels)
    picture.save(held, kind)
    return held.getvalue()


def samples(count, *, size=(20, 28), seed=0):
    """Noisy images, and label maps of classes 0, 1 and void 255: uint8 (H, W, 3) and (H, W)."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        image = random.integers(0, 256, (*size, 3), np.uint8)
        yield image, random.choice(np.array([0, 1, 255], np.uint8), size)


def data_set(pairs, names=None, *, image="image", label="annotation"):
    """A Dataset of images and label maps, encoded already if they are bytes."""
    rows = []
    for index, pair in enumerate(pairs):
        path = None if names is None else names[index]
        held = [part if isinstance(part, bytes) else encoded(part) for part in pair]
        of_image, of_label = ({"bytes": content, "path": path} for content in held)
        rows.append({image: of_image, label: of_label, "number": index})
    features = Features({image: Image(), label: Image(), "number": Value("int32")})
    return Dataset.from_list(rows, features=features)
