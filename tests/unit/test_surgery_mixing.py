"""Where frequencies are mixed: in residual units after a filtered step, and nowhere else."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from dealias.surgery import find_downsampling, find_mixing

X = torch.randn(1, 8, 16, 24)
DOWN = nn.Conv2d(8, 16, 3, stride=2, padding=1)


class Residual(nn.Module):
    def __init__(self, *branch: nn.Module):
        super().__init__()
        self.branch = nn.Sequential(*branch)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


def conv(size: int, **options) -> nn.Conv2d:
    return nn.Conv2d(16, 16, size, padding=size // 2, **options)


@pytest.mark.parametrize(
    ("branch", "expected"),
    [
        ([conv(1), conv(3), conv(1)], "1.branch.1"),
        ([conv(3), conv(3)], "1.branch.1"),
        ([conv(7, groups=16), conv(1)], "1.branch.0"),
        ([conv(1), conv(1)], None),
    ],
)
def test_the_last_spatial_convolution_of_a_residual_unit(branch, expected):
    plan = find_mixing(nn.Sequential(DOWN, Residual(*branch)), X)
    assert plan.names == ((expected,) if expected else ())
    for site in plan:
        assert (site.unit, site.after, site.channels, site.size) == ("1", "0", 16, (8, 12))
        assert site.cutoff == find_downsampling(DOWN, X)[0].nyquist


def test_only_after_a_filtered_step():
    wide = nn.Conv2d(8, 128, 3, stride=2, padding=1)  # of Nyquist frequency 0.5
    unit = Residual(nn.Conv2d(128, 128, 3, padding=1))
    assert find_mixing(nn.Sequential(wide, unit), X).names == ()
    assert find_mixing(nn.Sequential(unit), X.repeat(1, 16, 1, 1)).names == ()


def test_no_convolution_without_a_shortcut():
    assert find_mixing(nn.Sequential(DOWN, conv(3), conv(3)), X).names == ()


def test_fusing_scales_makes_no_residual_unit():
    class Fuse(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = conv(3)
            self.down = conv(3, stride=2)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.conv(F.interpolate(self.down(x), scale_factor=2.0))

    assert find_mixing(nn.Sequential(DOWN, Fuse()), X).names == ()


def test_a_skip_of_two_arguments_makes_no_residual_unit():
    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = conv(3)

        def forward(self, x: Tensor, skip: Tensor) -> Tensor:
            return self.conv(x) + skip

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.down = DOWN
            self.decoder = Decoder()

        def forward(self, x: Tensor) -> Tensor:
            x = self.down(x)
            return self.decoder(x, x)

    assert find_mixing(Net(), X).names == ()


@pytest.mark.parametrize(("depth", "blocks"), [(50, (4, 6, 3)), (18, (2, 2, 2))])
def test_a_resnet_has_the_published_sites(depth, blocks):
    models = pytest.importorskip("torchvision").models
    net = getattr(models, f"resnet{depth}")(weights=None)
    image = torch.randn(1, 3, 64, 64)
    plan = find_downsampling(net, image, place="before")
    assert plan.names == ("conv1", "maxpool", "layer2.0", "layer3.0", "layer4.0")
    filtered = [site for site in plan if not site.reason]
    assert [site.name for site in filtered] == ["layer2.0", "layer3.0", "layer4.0"]
    assert [round(site.nyquist, 3) for site in filtered] == [0.354] * 3
    counts = zip((2, 3, 4), blocks, strict=True)
    expected = [f"layer{i}.{j}.conv2" for i, count in counts for j in range(count)]
    mixing = find_mixing(net, image, place="before")
    assert list(mixing.names) == expected
    assert {site.cutoff for site in mixing} == {plan["layer2.0"].nyquist}
