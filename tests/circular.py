"""Networks whose padding is circular, so that strides alone break their equivariance."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class CircularMaxPool(nn.MaxPool2d):
    def forward(self, x: Tensor) -> Tensor:
        x = functional.pad(x, (self.padding,) * 4, mode="circular")
        return functional.max_pool2d(x, self.kernel_size, self.stride)


def circular(net: nn.Module) -> nn.Module:
    """Make the padding of every convolution and max pooling circular, in place."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.padding_mode = "circular"
        elif type(module) is nn.MaxPool2d:
            module.__class__ = CircularMaxPool
    return net


def varied(net: nn.Module) -> nn.Module:
    """Give batch norms statistics that differ, in place."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.3, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return net


@torch.no_grad()
def labels_agree(predict, x: Tensor, shifts: int = 6) -> bool:
    """Whether the label maps of scores are the same under random circular shifts, moved."""
    labels = predict(x).argmax(1)
    assert len(labels.unique()) > 1
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(-100, 100, (shifts, 2), generator=generator).tolist()
    return all(
        torch.equal(predict(x.roll(shift, (2, 3))).argmax(1), labels.roll(shift, (1, 2)))
        for shift in drawn
    )
