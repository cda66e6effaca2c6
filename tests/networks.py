"""Networks that several tests mend, and what varies their weights."""

import torch
from torch import Tensor, nn

from dealias.layers import FrequencyMixing
from dealias.models import create_model


class Block(nn.Module):
    """A strided residual block, 16 -> 32 channels."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(32, 32, 3, padding=1)
        self.shortcut = nn.Conv2d(16, 32, 1, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x).relu()) + self.shortcut(x)


def varied(net: nn.Module) -> nn.Module:
    """Batch norms that do something, and mixing that has learned something."""
    generator = torch.Generator().manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.3, 0.3, generator=generator)
            nn.init.uniform_(module.running_var, 0.5, 2, generator=generator)
        if isinstance(module, FrequencyMixing):
            for parameter in module.parameters():
                nn.init.normal_(parameter, std=0.1, generator=generator)
    return net.eval()


def bright_upernet():
    """A small network of dealias.models whose images are not normalised as ImageNet's."""
    return create_model(
        "upernet",
        backbone="test_resnet",
        backbone_weights=None,
        channels=8,
        num_classes=3,
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
    )
