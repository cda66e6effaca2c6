"""Networks that several tests mend."""

from torch import Tensor, nn


class Block(nn.Module):
    """A strided residual block, 16 -> 32 channels."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(32, 32, 3, padding=1)
        self.shortcut = nn.Conv2d(16, 32, 1, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x).relu()) + self.shortcut(x)
