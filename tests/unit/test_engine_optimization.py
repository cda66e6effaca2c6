"""Rates of learning, and which weights get which."""

import pytest
import torch
from torch import nn

from dealias.engine import Optimization, parameter_groups
from dealias.models import create_model

SEGFORMER = {
    "hidden_sizes": [8, 16, 24, 32],
    "num_attention_heads": [1, 1, 1, 1],
    "depths": [1, 1, 1, 1],
    "decoder_hidden_size": 16,
}


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1),
            nn.BatchNorm2d(16),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.Conv2d(32, 32, 3, padding=1),
        )
        self.head = nn.Conv2d(32, 4, 1)


def test_rates_follow_the_polynomial_to_its_floor():
    options = Optimization(lr=0.01, lr_floor=1e-4, power=0.9)
    assert options.rate(0, 100) == pytest.approx(0.01)
    assert options.rate(50, 100) == pytest.approx(1e-4 + 0.0099 * 0.5**0.9)
    assert options.rate(100, 100) == pytest.approx(1e-4)
    assert options.rate(120, 100) == pytest.approx(1e-4)


def test_warm_up_grows_linearly_and_joins_the_polynomial():
    options = Optimization(lr=1.0, lr_floor=0.0, power=1.0, warmup_steps=4)
    factors = [options.rate(step, 10**9) for step in range(6)]
    assert factors == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0], abs=1e-6)


def test_each_part_has_its_rate_and_every_weight_is_in_one_group():
    made = {
        "backbone": "test_resnet",
        "channels": 8,
        "aux_head": False,
        "dealias": {"mixing": True},
    }
    network = create_model("upernet", num_classes=4, **made)
    options = Optimization(lr=0.1, lr_floor=0, head_multiplier=3, mixing_multiplier=5)
    groups = {group["name"]: group for group in parameter_groups(network, options)}
    rates = {name: group["lr"] for name, group in groups.items()}
    assert rates == pytest.approx({"backbone": 0.1, "mixing": 0.5, "head": 0.3})
    grouped = [id(p) for group in groups.values() for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in network.parameters())
    names = {id(p): name for name, p in network.named_parameters()}
    assert all("frequency_mixing" in names[id(p)] for p in groups["mixing"]["params"])


def test_biases_and_norms_can_be_left_from_decay():
    options = Optimization(kind="adamw", weight_decay=0.05, decay_norms=False)
    groups = {group["name"]: group for group in parameter_groups(Network(), options)}
    decays = {name: group["weight_decay"] for name, group in groups.items()}
    assert decays == {
        "backbone": 0.05,
        "backbone (no decay)": 0,
        "head": 0.05,
        "head (no decay)": 0,
    }
    assert all(p.ndim == 1 for p in groups["backbone (no decay)"]["params"])
    assert isinstance(options.optimizer(Network()), torch.optim.AdamW)


@pytest.mark.parametrize("place", ["before", "after"])
def test_learned_strengths_never_decay(place):
    dealias = {"place": place, "strength": "learned"}
    made = {"backbone": "test_resnet", "channels": 8, "aux_head": False, "dealias": dealias}
    network = create_model("upernet", num_classes=4, **made)
    options = Optimization(lr=0.1, lr_floor=0, weight_decay=0.05, decay_norms=True)
    groups = {group["name"]: group for group in parameter_groups(network, options)}
    names = {id(p): name for name, p in network.named_parameters()}
    still = groups["backbone (no decay)"]
    assert (still["weight_decay"], still["lr"]) == (0, 0.1)
    strengths = {names[id(p)] for p in still["params"]}
    assert strengths == {name for name in names.values() if name.endswith(".strength")}
    assert len(strengths) == len(
        [item for item in network.dealias_report.inserted if item.kind == "daf"]
    )


def test_frozen_weights_are_not_learnt():
    network = Network()
    network.backbone.requires_grad_(False)
    assert [group["name"] for group in parameter_groups(network, Optimization())] == ["head"]


def test_the_schedule_sets_the_rate_of_every_group():
    options = Optimization(lr=0.1, lr_floor=0.01, power=1.0, warmup_steps=2)
    optimizer = options.optimizer(Network())
    schedule = options.schedule(optimizer, 10)
    for step in range(10):
        found = {group["name"]: group["lr"] for group in optimizer.param_groups}
        expected = {"backbone": options.rate(step, 10), "head": options.rate(step, 10, 0.2)}
        assert found == pytest.approx(expected)
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "lamb"}, "kind: expected sgd or adamw"),
        ({"lr": 0}, "lr: expected a rate over 0"),
        ({"lr": 0.1, "lr_floor": 0.2}, "lr_floor: expected 0..0.1"),
        ({"mixing_multiplier": 0.0, "lr_floor": 0}, "mixing_multiplier: expected a factor over 0"),
        ({"warmup_steps": -1}, "warmup_steps: expected 0 or more"),
    ],
)
def test_values_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Optimization(**options)


def test_drops_take_the_place_of_the_polynomial():
    options = Optimization(lr=1.0, lr_floor=0.0, drops=(0.75, 0.9167), head_multiplier=1)
    rates = [options.rate(step, 12) for step in range(12)]
    assert rates == pytest.approx([1.0] * 9 + [0.1] * 2 + [0.01])


@pytest.mark.parametrize("drops", [(0.0,), (1.0,), (0.5, 0.5), (0.9, 0.5)])
def test_drops_rise_inside_of_training(drops):
    with pytest.raises(ValueError, match="drops: expected shares rising"):
        Optimization(drops=drops)


def test_backbones_of_transformers_have_their_rate_too():
    pytest.importorskip("transformers")
    network = create_model("hf:segformer", num_classes=3, options=SEGFORMER)
    options = Optimization(lr=0.1, lr_floor=0, head_multiplier=3)
    groups = {group["name"]: group for group in parameter_groups(network, options)}
    assert {name: group["lr"] for name, group in groups.items()} == pytest.approx(
        {"backbone": 0.1, "head": 0.3}
    )
    backbone = {id(p) for p in network.backbone.parameters()}
    assert {id(p) for p in groups["backbone"]["params"]} == backbone
