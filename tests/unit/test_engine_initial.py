"""Weights of one network to start another from."""

import random

import numpy as np
import pytest
import torch
from pytorch_lightning import seed_everything
from torch import nn

from dealias.engine.initial import init_weights
from dealias.layers import PartialFilter, set_strength
from dealias.models import Network, create_model
from dealias.models.detectors import create_detector

NAMES = ("car", "bus", "sign")
SMALL = {"channels": 8, "box_channels": 8, "mask_channels": 8, "mask_convolutions": 1}


@pytest.fixture
def begin(tmp_path):
    """Start a network from another, of other classes or of the same; the names of what it took."""

    def start(source, network, create, names=("cat", "dog", "cow")):
        state = {f"network.{name}": value for name, value in source.state_dict().items()}
        parameters = {"network": source.config, "classes": {"names": list(names)}}
        path = tmp_path / "source.ckpt"
        torch.save({"state_dict": state, "hyper_parameters": parameters}, path)
        said = init_weights(network, path, NAMES, create)
        own, theirs = network.state_dict(), source.state_dict()
        return said, {k for k in own if k in theirs and torch.equal(own[k], theirs[k])}

    return start


class Enlarging(Network):
    """Its last layer has the classes in the second dimension."""

    def __init__(self, num_classes):
        super().__init__(num_classes=num_classes, mean=(0.0,) * 3, std=(1.0,) * 3)
        self.backbone = nn.Conv2d(3, 8, 3)
        self.head = nn.ConvTranspose2d(8, num_classes, 2, 2)


def test_a_head_of_other_classes_is_left_out_wherever_it_has_them(begin):
    said, taken = begin(Enlarging(3), Enlarging(3), Enlarging)
    assert "with random weights: head.weight, head.bias" in said
    assert taken == {"backbone.weight", "backbone.bias"}


def test_a_head_in_the_backbone_of_other_classes_is_left_out(begin):
    class Whole(Network):
        def __init__(self, num_classes):
            super().__init__(num_classes=num_classes, mean=(0.0,) * 3, std=(1.0,) * 3)
            self.backbone = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, num_classes, 1))
            self.register_buffer("scale", torch.ones(1))

    for source in (Whole(3), Whole(5)):
        said, taken = begin(source, Whole(3), Whole)
        assert "with random weights: backbone.1.weight" in said
        assert "backbone.1.bias" in said
        assert "backbone.0.weight" in taken


def test_heads_with_a_background_are_left_out_and_what_has_as_many_anchors_is_not(begin):
    source, network = (
        create_detector("mask_rcnn", num_classes=3, backbone="test_resnet", options=SMALL)
        for _ in range(2)
    )
    _, taken = begin(source, network, create_detector)
    left = {name for name in source.state_dict() if name not in taken}
    heads = ("roi_heads.box_predictor", "roi_heads.mask_predictor.mask_fcn_logits")
    assert left
    assert all(name.startswith(heads) for name in left), left
    assert "rpn.head.cls_logits.weight" in taken
    begin(source, network, create_detector, NAMES)
    assert all(
        torch.equal(a, b) for a, b in zip(source.parameters(), network.parameters(), strict=True)
    )


def test_building_another_leaves_random_numbers_as_they_were(begin):
    def drawn():
        return torch.rand(1).item(), np.random.rand(), random.random()

    def seed():
        seed_everything(3)
        return Enlarging(3), Enlarging(3)

    seed()
    expected = drawn()
    source, network = seed()
    begin(source, network, lambda num_classes: drawn() and Enlarging(num_classes))
    assert drawn() == expected


@pytest.mark.parametrize("dealias", [None, {"strength": 0.0}])
def test_filters_keep_the_strength_of_their_configuration(dealias, begin):
    """Those of a trained network, which a ramp raised to 1, and those that it had not."""
    small = {"backbone": "test_resnet", "channels": 8, "aux_head": False, "num_classes": 3}
    source = create_model("upernet", **small, dealias=dealias)
    set_strength(source, 1.0)
    network = create_model("upernet", **small, dealias={"strength": 0.5})
    said, _ = begin(source, network, create_model, NAMES)
    filters = [module for module in network.modules() if isinstance(module, PartialFilter)]
    assert filters
    assert {float(module.strength) for module in filters} == {0.5}
    assert "as inserted: " in said
    assert ".strength" in said
