"""Label maps as text, for scripts that a page loads from disk.

A page opened from disk may show pictures but not read their pixels, and can't fetch files. So maps
come as scripts that hold them: the bytes of all planes, each row but the first combined by
exclusive or with the one above, which leaves label maps mostly zeros; deflated; in base64.
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
        planes: uint8 or uint16 (H, W), at least one.

    >>> packed = pack({"target": np.eye(3, dtype=np.uint8)})
    >>> unpack(packed)["target"].tolist()
    [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
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


def unpack(packed: Mapping[str, Any]) -> dict[str, Plane]:
    """Read what `pack` wrote.

    Raises:
        ValueError: not such values.
    """
    try:
        height, width = int(packed["height"]), int(packed["width"])
        total = height * width * sum(packed["bytes"].values())
        squeezer = zlib.decompressobj()
        data = squeezer.decompress(base64.b64decode(packed["data"], validate=True), total)
        planes, start = {}, 0
        for name, size in packed["bytes"].items():
            kind = np.dtype({1: np.uint8, 2: np.uint16}[size]).newbyteorder("<")
            plane = np.frombuffer(data, kind, height * width, start).reshape(height, width)
            planes[name] = np.bitwise_xor.accumulate(plane, axis=0).astype(kind.newbyteorder("="))
            start += height * width * size
    except (KeyError, TypeError, AttributeError, ValueError, zlib.error) as error:
        raise ValueError(f"expected packed label maps: {error}") from error
    return planes


def to_script(function: str, *arguments: object) -> str:
    """A script that calls a function; nothing in the arguments can be taken for code."""
    values = (json.dumps(value, allow_nan=False, separators=(",", ":")) for value in arguments)
    return f"{function}({','.join(values)});\n"


def from_script(function: str, text: str) -> list[Any]:
    """The arguments of what `to_script` wrote.

    Raises:
        ValueError: not such a script.
    """
    start, end = f"{function}(", ");\n"
    if not (text.startswith(start) and text.endswith(end)):
        raise ValueError(f"expected a script that calls {function}")
    values: list[Any] = json.loads(f"[{text[len(start) : -len(end)]}]")
    return values
