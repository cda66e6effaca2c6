"""Whole images, windows, scales and flips, against plain loops."""

import pytest
import torch
from torch.nn.functional import conv2d, interpolate

from dealias.engine import Inference, slide

KERNEL = torch.tensor([[[[0.0, 1, 0], [2, -1, 0], [0, 0, 3]]]])


def network(images):
    """Two class scores that depend on a 3x3 neighbourhood."""
    gray = images.mean(1, keepdim=True)
    return torch.cat([gray, conv2d(gray, KERNEL, padding=1)], 1)


def test_whole_images_are_passed_as_they_are():
    images = torch.randn(2, 3, 7, 9)
    assert torch.equal(Inference().scores(network, images), network(images))


@pytest.mark.parametrize(
    ("size", "window", "stride"), [((11, 13), (5, 6), (3, 4)), ((8, 8), (4, 4), (4, 4))]
)
def test_windows_are_averaged_where_they_overlap(size, window, stride):
    images = torch.randn(1, 3, *size)
    total, count = torch.zeros(1, 2, *size), torch.zeros(size)
    tops = sorted({min(t, size[0] - window[0]) for t in range(0, size[0], stride[0])})
    lefts = sorted({min(x, size[1] - window[1]) for x in range(0, size[1], stride[1])})
    for top in tops:
        for left in lefts:
            rows, columns = slice(top, top + window[0]), slice(left, left + window[1])
            total[..., rows, columns] += network(images[..., rows, columns])
            count[rows, columns] += 1
    assert int(count.min()) >= 1
    torch.testing.assert_close(slide(network, images, window, stride), total / count)


def test_an_image_smaller_than_the_window_is_padded_with_the_mean_and_cut():
    images = torch.randn(1, 3, 4, 5)
    padded = torch.zeros(1, 3, 6, 8)
    padded[..., :4, :5] = images
    expected = network(padded)[..., :4, :5]
    torch.testing.assert_close(slide(network, images, (6, 8), (3, 3)), expected)


def test_the_default_stride_leaves_no_pixel_out():
    images = torch.randn(1, 3, 20, 31)
    scores = Inference(window=(7, 10)).scores(lambda x: x[:, :2], images)
    torch.testing.assert_close(scores, images[:, :2])


def test_scales_and_flips_average_probabilities():
    images = torch.randn(1, 3, 8, 12)
    parts = []
    for scale in (0.5, 1.0):
        size = (round(8 * scale), round(12 * scale))
        resized = interpolate(images, size, mode="bilinear", align_corners=False)
        for flip in (False, True):
            logits = network(resized.flip(-1) if flip else resized)
            logits = logits.flip(-1) if flip else logits
            logits = interpolate(logits, (8, 12), mode="bilinear", align_corners=False)
            parts.append(logits.softmax(1))
    found = Inference(scales=(0.5, 1.0), flip=True).scores(network, images)
    torch.testing.assert_close(found, torch.stack(parts).mean(0))
    torch.testing.assert_close(found.sum(1), torch.ones(1, 8, 12))


def test_images_are_scaled_to_fit_with_their_aspect_kept():
    seen = []

    def spy(images):
        seen.append(tuple(images.shape[-2:]))
        return network(images)

    for size in ((10, 40), (40, 10), (5, 5)):
        scores = Inference(fit_within=(20, 8)).scores(spy, torch.randn(1, 3, *size))
        assert scores.shape == (1, 2, *size)
    assert seen == [(5, 20), (20, 5), (8, 8)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": (0, 4)}, "window: expected two lengths of at least 1"),
        ({"stride": (2, 2)}, "stride: is for a window"),
        ({"window": (4, 4), "stride": (5, 4)}, "would have no score"),
        ({"scales": ()}, "scales: expected factors over 0"),
        ({"scales": (1.0, -1.0)}, "scales: expected factors over 0"),
        ({"fit_within": (3,)}, "fit_within: expected two lengths"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Inference(**options)


def test_windows_are_added_in_the_precision_of_the_images():
    images = torch.randn(1, 3, 30, 30)
    half = slide(lambda x: network(x).bfloat16(), images, (8, 8), (3, 3))
    assert half.dtype == torch.float32
    each = slide(lambda x: network(x).bfloat16().float(), images, (8, 8), (3, 3))
    assert torch.equal(half, each)
