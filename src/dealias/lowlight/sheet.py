"""Bright scenes and what is left of them, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from dealias.lowlight.capture import Capture, draw_capture
from dealias.lowlight.pipeline import Output, low_light

_GAP = 4
_HEAD = 18
_OUTPUTS: tuple[Output, ...] = ("raw", "srgb")


def contact_sheet(
    images: Sequence[Tensor], *, ratios: Sequence[float] = (1, 10, 30, 100), seed: int = 0
) -> NDArray[np.uint8]:
    """Lay out images by exposure ratio, in two rows each: raw, and developed to sRGB.

    White balance and noise parameters are the same in the whole sheet, those of the middle of 99
    draws by system gain, so that from column to column only the light changes.

    Args:
        images: uint8 [3, H, W] each, of one size.
        ratios: one a column; a first column has the bright image.
        seed: of the noise.

    Returns:
        uint8 [rows, columns, 3].

    >>> from dealias.data import ProceduralScenes
    >>> sheet = contact_sheet([image for image, _ in ProceduralScenes(2, size=(96, 160))])
    >>> sheet.shape
    (414, 816, 3)
    """
    generator = torch.Generator().manual_seed(seed)
    capture = _typical_capture(generator)
    rows = []
    for image in images:
        for output in _OUTPUTS:
            taken = [capture._replace(ratio=torch.tensor([float(ratio)])) for ratio in ratios]
            dark = [low_light(image[None], c, output=output, generator=generator)[0] for c in taken]
            rows.append([image, *dark])
    heads = ["bright", *(f"exposure ratio {ratio:g}: raw, then sRGB" for ratio in ratios)]
    return _lay_out(rows, heads)


def _typical_capture(generator: torch.Generator) -> Capture:
    many = draw_capture(99, generator=generator)
    middle = many.system_gain.argsort()[49:50]
    return Capture(*(values[middle] for values in many))


def _lay_out(rows: Sequence[Sequence[Tensor]], heads: Sequence[str]) -> NDArray[np.uint8]:
    height, width = rows[0][0].shape[-2:]
    sheet = Image.new(
        "RGB",
        (len(heads) * (width + _GAP) - _GAP, _HEAD + len(rows) * (height + _GAP) - _GAP),
        "white",
    )
    draw = ImageDraw.Draw(sheet)
    for column, head in enumerate(heads):
        left = column * (width + _GAP)
        draw.text((left + 2, 3), head, fill="black")
        for index, row in enumerate(rows):
            picture = Image.fromarray(row[column].permute(1, 2, 0).numpy())
            sheet.paste(picture, (left, _HEAD + index * (height + _GAP)))
    return np.array(sheet)
