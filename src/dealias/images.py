"""Open image files as they are stored; all photographs and label maps are opened here."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from dealias.inputs import open_regular
from dealias.text import FileError, reason

MAX_PIXELS_HELP = "read images of up to so many pixels, for large tiles; else Pillow's limit"

_VARIABLE = "DEALIAS_MAX_PIXELS"
# Pillow has others that start programs, such as Ghostscript for EPS.
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "TIFF", "WEBP")
_ORIENTATION = 274  # the tag of TIFF and EXIF
_Flip = Image.Transpose
# The operations that undo the rotation Pillow applies for each orientation.
_UNDO = {
    2: _Flip.FLIP_LEFT_RIGHT,
    3: _Flip.ROTATE_180,
    4: _Flip.FLIP_TOP_BOTTOM,
    5: _Flip.TRANSPOSE,
    6: _Flip.ROTATE_90,
    7: _Flip.TRANSVERSE,
    8: _Flip.ROTATE_270,
}
_EIGHT_BITS = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
_SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N")
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0  # a tag of TIFF, and its value for inverted gray


class ImageError(FileError):
    """An image or a folder of images can't be used."""


@contextmanager
def open_image(path: Path) -> Iterator[tuple[Image.Image, str]]:
    """Open the single image of a file, with its pixels as they are stored.

    A rotation that the file asks for (by EXIF, or by the orientation of TIFF) is not applied, so
    the stored pixels of a photograph and of its label map match.

    Args:
        path: PNG, JPEG, TIFF, BMP, WebP, AVIF, JPEG 2000 or GIF, whatever its name says. Of a JPEG
            with several pictures (MPO), the first is opened.

    Yields:
        The image, and Pillow's name for how the file stores its pixels, such as "L;2". For 16 bits
        of inverted gray, which Pillow leaves inverted, the name ends in "I", as it does for fewer
        bits.

    Raises:
        ImageError: the file does not exist, is not an image of these formats, is broken, has
            several images, or has more pixels than :func:`max_pixels`. Any other error raised while
            the image is open, except a FileError, is also blamed on the file, because Pillow reads
            the pixels late.
    """
    usual, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd tags
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            # Given a path, Pillow would memory-map rotated TIFF files with height and width
            # swapped.
            with open_regular(path) as file, Image.open(file) as image:
                if image.format not in _FORMATS:
                    raise ImageError(path, f"expected {', '.join(_FORMATS)}, got {image.format}")
                # The first image tells this; counting the images would read all of them.
                if getattr(image, "is_animated", False) and image.format != "MPO":
                    raise ImageError(path, "expected one image, got several")
                stored_as = _raw_mode(image)
                yield _as_stored(image), stored_as
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(
            path, f"refused as a decompression bomb: {error}; --max-pixels allows larger ones"
        ) from error
    except UnidentifiedImageError as error:
        raise ImageError(path, "not an image that can be read") from error
    except FileError as error:
        if type(error) is FileError:  # the file could not be opened
            raise ImageError(path, error.problem) from error
        raise
    except Exception as error:  # decoders raise many types of error for broken files
        raise ImageError(path, f"can't be read: {reason(error)}") from error
    finally:
        Image.MAX_IMAGE_PIXELS = usual


def read_photograph(path: Path, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Read an image as RGB.

    Gray and palette images are converted to RGB, transparency is dropped, and deeper channels are
    cut to their upper 8 bits. Pixels are read as stored, without rotation (see :func:`open_image`).

    Args:
        path: a format of :func:`open_image` with a known range of values: unsigned, up to 16 bits a
            channel.
        size: (W, H) in pixels to resize to; by default the image's own.

    Returns:
        uint8 (H, W, 3), RGB in 0 .. 255.

    Raises:
        ImageError: see :func:`open_image`; the pixels are signed, 32-bit or floating point; or the
            image asks for a quarter turn and would have `size` only after it.
    """
    with open_image(path) as (image, stored_as):
        if size is not None and image.size == size[::-1] != size:
            check_not_turned(path, image)
        image.info.pop("transparency", None)  # else Pillow warns that it is dropped
        if image.mode in _EIGHT_BITS:
            colors = image if image.mode == "RGB" else image.convert("RGB")
        elif image.mode in _SIXTEEN_BITS or stored_as.removesuffix("I") in _SIXTEEN_BITS:
            colors = Image.fromarray(_upper_bits(image, stored_as)).convert("RGB")
        else:
            raise ImageError(
                path,
                "expected up to 16 unsigned bits a channel, whose range is known, "
                f"got {stored_as!r}",
            )
        return np.array(colors if size is None else colors.resize(size))


def check_not_turned(path: Path, image: Image.Image) -> None:
    """Raise ImageError if the image asks for a quarter turn.

    Used if a label map has the image's height as its width, because it was drawn on the rotated
    image.
    """
    orientation = image.getexif().get(_ORIENTATION)
    if orientation in (5, 6, 7, 8):
        raise ImageError(
            path,
            f"expected pixels stored upright, as those of its label map, got {image.width}x"
            f"{image.height} to be turned (orientation {orientation}); save it turned",
        )


def max_pixels() -> int | None:
    """Return the largest number of pixels of an image: `DEALIAS_MAX_PIXELS`, or Pillow's limit.

    Raises:
        ValueError: the variable is not a positive integer.
    """
    text = os.environ.get(_VARIABLE)
    if text is None:
        return Image.MAX_IMAGE_PIXELS
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise ValueError(f"{_VARIABLE}: expected a positive integer, got {text!r}")
    return int(text)


def too_many(count: int, unit: str = "pixels") -> str | None:
    """Say that a count is more than :func:`max_pixels`, in words for a message; None if it isn't.

    >>> too_many(10**12)
    '1,000,000,000,000 pixels, more than 89,478,485; --max-pixels allows larger ones'
    """
    limit = max_pixels()
    if limit is None or count <= limit:
        return None
    return f"{count:,} {unit}, more than {limit:,}; --max-pixels allows larger ones"


def allow_pixels(count: int | None) -> None:
    """Allow images of up to `count` pixels from now on, also in processes started later.

    Raises:
        ValueError: `count` is less than 1.
    """
    if count is None:
        return
    if count < 1:
        raise ValueError(f"max_pixels: expected at least 1, got {count}")
    os.environ[_VARIABLE] = str(count)


def _raw_mode(image: Image.Image) -> str:
    """Return how the file stores its pixels, before Pillow converts them to `image.mode`."""
    tiles = getattr(image, "tile", None)
    options = tiles[0][3] if tiles else image.mode
    raw = str(options[0] if isinstance(options, tuple) else options) or image.mode
    inverted = getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    return f"{raw}I" if inverted and raw.startswith("I;") else raw


def _as_stored(image: Image.Image) -> Image.Image:
    """Undo the rotation that Pillow applies when it reads the pixels of a TIFF file."""
    if image.format != "TIFF":
        return image
    orientation = image.getexif().get(_ORIENTATION)
    if orientation not in _UNDO:
        return image
    image.load()
    if _ORIENTATION in image.getexif():
        return image
    stored = image.transpose(_UNDO[orientation])
    stored.getexif()[_ORIENTATION] = orientation
    return stored


def _upper_bits(image: Image.Image, stored_as: str) -> NDArray[np.uint8]:
    bits = 12 if stored_as.startswith("I;12") else 16
    values = np.array(image).astype(np.uint16)
    if stored_as.endswith("I"):
        values = 2**bits - 1 - values
    return (values >> bits - 8).astype(np.uint8)
