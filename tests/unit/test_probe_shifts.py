"""Where a network's output depends on the sampling grid."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from dealias.probe import (
    LoadedNetwork,
    map_shifts,
    measure_aliasing,
    measure_shifts,
    output_scores,
    translate,
)


@pytest.fixture
def images(tmp_path):
    random = np.random.default_rng(0)
    for name in "ab":
        coarse = random.integers(0, 255, (12, 16, 3), np.uint8)
        Image.fromarray(coarse).resize((192, 160), Image.Resampling.BICUBIC).save(
            tmp_path / f"{name}.png"
        )
    return sorted(tmp_path.glob("*.png"))


def circular(*channels, stride=1, size=3):
    return nn.Conv2d(*channels, size, stride, size // 2, padding_mode="circular")


class Stages(nn.Module):
    """Two steps to half the size, then scores of each pixel."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Sequential(circular(3, 8), nn.ReLU())
        self.down = circular(8, 8, stride=2)
        self.down_again = circular(8, 4, stride=2)
        self.up = nn.Upsample(scale_factor=4)  # nearest, which knows no border

    def forward(self, x):
        return {"out": self.up(self.down_again(self.down(self.first(x)).relu()))}


def test_the_dependence_enters_where_maps_are_sampled(images):
    network = LoadedNetwork(Stages().eval())
    plan, _ = measure_aliasing(network, images)
    found = measure_shifts(network, images, plan, circular=True, offsets=[(0, 1), (1, 0)])
    errors = found.equivariance
    assert list(errors) == ["down", "down_again"]
    assert errors["down"] < 1e-9  # stride 1 and circular padding up to there
    assert errors["down_again"] > 1e-4
    assert found.to_dict()["agreement"] < 1


def test_multiples_of_the_stride_change_nothing(images):
    network = LoadedNetwork(Stages().eval())
    plan, _ = measure_aliasing(network, images)
    found = measure_shifts(network, images, plan, circular=True, offsets=[(4, -8), (16, 4)])
    assert max(found.equivariance.values()) < 1e-9
    result = found.to_dict()
    assert result["agreement"] == 1
    assert result["offsets"] == [[4, -8], [16, 4]]
    assert sum(row["compared"] for row in result["classes"]) == 2 * 2 * 160 * 192


class ZeroPadded(nn.Module):
    """Like most networks: maps are padded with zeros, and sampled to a quarter in two steps."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), nn.ReLU())
        self.down = nn.Conv2d(8, 8, 3, 2, 1)
        self.down_again = nn.Conv2d(8, 4, 3, 2, 1)

    def forward(self, x):
        return self.down_again(self.down(self.first(x)).relu())


def test_padding_is_not_taken_for_sampling(images):
    network = LoadedNetwork(ZeroPadded().eval())
    plan, _ = measure_aliasing(network, images)
    odd, even = (
        measure_shifts(network, images, plan, offsets=[offset]).equivariance
        for offset in ((3, 5), (4, 2))
    )
    assert odd["down"] < 1e-9  # nothing has been sampled up to there
    assert even["down"] < 1e-9
    assert odd["down_again"] > 20 * even["down_again"]
    assert odd["down_again"] > 1e-4


def test_the_same_for_the_same_seed_whatever_the_order(images):
    network = LoadedNetwork(Stages().eval())
    plan, _ = measure_aliasing(network, images)
    one, other, third = (
        measure_shifts(network, paths, plan, shifts=2, largest=8, seed=seed)
        for paths, seed in ((images, 0), (images[::-1], 0), (images, 1))
    )
    assert torch.equal(one.counts, other.counts)
    assert not torch.equal(one.counts, third.counts)


def test_as_many_passes_as_shifts_and_one():
    calls = []

    def predict(view):
        calls.append(tuple(view.shape))
        return view[0].long()

    found = map_shifts(predict, torch.zeros(3, 100, 120), [(1, 2), (-3, 4), (0, 0)])
    assert calls == [(3, 94, 112)] * 4
    assert found.place == (3, 4)
    assert found.agreements == (1, 1, 1)
    assert not found.changed.any()
    unstable = found.unstable
    assert (unstable.isnan() == (found.compared == 0)).all()
    assert unstable[30:60, 30:60].eq(0).all()


def test_a_network_that_names_whole_images():
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5)).eval()

    def predict(view):
        return output_scores(network(view[None]), view.shape[-2:]).argmax(0)

    found = map_shifts(predict, torch.rand(3, 100, 120), [(1, 0), (5, 5)])
    assert found.preds.shape == (1, 1)
    assert found.compared.tolist() == [[2]]


@pytest.mark.parametrize("distance", [(0, 0), (3, -2), (-7, 11)])
@pytest.mark.parametrize("size", [(8, 10), (9, 7)])
def test_whole_distances_roll(distance, size):
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    rolled = torch.roll(x, distance, (-2, -1))
    torch.testing.assert_close(translate(x, distance), rolled)


def test_half_a_pixel_twice_is_one_pixel():
    x = torch.randn(9, 11, dtype=torch.float64)  # odd: no frequency at the Nyquist rate
    torch.testing.assert_close(translate(translate(x, (0.5, 0)), (0.5, 0)), torch.roll(x, 1, 0))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda scores: scores,
        lambda scores: {"out": scores, "aux": None},
        lambda scores: {"logits": scores},
        lambda scores: SimpleNamespace(logits=scores),
    ],
)
def test_outputs_that_are_scores(wrap):
    scores = torch.randn(1, 3, 8, 8)
    assert torch.equal(output_scores(wrap(scores), (8, 8)), scores[0])
    assert output_scores(wrap(scores), (16, 32)).shape == (3, 16, 32)
    assert output_scores(wrap(scores[:, :, 0, 0]), (16, 32)).shape == (3, 1, 1)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (torch.zeros(1, 3, 8), r"class scores of shape .* got shape \[1, 3, 8\]"),
        (torch.zeros(2, 3, 8, 8), "got shape"),
        (torch.zeros(1, 1, 8, 8), "two classes or more"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.int64), "got shape"),
        ([torch.zeros(1, 3, 8, 8)], "got list"),
        ({"boxes": 1}, "got dict"),
        (torch.full((1, 3, 8, 8), float("nan")), "got NaN"),
    ],
)
def test_outputs_that_are_no_scores(output, message):
    with pytest.raises(ValueError, match=message):
        output_scores(output, (8, 8))


def test_an_image_that_is_too_small(images):
    network = LoadedNetwork(Stages().eval())
    plan, _ = measure_aliasing(network, images)
    with pytest.raises(ValueError, match=r"a\.png: offsets: expected an image of at least"):
        measure_shifts(network, images, plan, largest=80, offsets=[(80, 80)])
    with pytest.raises(ValueError, match="count: expected an integer of at least 1, got 0"):
        measure_shifts(network, images, plan, shifts=0)
    with pytest.raises(ValueError, match="paths: expected at least one image"):
        measure_shifts(network, [], plan)
