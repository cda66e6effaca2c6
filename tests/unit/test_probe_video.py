"""Videos whose motion is known exactly."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from dealias.images import ImageError
from dealias.probe import LoadedNetwork, compare_frames, dense_flow, measure_video, read_frames


def texture(seed=0, size=(256, 320)):
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 255, (size[0] // 8, size[1] // 8, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC))


def panned(step, count=4, size=(128, 160)):
    """Views of one scene, each `step` pixels further right and down than the one before."""
    scene = Image.fromarray(texture())
    for index in range(count):
        top = left = 20 + index * step
        box = (left, top, left + size[1], top + size[0])
        yield np.asarray(scene.resize(size[::-1], Image.Resampling.BICUBIC, box))


class Flows:
    """The exact flow of a pan, forth and back in turns."""

    def __init__(self, step):
        self.step, self.calls = step, 0

    def __call__(self, first, _second):
        self.calls += 1
        sign = -1 if self.calls % 2 else 1  # what moves right into view moves left in it
        return np.full((*first.shape[:2], 2), sign * self.step, np.float32)


class Threshold(nn.Module):
    """Labels each pixel by itself, or each pair of columns by its first."""

    def __init__(self, stride):
        super().__init__()
        self.stride = stride

    def forward(self, x):
        gray = x.mean(1, keepdim=True)[..., :: self.stride]
        gray = gray.repeat_interleave(self.stride, -1)
        return torch.cat([gray, -gray], 1)


def test_what_labels_points_by_themselves_does_not_flicker():
    network = LoadedNetwork(Threshold(1).eval(), (0.5,) * 3, (1.0,) * 3)
    found = measure_video(network, panned(2), flow=Flows(2))
    assert found["frames"] == 4
    assert found["agreement"] == 1
    assert found["compared"] == pytest.approx((126 / 128) * (158 / 160))


def test_what_samples_every_eighth_column_does():
    network = LoadedNetwork(Threshold(8).eval(), (0.5,) * 3, (1.0,) * 3)
    odd, whole = (measure_video(network, panned(step), flow=Flows(step)) for step in (3, 8))
    assert odd["agreement"] < 0.97
    assert odd["agreement_preds_band"] < odd["agreement"]
    assert whole["agreement"] == 1


@pytest.mark.parametrize("step", [0.25, 0.5, 1.75])
def test_a_pan_by_fractions_with_its_exact_flow(step):
    """A network that labels points by themselves keeps them; one that samples does not."""
    own, sampling = (
        measure_video(
            LoadedNetwork(Threshold(stride).eval(), (0.5,) * 3, (1.0,) * 3),
            panned(step),
            flow=Flows(step),
        )
        for stride in (1, 8)
    )
    assert own["agreement"] > 0.999
    assert sampling["agreement"] < own["agreement"] - 0.003


@pytest.mark.parametrize("step", [0.25, 0.5, 1.75])
def test_the_flow_of_a_pan_by_fractions_of_a_pixel(step):
    pytest.importorskip("cv2")
    first, second = panned(step, count=2)
    found = dense_flow(first, second)[24:-24, 24:-24]
    assert abs(np.median(found, (0, 1)) + step).max() < 0.1
    network = LoadedNetwork(Threshold(1).eval(), (0.5,) * 3, (1.0,) * 3)
    measured = measure_video(network, [first, second])
    assert measured["compared"] > 0.8
    assert measured["agreement"] > 0.99


def test_points_that_are_hidden_are_not_compared():
    preds = torch.zeros(4, 4).long()
    following = torch.ones(4, 4).long()
    forward, back = np.zeros((2, 4, 4, 2))
    back[:2] = 3.0  # leads elsewhere
    forward[3] = (2, 0)  # leaves the frame
    changed, compared = compare_frames(preds, following, forward, back)
    assert compared.int().tolist() == [[0] * 4, [0] * 4, [1] * 4, [0] * 4]
    assert torch.equal(changed, compared)


def test_frames_of_a_folder_and_of_a_file(tmp_path):
    cv2 = pytest.importorskip("cv2")
    frames = list(panned(1, count=3))
    writer = cv2.VideoWriter(
        str(tmp_path / "a.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (160, 128)
    )
    (tmp_path / "frames").mkdir()
    for index, frame in enumerate(frames):
        writer.write(frame[..., ::-1].copy())
        Image.fromarray(frame).save(tmp_path / "frames" / f"{index}.png")
    writer.release()
    np.testing.assert_array_equal(list(read_frames(tmp_path / "frames")), frames)
    decoded = list(read_frames(tmp_path / "a.avi"))
    assert len(decoded) == 3
    assert np.abs(np.subtract(decoded, frames, dtype=float)).mean() < 10


def test_frames_are_in_the_order_of_their_numbers(tmp_path):
    for index in (1, 2, 10):
        Image.new("RGB", (32, 32), (index, 0, 0)).save(tmp_path / f"frame{index}.png")
    (tmp_path / "other").mkdir()
    Image.new("RGB", (32, 32)).save(tmp_path / "other" / "frame3.png")
    assert [int(frame[0, 0, 0]) for frame in read_frames(tmp_path)] == [1, 2, 10]


def test_what_is_no_video(tmp_path):
    network = LoadedNetwork(Threshold(1).eval())
    with pytest.raises(ValueError, match=r"a\.avi: expected at least two frames"):
        measure_video(network, panned(1, count=1), source="a.avi")
    with pytest.raises(ImageError, match="no images"):
        list(read_frames(tmp_path))
    for index, size in enumerate([(32, 32), (64, 32)]):
        Image.new("RGB", size).save(tmp_path / f"{index}.png")
    with pytest.raises(ImageError, match="expected frames of one size"):
        list(read_frames(tmp_path))
    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ValueError, match="expected a map of class scores"):
        measure_video(LoadedNetwork(pooled.eval()), panned(1))
    pytest.importorskip("cv2")
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    with pytest.raises(ImageError, match=r"bad\.mp4: expected a video"):
        list(read_frames(tmp_path / "bad.mp4"))
