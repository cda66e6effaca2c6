"""Samples that each image chooses: which, how they come back, gradients and what is refused."""

import pytest
import torch
from torch.nn import functional

from dealias.layers import PolyphaseShift, collect_offsets, polyphase_upsample


def generated(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make(stride=(2, 2), sampling="adaptive", channels=3, **options):
    torch.manual_seed(0)
    return PolyphaseShift(stride, sampling, channels=channels, **options).double().eval()


def phase_by_hand(x, stride):
    """The phase of the largest norm of one map [C, H, W]."""
    norms = {
        (p, q): x[:, p :: stride[0], q :: stride[1]].square().sum().item()
        for p in range(stride[0])
        for q in range(stride[1])
    }
    return max(norms, key=norms.get)


@pytest.mark.parametrize("stride", [(2, 2), (1, 3), (4, 4)])
def test_the_phase_with_the_largest_norm_by_hand(stride):
    x = generated(8, 3, 12, 24)
    moved = make(stride)(x)
    chosen = [phase_by_hand(image, stride) for image in x]
    assert len(set(chosen)) > 1
    for image, result, (p, q) in zip(x, moved, chosen, strict=True):
        assert torch.equal(result, image.roll((-p, -q), (1, 2)))


@pytest.mark.parametrize("sampling", ["adaptive", "learned"])
@pytest.mark.parametrize("stride", [(2, 2), (2, 1), (4, 4)])
def test_a_shifted_map_gives_the_same_samples_shifted(sampling, stride):
    shift, x = make(stride, sampling), generated(4, 3, 16, 24)

    def step(x):
        with collect_offsets() as offsets:
            samples = shift(x)[..., :: stride[0], :: stride[1]]
        return samples, offsets.at()

    with torch.no_grad():
        samples, places = step(x)
        for dy, dx in ((1, 0), (0, 1), (3, 5), (-2, 7)):
            moved, own = step(x.roll((dy, dx), (2, 3)))
            for i in range(4):
                down, right = (places[i] + torch.tensor([dy, dx]) - own[i]).tolist()
                whole = down // stride[0], right // stride[1]
                assert (down % stride[0], right % stride[1]) == (0, 0)
                assert torch.equal(moved[i], samples[i].roll(whole, (1, 2)))


def test_of_phases_with_equal_norms_the_first_is_chosen():
    x = torch.zeros(1, 1, 6, 6)
    x[..., 1, 2] = x[..., 4, 3] = 1  # phases (1, 0) and (0, 1)
    assert torch.equal(make(channels=1)(x), x.roll((0, -1), (2, 3)))
    constant = torch.full((1, 1, 6, 6), 0.3)
    with collect_offsets() as offsets:
        make(channels=1)(constant)
    assert offsets.at().tolist() == [[0, 0]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_large_values_do_not_overflow(dtype):
    x = torch.full((1, 1, 4, 4), 300.0, dtype=dtype)
    x[..., 1::2, 1::2] = 400
    moved = PolyphaseShift((2, 2))(x)
    assert moved.dtype == dtype
    assert torch.equal(moved, x.roll((-1, -1), (2, 3)))


def test_an_odd_map_is_judged_by_means_and_keeps_its_size():
    x = torch.ones(1, 1, 5, 7)
    x[..., 1::2, 1::2] = 1.1  # 6 samples, of 12 in the first phase
    moved = PolyphaseShift((2, 2))(x)
    assert torch.equal(moved, x.roll((-1, -1), (2, 3)))


@pytest.mark.parametrize("sampling", ["adaptive", "learned"])
def test_gradients_reach_the_map_and_the_chooser_in_training(sampling):
    shift = make(sampling=sampling).train()
    x = generated(2, 3, 8, 8).requires_grad_()
    moved = shift(x)
    (moved[..., ::2, ::2] - 1).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in shift.parameters())
    # Where the map does not make the scores, only the samples that were taken count.
    assert (x.grad != 0).sum() == (96 if sampling == "adaptive" else 384)
    for image, result in zip(x.detach(), moved.detach(), strict=True):
        rolled = [image.roll((-p, -q), (1, 2)) for p in (0, 1) for q in (0, 1)]
        assert any(torch.equal(result, r) for r in rolled)


def test_the_gradient_is_that_of_the_softmax_of_the_scores(monkeypatch):
    shift, x = make(sampling="learned").train(), generated(2, 3, 8, 8)
    monkeypatch.setattr(functional, "gumbel_softmax", lambda scores: scores.softmax(1))
    target = generated(2, 3, 8, 8, seed=1)
    (shift(x) * target).sum().backward()
    weights = shift.scores(x).softmax(1)
    rolled = torch.stack([x.roll((-p, -q), (2, 3)) for p in (0, 1) for q in (0, 1)], 1)
    soft = ((weights[:, :, None, None, None] * rolled).sum(1) * target).sum()
    expected = torch.autograd.grad(soft, list(shift.parameters()))
    for parameter, gradient in zip(shift.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_training_draws_and_evaluation_does_not():
    shift, x = make(sampling="learned"), generated(1, 3, 8, 8).expand(64, -1, -1, -1)

    def different():
        with torch.no_grad():
            return shift(x).unique(dim=0).shape[0]

    assert different() == 1
    shift.train()
    assert different() == 4


def test_the_chooser_learns_to_take_one_phase():
    """The loss is small only for samples of the phase that a faint mark is in."""
    shift = make(sampling="learned", channels=1).train()
    optimizer = torch.optim.Adam(shift.parameters(), 0.02)
    generator = torch.Generator().manual_seed(0)

    def marked():
        x = torch.randn(16, 1, 8, 8, generator=generator).double()
        for image in x:
            p, q = torch.randint(2, (2,), generator=generator).tolist()
            image[:, p::2, q::2] = image[:, p::2, q::2].abs() * 0.5
        return x

    for _ in range(150):
        loss = shift(marked())[..., ::2, ::2].clamp(max=0).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        taken = shift.eval()(marked())[..., ::2, ::2]
    assert (taken.flatten(1).min(1).values >= 0).double().mean() > 0.9


@pytest.mark.parametrize("factor", [1, 2, 8])
def test_upsampling_is_interpolation_inside_moved_by_the_offset(factor):
    x = generated(2, 3, 5, 6)
    size = (5 * factor, 6 * factor)
    plain = functional.interpolate(x, size=size, mode="bilinear", align_corners=False)
    offset = torch.tensor([[0, 0], [factor - 1, factor // 2]])
    for image, expected, place in zip(
        polyphase_upsample(x, size, factor, offset), plain, offset, strict=True
    ):
        back = image.roll((-place).tolist(), (1, 2))
        inner = slice(factor, -factor)
        torch.testing.assert_close(back[:, inner, inner], expected[:, inner, inner])


def test_upsampling_is_circular_by_a_slow_oracle():
    x, factor, offset = generated(1, 1, 3, 4), 4, (5, 2)
    out = polyphase_upsample(x, (12, 16), factor, torch.tensor([offset]))
    for i in range(12):
        for j in range(16):
            expected = 0.0
            for axis_i in range(-4, 8):
                for axis_j in range(-4, 8):
                    distance = (
                        abs((i - offset[0] + 0.5) / factor - 0.5 - axis_i),
                        abs((j - offset[1] + 0.5) / factor - 0.5 - axis_j),
                    )
                    weight = max(0.0, 1 - distance[0]) * max(0.0, 1 - distance[1])
                    expected += weight * x[0, 0, axis_i % 3, axis_j % 4].item()
            assert out[0, 0, i, j].item() == pytest.approx(expected)


@pytest.mark.parametrize("size", [(7, 9), (10, 13)])
def test_upsampling_to_less_or_more_than_the_samples_cover(size):
    x = generated(1, 2, 4, 5)
    whole = polyphase_upsample(x, (8, 10), 2, torch.tensor([[1, 1]]))
    other = polyphase_upsample(x, size, 2, torch.tensor([[1, 1]]))
    assert other.shape[-2:] == size
    rows, columns = torch.arange(size[0]) % 8, torch.arange(size[1]) % 10
    assert torch.equal(other, whole[:, :, rows][..., columns])


def test_collected_offsets_add_up_in_pixels_and_reach_those_around():
    first, second = make(channels=1, spacing=(1, 1)), make(channels=1, spacing=(2, 2))
    x = torch.zeros(1, 1, 8, 8)
    x[..., 3, 4] = 1
    with collect_offsets() as outer:
        with collect_offsets() as inner:
            second(first(x)[..., ::2, ::2])
        assert inner
    assert not collect_offsets().__enter__()
    for offsets in (outer, inner):
        assert offsets.at(2).tolist() == [[1, 0]]
        assert offsets.at(4).tolist() == offsets.at().tolist() == [[3, 0]]
        assert offsets.at(1).tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: PolyphaseShift((2, 2), "regular"),
            "sampling: expected one of adaptive, learned, got 'regular'",
        ),
        (lambda: PolyphaseShift((0, 2)), r"stride: expected two positive integers, got \(0, 2\)"),
        (lambda: PolyphaseShift(2), "stride: expected two positive integers, got 2"),
        (lambda: PolyphaseShift((2, 2), spacing=(1.0, 1)), "spacing: expected two positive"),
        (lambda: PolyphaseShift((2, 2), "learned"), "channels: expected a positive integer"),
        (
            lambda: PolyphaseShift((2, 2))(torch.zeros(3, 4, 4)),
            r"x: expected \[B, C, H, W\], got \(3, 4, 4\)",
        ),
        (
            lambda: PolyphaseShift((2, 2))(torch.zeros(1, 3, 1, 4)),
            "x: expected a map of at least 2 x 2",
        ),
        (
            lambda: PolyphaseShift((2, 2))(torch.zeros(1, 3, 4, 4).long()),
            "x: expected real floating",
        ),
        (
            lambda: polyphase_upsample(torch.zeros(3, 4, 4), (8, 8), 2, torch.zeros(1, 2).long()),
            "x: expected",
        ),
        (
            lambda: polyphase_upsample(
                torch.zeros(1, 1, 4, 4), (8, 8), 0, torch.zeros(1, 2).long()
            ),
            "factor: expected",
        ),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
