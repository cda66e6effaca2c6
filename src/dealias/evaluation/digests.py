"""Digests of the labels that were counted, to detect files that have changed since."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dealias.inputs import open_regular
from dealias.labels import LabelFileError
from dealias.text import FileError, reason

_KINDS = ("<u1", "<u2", "<i8")


def digest_file(path: Path) -> str:
    """Digest the bytes of a file, which takes a hundredth of the time of decoding it.

    Raises:
        LabelFileError: the file can't be read.
    """
    found = hashlib.blake2b(digest_size=8)
    try:
        with open_regular(path) as file:
            while block := file.read(2**20):
                found.update(block)
    except FileError as error:
        raise LabelFileError(path, error.problem) from error
    except OSError as error:
        raise LabelFileError(path, f"can't be read: {reason(error)}") from error
    return f"file:{found.hexdigest()}"


def digest_labels(labels: NDArray[np.integer]) -> str:
    """Digest labels [H, W] and their size, whatever their dtype, for label maps that have no file.

    >>> digest_labels(np.eye(2, dtype=np.uint8)) == digest_labels(np.eye(2, dtype=np.int64))
    True
    """
    least, most = (int(labels.min()), int(labels.max())) if labels.size else (0, 0)
    kind = next(k for k in _KINDS if least >= np.iinfo(k).min and most <= np.iinfo(k).max)
    found = hashlib.blake2b(repr((labels.shape, kind)).encode(), digest_size=8)
    found.update(np.ascontiguousarray(labels.astype(kind, copy=False)).data)
    return f"labels:{found.hexdigest()}"


def digest_rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """Digest the image names of a result together with the digests of their labels.

    Args:
        rows: the "per_image" of the result, with or without "digests".
    """
    counted = json.dumps([[row["name"], row.get("digests")] for row in rows], sort_keys=True)
    return hashlib.blake2b(counted.encode(), digest_size=8).hexdigest()
