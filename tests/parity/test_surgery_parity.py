"""Filters after the activation agree with the antialiased networks of timm."""

import pytest
import torch

import dealias

timm = pytest.importorskip("timm")


def main_branch(block, maps):
    seen = []
    # Cloned, since the shortcut is added in place.
    block.bn2.register_forward_hook(lambda *args: seen.append(args[-1].clone()))
    with torch.no_grad():
        block(maps)
    return seen[0]


def test_the_main_branch_of_an_antialiased_resnet():
    """Its blocks blur and subsample after the activation; its shortcuts average instead."""
    antialiased = timm.create_model("resnet18", aa_layer=timm.layers.BlurPool2d).eval()
    plain = timm.create_model("resnet18").eval()
    x = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    mended, _ = dealias.dealias(
        plain, x, filter="blur", mixing=False, place="after", filter_options={"size": 3}
    )
    for stage in (2, 3, 4):
        ours, theirs = (net.get_submodule(f"layer{stage}.0") for net in (mended, antialiased))
        state = {k: v for k, v in theirs.state_dict().items() if "aa" not in k.split(".")}
        ours.load_state_dict(state)
        maps = torch.randn(2, ours.conv1.in_channels, 18, 26)
        torch.testing.assert_close(main_branch(ours, maps), main_branch(theirs, maps))
