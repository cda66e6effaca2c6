import numpy as np
import pytest
import torch
from PIL import Image

from dealias.data import ProceduralScenes
from dealias.demo import TinySegmenter, fit, run
from dealias.metrics.functional import scores

SIZE = (128, 256)
SMALL = {"scenes": 4, "training_scenes": 8, "size": SIZE}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Keep parallel test processes out of one another's way."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def scenes():
    return list(ProceduralScenes(2, size=(64, 96)))


def small_network(**changes):
    return TinySegmenter(11, **({"antialias": True, "channels": 4, "hidden": 16} | changes))


class TestRun:
    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_aliasing_harms_every_metric(self, tmp_path, seed):
        results = run(tmp_path, seed=seed, **SMALL)
        plain, filtered = (scores(results[name].counts) for name in ("decimation", "lowpass"))
        for name in ("mIoU", "BIoU", "BAcc"):
            assert filtered[name] > plain[name] + 0.05
        for name in ("FErr", "MErr", "DErr"):
            assert filtered[name] < plain[name] - 0.05

    def test_files_are_what_was_counted(self, tmp_path):
        write = {"scenes": 1, "training_scenes": 2, "size": (64, 96)}
        run(tmp_path, **(write | {"scenes": 2}))
        results = run(tmp_path, **write)
        for predictor, evaluation in results.items():
            confusion = evaluation.counts.confusion
            (target,) = (tmp_path / "labels").iterdir()
            (preds,) = (tmp_path / "predictions" / predictor).iterdir()
            target, preds = (np.asarray(Image.open(path)) for path in (target, preds))
            correct = ((preds == target) & (target != 255)).sum()
            assert confusion.sum(0).diagonal().sum() == correct
            assert confusion.sum() == (target != 255).sum()

    @pytest.mark.parametrize(
        ("change", "argument"),
        [
            ({"scenes": 0}, "scenes"),
            ({"training_scenes": 0}, "training_scenes"),
            ({"seed": -1}, "seed"),
            ({"size": (100, 128)}, "size"),
            ({"size": (8, 128)}, "size"),
        ],
    )
    def test_bad_arguments_write_nothing(self, tmp_path, change, argument):
        with pytest.raises(ValueError, match=f"^{argument}: expected"):
            run(tmp_path / "new", **change)
        assert not (tmp_path / "new").exists()


class TestTinySegmenter:
    def test_random_weights_do_not_depend_on_the_filter(self):
        plain, filtered = small_network(antialias=False), small_network(antialias=True)
        for name, value in plain.state_dict().items():
            assert torch.equal(value, filtered.state_dict()[name])

    def test_filter_leaves_constant_images_alone(self):
        images = torch.full((1, 3, 64, 64), 90, dtype=torch.uint8)
        plain, filtered = (
            small_network(antialias=antialias).downsampled(images) for antialias in (False, True)
        )
        torch.testing.assert_close(plain, filtered)

    def test_stripes_turn_into_moire_without_the_filter_alone(self):
        period = 9  # at a stride of 8 it shows as a period of 72 pixels
        stripes = (torch.arange(144) % period < period / 2).to(torch.uint8) * 255
        images = stripes.expand(1, 3, 72, 144)
        plain, filtered = (
            small_network(antialias=antialias).downsampled(images)[..., 3:-3].std(-1).mean()
            for antialias in (False, True)
        )
        assert plain > 20 * filtered

    def test_shape(self, scenes):
        assert small_network()(scenes[0][0][None]).shape == (1, 11, 64, 96)

    @pytest.mark.parametrize(
        "images",
        [
            torch.zeros(1, 3, 64, 60, dtype=torch.uint8),
            torch.zeros(1, 3, 60, 64, dtype=torch.uint8),
            torch.zeros(3, 64, 64, dtype=torch.uint8),
            torch.zeros(1, 1, 64, 64, dtype=torch.uint8),
            torch.zeros(1, 3, 64, 64),
        ],
    )
    def test_bad_images(self, images):
        with pytest.raises(ValueError, match=r"^images: expected"):
            small_network()(images)


class TestFit:
    def test_agrees_with_least_squares(self, scenes):
        """Ridge regression is least squares with a row of penalty for each unknown."""
        ridge = 0.1
        network = fit(small_network(), scenes, ridge=ridge)
        images = torch.stack([image for image, _ in scenes])
        labels = torch.stack([labels for _, labels in scenes]).long()
        h = network.hidden(network.downsampled(images)).movedim(1, -1).flatten(0, -2).double()
        y = labels.unflatten(1, (-1, 8)).unflatten(3, (-1, 8))[:, :, 2, :, 5].flatten()  # one pixel
        one_hot = (y[:, None] == torch.arange(11)).double()
        penalty = (ridge * len(h)) ** 0.5 * torch.eye(h.shape[1], dtype=torch.float64)
        a, b = torch.cat([h, penalty]), torch.cat([one_hot, torch.zeros(len(penalty), 11)])
        frequency = (labels.flatten()[:, None] == torch.arange(11)).double().mean(0)
        expected = torch.linalg.lstsq(a, b).solution / frequency.clamp_min(1e-6).sqrt()
        found = network.readout.squeeze().unflatten(0, (11, 8, 8))[:, 2, 5].T
        torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-4)

    def test_downsampled_features_are_normalised(self, scenes):
        network = fit(small_network(), scenes)
        x = network.downsampled(torch.stack([image for image, _ in scenes]))
        x = (x - network.mean) / network.scale
        torch.testing.assert_close(x.mean((0, 2, 3)), torch.zeros(4), rtol=0, atol=1e-4)
        torch.testing.assert_close(x.std((0, 2, 3), correction=0), torch.ones(4), rtol=0, atol=1e-3)

    def test_bad_arguments(self, scenes):
        with pytest.raises(ValueError, match=r"^scenes: expected"):
            fit(small_network(), [])
        with pytest.raises(ValueError, match=r"^ridge: expected"):
            fit(small_network(), scenes, ridge=0)
