"""UPerNet: a pyramid pooling module and a feature pyramid on any backbone."""

from collections.abc import Sequence
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, distributed, nn

from dealias.layers import Offsets, collect_offsets, polyphase_upsample
from dealias.models.backbones import Backbone, stage_maps
from dealias.models.segmentation import SegmentationModel, resize

_POOL_SIZES = (1, 2, 3, 6)
_STRIDES = (4, 8, 16, 32)  # strides of the stages


class UPerNet(SegmentationModel):
    """UPerNet (Xiao et al., "Unified Perceptual Parsing", ECCV 2018), as the paper uses it.

    The auxiliary head is one convolutional block and a classifier on the third stage. It is used
    only in training.

    If images choose their samples in the backbone (see :class:`dealias.layers.PolyphaseShift`), the
    heads upsample maps by :func:`dealias.layers.polyphase_upsample` and pool them by sliding means
    instead of fixed cells. The scores then move exactly with every circular shift of the image, if
    all padding is circular and the height and width are multiples of 32.

    Args:
        backbone: features at strides 4, 8, 16 and 32.
        num_classes: number of classes.
        channels: channels of the pyramids.
        aux_head: whether there is an auxiliary head.
        aux_channels: channels of the auxiliary head.
        dropout: share of channels dropped before each classifier.
    """

    puts_back: ClassVar[bool] = True

    def __init__(
        self,
        backbone: Backbone,
        *,
        num_classes: int,
        channels: int = 128,
        aux_head: bool = True,
        aux_channels: int = 256,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(num_classes=num_classes, mean=backbone.mean, std=backbone.std)
        self.backbone = backbone.network
        self._channels_last = backbone.channels_last
        self.decode_head = PyramidHead(backbone.channels, channels, num_classes, dropout)
        self.aux_head = (
            nn.Sequential(
                ConvBlock(backbone.channels[-2], aux_channels, 3),
                Classifier(aux_channels, num_classes, dropout),
            )
            if aux_head
            else None
        )

    def features(self, images: Tensor) -> list[Tensor]:
        """Compute the maps of the four stages, `[B, C, H / s, W / s]` for s = 4, 8, 16, 32."""
        return stage_maps(self.backbone(images), self._channels_last)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Score the pixels: see :meth:`SegmentationModel.forward`."""
        with collect_offsets() as offsets:
            features = self.features(images)
        scores = {"out": (self.decode_head(features, offsets), 0)}
        if self.training and self.aux_head is not None:
            scores["aux"] = self.aux_head(features[-2]), len(features) - 2
        size = (images.shape[-2], images.shape[-1])
        return {n: _enlarge(maps, size, stage, offsets) for n, (maps, stage) in scores.items()}


class PyramidHead(nn.Module):
    """Pool the last stage at several sizes, pass the result to the finer stages, and join all.

    Args:
        in_channels: channels of the four stages, the finest first.
        channels: channels of all layers of the head.
        num_classes: number of classes.
        dropout: share of channels dropped before the classifier.
    """

    def __init__(
        self, in_channels: Sequence[int], channels: int, num_classes: int, dropout: float
    ) -> None:
        super().__init__()
        *finer, last = in_channels
        self.pooled = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(size), ConvBlock(last, channels, 1))
            for size in _POOL_SIZES
        )
        self.context = ConvBlock(last + len(_POOL_SIZES) * channels, channels, 3)
        self.lateral = nn.ModuleList(ConvBlock(c, channels, 1) for c in finer)
        self.smooth = nn.ModuleList(ConvBlock(channels, channels, 3) for _ in finer)
        self.join = ConvBlock(len(in_channels) * channels, channels, 3)
        self.classifier = Classifier(channels, num_classes, dropout)

    def forward(self, features: Sequence[Tensor], offsets: Offsets | None = None) -> Tensor:
        """Return logits `[B, C, H / 4, W / 4]` from the maps of the stages.

        Args:
            features: maps `[B, C, H / s, W / s]` for s = 4, 8, 16, 32.
            offsets: the positions of their samples; None or empty for the regular grid.
        """
        *finer, last = features
        sizes = [(feature.shape[-2], feature.shape[-1]) for feature in features]
        pooled = [self._pool(number, last, bool(offsets)) for number in range(len(self.pooled))]
        levels = [self.context(torch.cat([last, *pooled], 1))]
        for stage in reversed(range(len(finer))):
            coarser = _enlarge(levels[0], sizes[stage], stage + 1, offsets, to=stage)
            levels.insert(0, self.lateral[stage](finer[stage]) + coarser)
        smoothed = [smooth(level) for smooth, level in zip(self.smooth, levels[:-1], strict=True)]
        resized = [
            _enlarge(level, sizes[0], stage, offsets, to=0)
            for stage, level in enumerate((*smoothed, levels[-1]))
        ]
        logits: Tensor = self.classifier(self.join(torch.cat(resized, 1)))
        return logits

    def _pool(self, number: int, x: Tensor, sliding: bool) -> Tensor:
        if not sliding:
            return resize(self.pooled[number](x), x.shape[-2:])
        cells, block = cast(nn.Sequential, self.pooled[number])
        pooled: Tensor = block(_sliding_mean(x, cast(int, cells.output_size)))
        return pooled


def _enlarge(
    maps: Tensor,
    size: tuple[int, int],
    stage: int,
    offsets: Offsets | None,
    *,
    to: int | None = None,
) -> Tensor:
    """Upsample maps of a stage to the grid of a finer stage, or of the image."""
    if not offsets:
        return resize(maps, size)
    spacing = 1 if to is None else _STRIDES[to]
    offset = (offsets.at(_STRIDES[stage]) - offsets.at(spacing)) // spacing
    return polyphase_upsample(maps, size, _STRIDES[stage] // spacing, offset)


def _sliding_mean(x: Tensor, cells: int) -> Tensor:
    """The circular mean over a window around each sample, whose size is a share of the map.

    This is what adaptive pooling to `cells` x `cells` computes at fixed places, at all places.
    """
    for axis in (-2, -1):
        length = x.shape[axis]
        window = (length + cells - 1) // cells
        before, after = (window - 1) // 2, window // 2
        places = torch.arange(length, device=x.device)
        apart = places - places[:, None]
        inside = (apart >= -before) & (apart <= after)
        inside |= (apart >= length - before) | (apart <= after - length)
        mean = (inside / window).to(x.dtype)
        x = mean @ x if axis == -2 else x @ mean.T
    return x


class ConvBlock(nn.Module):
    """Convolution, batch norm, ReLU.

    A batch with one value per channel, such as one image pooled to one pixel, has no variance to
    normalise by. In this case the running statistics are used, as in evaluation, so that networks
    can be trained on single images.

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
        # Statistics synchronised between processes cover more than one value.
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
