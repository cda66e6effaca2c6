"""Networks as people write them, named by path in tests."""

import torch
from torch import nn
from torch.nn.functional import interpolate


class UNet(nn.Module):
    """Two levels; images of odd sizes do not fit together on the way up."""

    def __init__(self, num_classes: int, width: int = 4) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.down = nn.Sequential(
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
        )
        self.head = nn.Conv2d(3 * width, num_classes, 1)

    def forward(self, x):
        fine = self.encoder(x)
        coarse = interpolate(self.down(fine), scale_factor=2)
        return self.head(torch.cat([fine, coarse], 1))


class Parts(nn.Module):
    """What it returns has a name, and may be smaller."""

    def __init__(self, classes: int, name: str, step: int = 1) -> None:
        super().__init__()
        self.name, self.step = name, step
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.head = nn.Conv2d(8, classes, 1)

    def forward(self, x):
        scores = self.head(self.stem(x).relu())[..., :: self.step, :: self.step]
        return {self.name: scores, "aux": scores[..., ::2, ::2]}


class Fixed(UNet):
    """Of four classes, whatever the data."""

    def __init__(self) -> None:
        super().__init__(4)


class Listed(UNet):
    def forward(self, x):
        return [super().forward(x)]


class Pooled(UNet):
    """Has a batch norm after pooling to a pixel, which one image alone can't train."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.norm = nn.BatchNorm2d(num_classes)

    def forward(self, x):
        scores = super().forward(x)
        return scores + self.norm(scores.mean((2, 3), keepdim=True))


class Sixfold(UNet):
    """Takes multiples of 64 alone, and says so as people do."""

    def forward(self, x):
        assert x.shape[-1] % 64 == x.shape[-2] % 64 == 0
        return super().forward(x)


class Frozen(UNet):
    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.encoder.eval()


class TwoHeads(UNet):
    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.first = self.head
        self.head = nn.Conv2d(12, num_classes, 1)


class Failing(nn.Module):
    def forward(self, _):
        raise KeyError("stage")


def make_unet(n_classes: int) -> nn.Module:
    return UNet(n_classes, width=6)


def make_nothing() -> str:
    return "nothing"
