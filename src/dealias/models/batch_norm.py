"""Batch norm over several processes."""

import contextlib
import importlib
from typing import Any

from torch import nn


def sync_batch_norm(model: nn.Module) -> nn.Module:
    """Make every batch norm share its statistics between processes.

    Many networks of timm have batch norms that apply the activation too. PyTorch's own conversion,
    which Lightning's ``sync_batchnorm=True`` calls, loses it; timm's does not.

    Args:
        model: a network; it is changed.

    Returns:
        The network.

    >>> type(sync_batch_norm(nn.Sequential(nn.BatchNorm2d(4)))[0])
    <class 'torch.nn.modules.batchnorm.SyncBatchNorm'>
    """
    convert: Any = nn.SyncBatchNorm.convert_sync_batchnorm
    with contextlib.suppress(ImportError):  # without timm, nothing here is of timm
        convert = importlib.import_module("timm.layers").convert_sync_batchnorm
    converted: nn.Module = convert(model)
    return converted
