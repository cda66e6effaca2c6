import math

import pytest
import torch
from torch import Tensor

from dealias.spectral import check_responses, choose_backend, lowpass, lowpass_matrix


def grating(height: int, width: int, row: int, column: int) -> Tensor:
    """A wave of so many periods along each axis."""
    y = torch.arange(height, dtype=torch.float64)[:, None] / height
    x = torch.arange(width, dtype=torch.float64) / width
    return torch.cos(2 * math.pi * (row * y + column * x) + 0.3)


def masked_transform(x: Tensor, rows: float, columns: float) -> Tensor:
    """The filter as the paper states it, in complex numbers."""
    u = torch.fft.fftfreq(x.shape[-2], dtype=torch.float64).abs() <= rows
    v = torch.fft.fftfreq(x.shape[-1], dtype=torch.float64).abs() <= columns
    return torch.fft.ifft2(torch.fft.fft2(x) * (u[:, None] & v)).real


@pytest.mark.parametrize("backend", ["matmul", "fft"])
@pytest.mark.parametrize(
    "shape", [(1, 1), (9, 1), (8, 12), (3, 7, 10), (2, 3, 5, 6), (2, 1, 2, 4, 9)]
)
def test_equals_the_masked_transform(shape: tuple[int, ...], backend: str) -> None:
    x = torch.randn(shape, dtype=torch.float64)
    actual = lowpass(x, (0.35, 0.2), backend=backend)
    torch.testing.assert_close(actual, masked_transform(x, 0.35, 0.2))


@pytest.mark.parametrize("backend", ["matmul", "fft"])
def test_gratings_on_both_sides_of_the_cutoff(backend: str) -> None:
    kept, row_above, column_above = (
        grating(16, 20, 4, 4),
        grating(16, 20, 5, 0),
        grating(16, 20, 0, 5),
    )
    y = lowpass(kept + row_above + column_above, (0.25, 0.2), backend=backend)
    torch.testing.assert_close(y, kept)


def test_two_matrices() -> None:
    x = torch.randn(6, 9, dtype=torch.float64)
    rows = lowpass_matrix(6, 0.3, transfer="butterworth", border="reflect", dtype=torch.float64)
    columns = lowpass_matrix(9, 0.2, transfer="butterworth", border="reflect", dtype=torch.float64)
    actual = lowpass(x, (0.3, 0.2), transfer="butterworth", border="reflect")
    torch.testing.assert_close(actual, rows @ x @ columns.T)


@pytest.mark.parametrize("backend", ["matmul", "fft"])
def test_an_axis_that_keeps_all_costs_nothing(backend: str) -> None:
    x = torch.randn(2, 3, 8, 8)
    assert lowpass(x, 0.5, backend=backend) is x
    torch.testing.assert_close(lowpass(x, (0.5, 0.2), backend=backend), x @ lowpass_matrix(8, 0.2))


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-14), (torch.float32, 1e-6), (torch.bfloat16, 0.03), (torch.float16, 4e-3)],
)
@pytest.mark.parametrize("backend", ["matmul", "fft"])
def test_dtypes(dtype: torch.dtype, tolerance: float, backend: str, device: torch.device) -> None:
    x = torch.rand(2, 4, 11, 16, dtype=torch.float64, device=device)
    y = lowpass(x.to(dtype), 0.3, backend=backend)
    assert y.dtype == dtype
    assert (y.double() - lowpass(x, 0.3)).abs().max() < tolerance


@pytest.mark.parametrize("backend", ["matmul", "fft"])
@pytest.mark.parametrize("band_edge", ["symmetric", "official"])
def test_memory_format_is_kept(backend: str, band_edge: str) -> None:
    x = torch.randn(2, 3, 8, 10)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        given = x.contiguous(memory_format=memory_format)
        y = lowpass(given, 0.3, backend=backend, band_edge=band_edge)
        assert y.stride() == given.stride()
        torch.testing.assert_close(y, lowpass(x, 0.3, band_edge=band_edge))
    unbatched = x.contiguous(memory_format=torch.channels_last)[0]
    assert lowpass(unbatched, 0.3).stride() == unbatched.stride()


def test_channels_last_is_not_copied() -> None:
    x = torch.randn(2, 3, 8, 10).contiguous(memory_format=torch.channels_last)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        lowpass(x, 0.3, backend="matmul")
    names = {event.key for event in profile.key_averages()}
    assert "aten::bmm" in names
    assert not names & {"aten::clone", "aten::copy_", "aten::contiguous", "aten::_to_copy"}


