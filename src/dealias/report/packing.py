"""Pack label maps into scripts that a page loads from disk.

A page opened from disk can show pictures, but it can neither read their pixels nor fetch files. So
maps are stored in scripts. Each row of a plane except the first is combined with the row above by
exclusive or, which makes label maps mostly zeros. Then the bytes of all planes are deflated and
encoded in base64.
"""

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8] | NDArray[np.uint16]


def pack(planes: Mapping[str, Plane]) -> dict[str, Any]:
    """Pack planes of one size into values for JSON.

    Args:
        planes: uint8 or uint16 [H, W], at least one.

    >>> packed = pack({"target": np.eye(3, dtype=np.uint8)})
    >>> packed["height"], packed["width"], packed["bytes"]
    (3, 3, {'target': 1})
    """
    height, width = next(iter(planes.values())).shape
    squeezer = zlib.compressobj(9)
    parts = []
    for plane in planes.values():
        little = plane.astype(plane.dtype.newbyteorder("<"))
        little[1:] ^= little[:-1].copy()
        parts.append(squeezer.compress(little.tobytes()))
    data = base64.b64encode(b"".join((*parts, squeezer.flush()))).decode("ascii")
    sizes = {name: plane.dtype.itemsize for name, plane in planes.items()}
    return {"height": height, "width": width, "bytes": sizes, "data": data}


def to_script(function: str, *arguments: object) -> str:
    """Return a script that calls a function; no argument can be mistaken for code."""
    values = (json.dumps(value, allow_nan=False, separators=(",", ":")) for value in arguments)
    return f"{function}({','.join(values)});\n"
