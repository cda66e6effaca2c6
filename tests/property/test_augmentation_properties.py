import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision import tv_tensors

from dealias.data import Augmentation
from dealias.data.segmentation.augment import MEAN_COLOR, RandomScaledCrop
from dealias.data.streams import augmentation_seed

VOID = 255
lengths = st.integers(1, 40)
sizes = st.tuples(lengths, lengths)
factors = st.floats(0.05, 4.0)
scales = st.tuples(factors, factors).map(lambda pair: tuple(sorted(pair)))
seeds = st.integers(0, 2**32 - 1)
dtypes = st.sampled_from([torch.uint8, torch.int64])


def sample(size, dtype=torch.uint8):
    """An image without the mean colour, laid out as files are read, and labels 0 .. 6."""
    generator = torch.Generator().manual_seed(size[0] * 64 + size[1])
    image = torch.randint(0, 100, (*size, 3), generator=generator).permute(2, 0, 1)
    target = torch.randint(0, 7, size, generator=generator)
    return tv_tensors.Image(image.to(torch.uint8)), tv_tensors.Mask(target.to(dtype))


@settings(max_examples=150)
@given(sizes, sizes, scales, st.floats(0.01, 1.0), seeds, st.booleans(), dtypes)
def test_void_and_the_mean_colour_are_where_there_is_no_image(
    size, crop, scale, share, seed, photometric, dtype
):
    options = Augmentation(
        crop_size=crop, scale_range=scale, max_class_share=share, photometric=photometric
    )
    transform = options.transform(VOID, 7)
    image, target = sample(size, dtype)
    with augmentation_seed(seed, 0):
        augmented, labels = transform(image, target)
    assert augmented.shape == (3, *crop)
    assert labels.shape == crop
    assert augmented.dtype == torch.uint8
    assert labels.dtype == dtype
    padded = labels == VOID
    height, width = int((~padded).any(1).sum()), int((~padded).any(0).sum())
    assert not padded[:height, :width].any()
    assert padded.sum() == padded.numel() - height * width
    for inside, length, longest, out in (
        (height, size[0], crop[0], labels.shape[0]),
        (width, size[1], crop[1], labels.shape[1]),
    ):
        low, high = (min(longest, max(1, round(length * factor))) for factor in scale)
        assert low <= inside <= high <= out
    mean = torch.tensor(MEAN_COLOR, dtype=torch.uint8)[:, None]
    assert (augmented.as_subclass(Tensor)[:, padded] == mean).all()
    if not photometric:  # interpolation makes no value that was not between two
        known = augmented.as_subclass(Tensor)[:, ~padded]
        assert image.min() <= known.min()
        assert known.max() <= image.max()


@settings(max_examples=150)
@given(sizes, sizes, scales, seeds, dtypes)
def test_labels_are_those_of_the_nearest_pixel_centres(size, crop, scale, seed, dtype):
    _, target = sample(size, dtype)
    resize = RandomScaledCrop(crop, ignore_index=VOID, scale=scale, max_class_share=1.0)
    with augmentation_seed(seed, 0):
        params = resize.make_params([target])
    labels = resize.transform(target, params)
    near, tied = [], []
    for axis, start in enumerate((params["top"], params["left"])):
        window, out = params[("height", "width")[axis]], params["size"][axis]
        doubled = (2 * torch.arange(out) + 1) * window
        near.append(start + doubled // (2 * out))
        tied.append(doubled % (2 * out) == 0)  # half of the way between two centres
        assert near[axis].min() >= start >= 0
        assert near[axis].max() < start + window <= size[axis]
    labels = labels.as_subclass(Tensor)
    clear = ~(tied[0][:, None] | tied[1])
    assert torch.equal(labels[clear], target[near[0]][:, near[1]][clear])


@settings(max_examples=100)
@given(sizes, sizes, seeds)
def test_at_scale_one_a_crop_is_a_part_of_the_image(size, crop, seed):
    image, target = sample(size)
    resize = RandomScaledCrop(crop, ignore_index=VOID, scale=(1.0, 1.0))
    with augmentation_seed(seed, 0):
        cropped, labels = resize(image, target)
    with augmentation_seed(seed, 0):
        params = resize.make_params([image, target])
    rows = slice(params["top"], params["top"] + cropped.shape[1])
    columns = slice(params["left"], params["left"] + cropped.shape[2])
    assert torch.equal(cropped, image[:, rows, columns])
    assert torch.equal(labels, target[rows, columns])
