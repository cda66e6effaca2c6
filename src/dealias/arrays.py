"""Read NumPy arrays from untrusted files: headers are checked before memory is allocated."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from dealias.inputs import open_regular, open_zip

# Is given the shape and dtype in a header; raises ValueError if they are not what is expected.
Check = Callable[[tuple[int, ...], np.dtype[Any]], None]

_LARGEST_DIRECTORY = 2**16  # bytes, enough for some hundred arrays
_LONGEST_HEADER = 10_000  # bytes; NumPy reads a whole header before it refuses longer ones


def read_array(file: IO[bytes], check: Check) -> NDArray[Any]:
    """Read an NPY file from its start.

    Raises:
        Exception: whatever `check` raises, or whatever NumPy raises for a broken file, which can be
            any type.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about odd headers
        major, _ = npy.read_magic(file)
        length = int.from_bytes(file.read(2 if major == 1 else 4), "little")
        if length > _LONGEST_HEADER:
            raise ValueError(
                f"expected a header of at most {_LONGEST_HEADER:,} bytes, got {length:,}"
            )
        file.seek(npy.MAGIC_LEN)
        read = npy.read_array_header_1_0 if major == 1 else npy.read_array_header_2_0
        shape, _, dtype = read(file)
        if any(length < 0 for length in shape):
            raise ValueError(f"a negative length in the shape {list(shape)}")
        check(shape, dtype)
        file.seek(0)
        array: NDArray[Any] = npy.read_array(file, allow_pickle=False)
        return array


@contextmanager
def open_npz(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an NPZ file; :func:`open_member` opens its arrays.

    Raises:
        FileError: as :func:`open_regular`.
        Exception: see :func:`open_zip`, which also refuses files with far more arrays than any NPZ
            of dealias has.
    """
    with open_regular(path) as file, open_zip(file, _LARGEST_DIRECTORY) as archive:
        yield archive


def open_member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """Open an array of an NPZ file.

    Raises:
        ValueError: there is no array of that name, or it is compressed in a way that NumPy never
            uses.
    """
    try:
        member = archive.getinfo(name)
    except KeyError:
        raise ValueError(f"lacks {name.removesuffix('.npy')!r}") from None
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("an unusual compression, whose memory has no limit")
    return archive.open(member)