@pytest.mark.parametrize("border", ["wrap", "reflect"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_large_maps_are_filtered_in_slabs(
    border: str, dtype: torch.dtype, layout: torch.memory_format
) -> None:
    x = torch.randn(2, 17, 256, 250).contiguous(memory_format=layout)
    assert x.numel() > 2**21
    given = x.to(dtype)
    y = lowpass(given, (0.35, 0.26), border=border)
    assert torch.equal(y, lowpass(given, (0.35, 0.26), border=border, backend="slabs"))
    assert y.stride() == x.stride()
    assert torch.equal(given, x.to(dtype))
    by_matmul = lowpass(given, (0.35, 0.26), border=border, backend="matmul")
    tolerance = 1e-5 if dtype == torch.float32 else 0.1
    torch.testing.assert_close(y, by_matmul, atol=tolerance, rtol=0)
    watched = lowpass(given.requires_grad_(), (0.35, 0.26), border=border)
    assert torch.equal(watched, by_matmul)


@pytest.mark.parametrize(
    ("x", "cutoff", "chosen"),
    [
        (torch.empty(1, 64, 128, 256), 0.35, "slabs"),
        (torch.empty(64, 128, 256), 0.35, "slabs"),
        (torch.empty(1, 64, 128, 256), 0.2, "matmul"),  # removes much
        (torch.empty(1, 64, 128, 256, requires_grad=True), 0.35, "matmul"),
        (torch.empty(1, 64, 128, 256).mT, 0.35, "matmul"),
        (torch.empty(1, 64, 128, 256, device="meta"), 0.35, "matmul"),
        (torch.empty(1, 4, 32, 64), 0.35, "matmul"),
        (torch.empty(1, 1, 768, 769), 0.35, "fft"),
        (torch.empty(1, 2, 768, 768), 0.35, "slabs"),
    ],
)
def test_the_backend_that_auto_takes(x: Tensor, cutoff: float, chosen: str) -> None:
    responses = check_responses(cutoff)
    assert choose_backend(x, *responses) == chosen
    for backend in ("fft", "matmul"):
        assert choose_backend(x, *responses, backend) == backend


@pytest.mark.parametrize("cutoff", [0.31, (0.5, 0.2), 0.05])
def test_slabs_on_request_for_maps_of_any_size(cutoff: float) -> None:
    for x in (torch.randn(2, 3, 9, 12), torch.randn(9, 12), torch.empty(0, 3, 4, 4)):
        torch.testing.assert_close(
            lowpass(x, cutoff, backend="slabs"), lowpass(x, cutoff, backend="matmul")
        )


def test_slabs_are_refused_where_they_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(2, 3, 8, 10)
    needs = "backend='slabs' needs maps on a CPU"
    for unfit in (x.mT, x.clone().requires_grad_(), x.to("meta")):
        with pytest.raises(ValueError, match=needs):
            lowpass(unfit, 0.3, backend="slabs")
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    with pytest.raises(ValueError, match=needs):
        lowpass(x, 0.3, backend="slabs")


def test_any_strides_and_no_images() -> None:
    x = torch.randn(3, 10, 8, 2)
    torch.testing.assert_close(lowpass(x.mT, 0.3), lowpass(x.mT.contiguous(), 0.3))
    torch.testing.assert_close(lowpass(x[:, ::2], 0.3), lowpass(x[:, ::2].contiguous(), 0.3))
    assert lowpass(torch.empty(0, 3, 4, 4), 0.3).shape == (0, 3, 4, 4)


@pytest.mark.parametrize("backend", ["matmul", "fft"])
def test_autocast_leaves_the_dtype_alone(backend: str) -> None:
    x = torch.randn(2, 3, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        y = lowpass(x, 0.3, backend=backend)
    assert torch.equal(y, lowpass(x, 0.3, backend=backend))


@pytest.mark.parametrize(
    "options",
    [
        {"transfer": "ideal", "border": "reflect"},
        {"band_edge": "official", "backend": "matmul"},
        {"band_edge": "official", "backend": "fft"},
        {"transfer": "raised_cosine", "rolloff": 0.3, "backend": "fft"},
        {"transfer": "hamming", "border": "reflect"},
    ],
)
def test_gradient(options: dict) -> None:
    x = torch.randn(2, 5, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: lowpass(x, (0.2, 0.35), **options), x)


def test_matrices_made_in_inference_mode_serve_training() -> None:
    with torch.inference_mode():
        lowpass(torch.randn(17, 19), 0.31)
    x = torch.randn(17, 19, requires_grad=True)
    lowpass(x, 0.31).square().sum().backward()
    assert x.grad is not None


def test_function_transforms_leave_no_trace_in_the_cache() -> None:
    def energy(x: Tensor) -> Tensor:
        return lowpass(x, 0.29).square().sum() / 2

    x = torch.randn(3, 13, 14)
    gradients = torch.func.vmap(torch.func.grad(energy))(x)
    torch.testing.assert_close(gradients, lowpass(x, 0.29))  # an orthogonal projection


def test_meta_and_fake_tensors_leave_no_trace_in_the_cache() -> None:
    assert lowpass(torch.empty(2, 21, 23, device="meta"), 0.28).shape == (2, 21, 23)
    torch.export.export(Lowpass(), (torch.randn(2, 21, 23),))
    assert lowpass(torch.randn(2, 21, 23), 0.28).isfinite().all()


class Lowpass(torch.nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return lowpass(x, 0.28)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            torch.zeros(4, 4, dtype=torch.complex64),
            "real floating-point numbers, got torch.complex64",
        ),
        (torch.zeros(4, 4, dtype=torch.int64), "real floating-point numbers, got torch.int64"),
        (torch.zeros(4), r"got shape \(4,\)"),
        (torch.zeros(2, 0, 4), r"got shape \(2, 0, 4\)"),
        ([[1.0]], "x: expected a tensor, got list"),
    ],
)
def test_bad_maps(x: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lowpass(x, 0.25)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cutoff": 0.6}, r"cutoff: expected a number in \(0, 0.5\] cycles per pixel, got 0.6"),
        ({"cutoff": (0.25, -0.1)}, "got -0.1"),
        ({"cutoff": (0.25,)}, r"cutoff: expected one number or \(row, column\), got \(0.25,\)"),
        ({"backend": "dct"}, "backend: expected one of auto, fft, matmul, slabs, got 'dct'"),
        ({"border": "constant"}, "border: expected one of wrap, reflect"),
        ({"backend": "slabs", "transfer": "butterworth"}, "backend='slabs' needs transfer='ideal'"),
        ({"backend": "slabs", "transfer": "hamming"}, "backend='slabs' needs transfer='ideal'"),
        ({"backend": "slabs", "band_edge": "official"}, "and band_edge='symmetric'"),
    ],
)
def test_bad_arguments(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lowpass(torch.zeros(4, 4), **{"cutoff": 0.25, **options})
