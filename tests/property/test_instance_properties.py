import contextlib

import torch
from hypothesis import given
from hypothesis import strategies as st

from dealias.instance import MaskError, decode_masks, encode_masks, read_segmentation

SIZE = (6, 7)
NUMBERS = st.one_of(st.integers(-50, 50), st.floats(), st.text(max_size=2), st.none())


@given(st.lists(st.booleans(), min_size=42, max_size=42))
def test_masks_survive_run_lengths(pixels):
    mask = torch.tensor(pixels).reshape(1, *SIZE)
    text = encode_masks(mask)[0]["counts"].decode()
    rle = read_segmentation({"size": [*SIZE], "counts": text}, *SIZE)
    assert torch.equal(decode_masks([rle], *SIZE).bool(), mask)


@given(
    st.one_of(
        st.text(st.characters(min_codepoint=48, max_codepoint=111), max_size=12),
        st.text(max_size=6),
        st.lists(NUMBERS, max_size=5),
    )
)
def test_run_lengths_are_refused_or_fill_the_image(counts):
    with contextlib.suppress(MaskError):
        rle = read_segmentation({"size": [*SIZE], "counts": counts}, *SIZE)
        assert decode_masks([rle], *SIZE).shape == (1, *SIZE)


@given(st.lists(st.one_of(st.lists(NUMBERS, max_size=8), NUMBERS), max_size=3))
def test_polygons_are_refused_or_drawn(polygons):
    with contextlib.suppress(MaskError):
        rle = read_segmentation(polygons, *SIZE)
        assert set(decode_masks([rle], *SIZE).unique().tolist()) <= {0, 1}
