import pytest

from dealias.spectral import equivalent_sampling_rate, nyquist_frequency


@pytest.mark.parametrize(
    ("arguments", "rate"),
    [
        ((3, 2, 256, 512), 2**0.5 / 2),  # a stage of a ResNet
        ((1, 2, 64, 256), 0.5),  # a kernel of one pixel sees one sample
        ((2, 2, 64, 64), 0.5),  # pooling adds no channels
        ((4, 4, 3, 96), 1.0),  # a patch embedding sees 4 pixels of every 4
        ((2, 2, 96, 384), 1.0),  # nothing is lost
        ((3, 2, 64, 16), 0.25),  # fewer channels than came
    ],
)
def test_rate_by_hand(arguments: tuple[int, int, int, int], rate: float) -> None:
    assert equivalent_sampling_rate(*arguments) == pytest.approx(rate)
    assert nyquist_frequency(*arguments) == pytest.approx(min(max(rate, 0.5) / 2, 0.5))


def test_nyquist_never_exceeds_half_a_cycle() -> None:
    assert equivalent_sampling_rate(7, 1, 1, 64) == 7
    assert nyquist_frequency(7, 1, 1, 64) == 0.5


def test_axes_that_differ_give_a_pair() -> None:
    assert equivalent_sampling_rate((3, 1), 2, 1, 4) == (1.0, 0.5)
    assert nyquist_frequency(2, (2, 1), 8, 8) == (0.25, 0.5)
    assert nyquist_frequency((2, 2), 2, 8, 8) == (0.25, 0.25)


def test_a_list_is_a_pair() -> None:
    assert equivalent_sampling_rate([3, 5], 2, 64, 6400) == (1.5, 2.5)
    assert nyquist_frequency(3, [2, 4], 64, 64) == (0.25, 0.125)


def test_the_stride_of_an_interpolation_is_a_ratio() -> None:
    assert equivalent_sampling_rate(2, 2.5, 8, 8) == 0.4
    assert nyquist_frequency(2, (2.5, 0.8), 8, 8) == (0.2, 0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 2, 8, 8), "kernel_size: expected a positive integer, got 0"),
        ((3, (2, -1), 8, 8), "stride: expected a positive number, got -1"),
        ((3, float("nan"), 8, 8), "stride: expected a positive number, got nan"),
        ((3, True, 8, 8), "stride: expected a positive number, got True"),
        ((1.5, 2, 8, 8), "kernel_size: expected a positive integer, got 1.5"),
        (((3, 3, 3), 2, 8, 8), r"kernel_size: expected one number or \(row, column\)"),
        ((3, 2, 0, 8), "in_channels: expected a positive integer, got 0"),
        ((3, 2, 8, 1.5), "out_channels: expected a positive integer, got 1.5"),
    ],
)
def test_bad_arguments(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nyquist_frequency(*arguments)
