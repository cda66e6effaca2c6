"""Refuse image files with lossy compression, which changes labels."""

import struct
from pathlib import Path

from PIL import Image

from dealias.images import ImageError
from dealias.inputs import open_regular

JPEG_SUFFIXES = (".jpg", ".jpeg")
JPEG_REASON = "JPEG changes labels where classes meet: save label maps as PNG"

_LOSSY = ("JPEG", "MPO", "JPEG2000", "AVIF")
_LOSSY_TIFF = ("jpeg", "tiff_jpeg", "webp")
_MOST_CHUNKS = 1000


def check_lossless(path: Path, image: Image.Image) -> None:
    """Raise ImageError if an image has lossy compression, whatever its file name says.

    Args:
        path: the file.
        image: the image opened from it.
    """
    found = str(image.format)
    if found == "TIFF" and image.info.get("compression") in _LOSSY_TIFF:
        found = f"TIFF of {image.info['compression']}"
    elif found == "WEBP" and not _is_lossless_webp(path):
        found = "lossy WebP"
    elif found not in _LOSSY:
        return
    if found in ("JPEG", "MPO"):
        raise ImageError(path, JPEG_REASON)
    raise ImageError(path, f"{found} changes labels where classes meet: save label maps as PNG")


def _is_lossless_webp(path: Path) -> bool:
    """Whether a WebP file is lossless, judged by the names of its chunks."""
    with open_regular(path) as file:
        file.seek(12)
        for _ in range(_MOST_CHUNKS):
            header = file.read(8)
            if len(header) < 8 or header[:4] in (b"VP8 ", b"ANMF"):
                return False
            if header[:4] == b"VP8L":
                return True
            (length,) = struct.unpack("<I", header[4:])
            file.seek(length + length % 2, 1)
    return False
