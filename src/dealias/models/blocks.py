"""Layers of the heads."""

from typing import Any

from torch import Tensor, distributed, nn


class ConvBlock(nn.Module):
    """Convolution, batch norm, ReLU.

    A batch with one value per channel, such as one image pooled to one pixel, has no variance to
    normalise by. The running statistics are used then, as in evaluation, so that networks can be
    trained on single images.

    >>> import torch
    >>> ConvBlock(8, 4, 1)(torch.randn(1, 8, 1, 1)).shape
    torch.Size([1, 4, 1, 1])
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, C_in, H, W]` to `[B, C_out, H, W]`."""
        x = self.conv(x)
        alone = self.training and x.shape[0] * x.shape[2] * x.shape[3] == 1
        # Statistics synchronised between processes have more than one value.
        if alone and not (isinstance(self.norm, nn.SyncBatchNorm) and _several_processes()):
            norm: Any = self.norm
            x = nn.functional.batch_norm(
                x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
            )
        else:
            x = self.norm(x)
        return nn.functional.relu(x, inplace=True)


def _several_processes() -> bool:
    return (
        distributed.is_available()
        and distributed.is_initialized()
        and distributed.get_world_size() > 1
    )


class Classifier(nn.Sequential):
    """Dropout of whole channels, then scores per class."""

    def __init__(self, channels: int, num_classes: int, dropout: float) -> None:
        conv = nn.Conv2d(channels, num_classes, 1)
        nn.init.normal_(conv.weight, std=0.01)
        nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        super().__init__(nn.Dropout2d(dropout), conv)
