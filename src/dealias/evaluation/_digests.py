"""Digests of label maps, to tell whether those read again are the ones that were counted."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

_KINDS = ("<u1", "<u2", "<i8")


def digest_labels(labels: NDArray[np.integer]) -> str:
    """A digest of labels (H, W) and of their size: 16 hexadecimal digits, whatever the dtype.

    >>> digest_labels(np.eye(2, dtype=np.uint8)) == digest_labels(np.eye(2, dtype=np.int64))
    True
    """
    least, most = (int(labels.min()), int(labels.max())) if labels.size else (0, 0)
    kind = next(k for k in _KINDS if least >= np.iinfo(k).min and most <= np.iinfo(k).max)
    found = hashlib.sha256(repr((labels.shape, kind)).encode())
    found.update(np.ascontiguousarray(labels.astype(kind, copy=False)).data)
    return found.hexdigest()[:16]
