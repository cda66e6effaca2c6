"""Arrays of NumPy in files of strangers: headers are checked before memory is taken."""

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

# Given the shape and dtype that a header says, raises ValueError if they are not wanted.
Check = Callable[[tuple[int, ...], np.dtype[Any]], None]

_LARGEST_DIRECTORY = 2**16  # bytes, some hundred arrays


def read_array(file: IO[bytes], check: Check) -> NDArray[Any]:
    """Read an NPY file that is open at its start.

    Raises:
        Exception: whatever `check` raises, and what NumPy does for broken files: anything.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd headers
        major, _ = npy.read_magic(file)
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
    """Open an NPZ file whose arrays :func:`open_member` opens.

    Raises:
        FileError: as :func:`open_regular`.
        Exception: as :func:`open_zip`; it may not have more arrays than any that is meant.
    """
    with open_regular(path) as file, open_zip(file, _LARGEST_DIRECTORY) as archive:
        yield archive


def open_member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """Open an array of an NPZ file.

    Raises:
        ValueError: there is none of that name, or it is compressed as NumPy never does.
    """
    try:
        member = archive.getinfo(name)
    except KeyError:
        raise ValueError(f"lacks {name.removesuffix('.npy')!r}") from None
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("an unusual compression, whose memory has no limit")
    return archive.open(member)
