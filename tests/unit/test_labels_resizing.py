import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dealias.labels import resize_nearest

SIDE = st.integers(1, 9)


def slow_resize(labels, size):
    """Pixel by pixel: which old pixel holds the centre of the new one."""
    found = np.zeros(size, labels.dtype)
    for new in np.ndindex(*size):
        centre = [(i + 0.5) * old / n for i, old, n in zip(new, labels.shape, size, strict=True)]
        found[new] = labels[int(centre[0] + 1e-9), int(centre[1] + 1e-9)]
    return found


@given(SIDE, SIDE, SIDE, SIDE)
def test_each_pixel_has_the_label_at_its_centre(height, width, new_height, new_width):
    labels = np.arange(height * width, dtype=np.uint8).reshape(height, width)
    found = resize_nearest(labels, (new_height, new_width))
    assert found.dtype == np.uint8
    assert np.array_equal(found, slow_resize(labels, (new_height, new_width)))


@given(SIDE, SIDE, st.integers(1, 4))
def test_an_enlarged_map_comes_back(height, width, times):
    labels = np.random.default_rng(height).integers(0, 9, (height, width))
    large = resize_nearest(labels, (height * times, width * times))
    assert np.array_equal(large, labels.repeat(times, 0).repeat(times, 1))
    assert np.array_equal(resize_nearest(large, labels.shape), labels)


def test_it_commutes_with_mirrors_where_no_centre_is_on_an_edge():
    labels = np.random.default_rng(0).integers(0, 9, (7, 5))
    for size in ((13, 11), (3, 3), (7, 5)):
        flipped = resize_nearest(labels[::-1, ::-1], size)
        assert np.array_equal(flipped[::-1, ::-1], resize_nearest(labels, size))


def test_a_size_for_each_axis():
    with pytest.raises(ValueError, match="zip"):
        resize_nearest(np.zeros((2, 2), int), (2, 2, 2))
