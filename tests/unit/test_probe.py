import json

import pytest
import torch
from PIL import Image
from torch import nn

from dealias.images import ImageError
from dealias.layers import BlurFilter
from dealias.probe import (
    LoadedNetwork,
    NetworkError,
    capture_maps,
    draw_maps,
    draw_spectra,
    image_paths,
    load_network,
    measure_aliasing,
    read_image,
)
from dealias.spectral import aliasing_score, filter_orthogonality
from dealias.surgery import find_downsampling


@pytest.fixture
def folder(tmp_path):
    generator = torch.Generator().manual_seed(0)
    for name in ("b.png", "a.jpg", "c.png"):
        pixels = torch.randint(0, 256, (70, 100, 3), generator=generator, dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(tmp_path / name)
    (tmp_path / "notes.txt").touch()
    return tmp_path


def small_network():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2, padding=1)
    )
    return LoadedNetwork(model.eval())


def test_images_are_listed_by_name(folder):
    (folder / ".thumbnails").mkdir()
    for hidden in ("._a.jpg", ".thumbnails/a.jpg"):
        (folder / hidden).write_bytes(b"no image")
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    assert [path.name for path in image_paths(folder)] == ["a.jpg", "b.png", "c.png"]
    assert len(image_paths(folder, 2)) == 2


def test_an_image_is_cut_around_its_centre(folder):
    whole = torch.zeros(70, 100, 3, dtype=torch.uint8)
    whole[3:67, 2:98] = 255
    Image.fromarray(whole.numpy()).save(folder / "centre.png")
    x = read_image(folder / "centre.png")
    assert x.shape == (3, 64, 96)
    assert x.min() == x.max() == 1


def test_noise_has_its_deviation_and_a_seed(folder):
    Image.new("RGB", (320, 320), (128, 128, 128)).save(folder / "gray.png")
    x = read_image(folder / "gray.png", noise=20, seed=1)
    assert 255 * x.std() == pytest.approx(20, rel=0.02)
    assert torch.equal(x, read_image(folder / "gray.png", noise=20, seed=1))
    assert not torch.equal(x, read_image(folder / "gray.png", noise=20, seed=2))


@pytest.mark.parametrize(
    ("path", "message"),
    [("notes.txt", "not an image that can be read"), ("tiny.png", "expected 32 pixels or more")],
)
def test_what_cannot_be_read_is_named(folder, path, message):
    Image.new("RGB", (40, 31)).save(folder / "tiny.png")
    with pytest.raises(ImageError, match=f"{path}: {message}"):
        read_image(folder / path)


def test_folders_without_images(tmp_path):
    with pytest.raises(ImageError, match="no images"):
        image_paths(tmp_path)
    with pytest.raises(ImageError, match="not a folder"):
        image_paths(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="limit: expected at least 1, got 0"):
        image_paths(tmp_path, 0)


def test_scores_are_those_of_the_maps_that_enter(folder):
    network, paths = small_network(), image_paths(folder)
    _, (result,) = measure_aliasing(network, paths, bins=8)
    maps = [network.model[:2](network.arguments(read_image(path))) for path in paths]
    expected = [aliasing_score(x, 0.25).item() for x in maps]
    assert result.scores == pytest.approx(expected)
    assert result.score == pytest.approx(sum(expected) / 3)
    assert result.orthogonality == pytest.approx(
        filter_orthogonality(network.model[2].weight).item()
    )
    assert sum(result.spectrum) == pytest.approx(1)
    assert sum(result.spectrum[4:]) == pytest.approx(result.score)
    row = result.to_dict()
    assert (row["kernel"], row["stride"], row["nyquist"]) == ((3, 3), (2, 2), 0.25)


def test_blur_is_that_of_each_map(folder):
    network, paths = small_network(), image_paths(folder, 1)
    _, (result,) = measure_aliasing(network, paths, blur=3, cutoff=0.3)
    x = network.model[:2](network.arguments(read_image(paths[0])))
    assert result.score == pytest.approx(aliasing_score(BlurFilter(8, 3)(x), 0.3).item())
    assert result.spread == 0


def test_the_network_is_left_as_it_was(folder):
    network = small_network()
    measure_aliasing(network, image_paths(folder))
    assert not any(module._forward_pre_hooks for module in network.model.modules())


def test_a_module_that_runs_twice_counts_once_an_image(folder):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.pool = nn.AvgPool2d(2)

        def forward(self, x):
            return self.pool(self.pool(x))

    _, results = measure_aliasing(LoadedNetwork(Twice()), image_paths(folder))
    assert {len(result.scores) for result in results} == {3}


def test_figures(folder):
    network, paths = small_network(), image_paths(folder, 1)
    plan, results = measure_aliasing(network, paths, bins=8)
    draw_spectra(results, folder / "spectra.png")
    image = read_image(paths[0])
    maps = capture_maps(network, plan, image)
    assert maps["2"].shape == (1, 8, 64, 96)
    blurred = capture_maps(network, plan, image, blur=3)
    torch.testing.assert_close(blurred["2"], BlurFilter(8, 3)(maps["2"]))
    draw_maps(image, maps, results, folder / "map.png")
    for name in ("spectra.png", "map.png"):
        with Image.open(folder / name) as picture:
            assert picture.width > 500


def test_an_export_has_its_modules_back(tmp_path):
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Sequential(nn.MaxPool2d(2))).eval()
    exported = torch.export.export(model, (torch.zeros(1, 3, 64, 96),))
    torch.export.save(exported, tmp_path / "net.pt2")
    network = load_network(str(tmp_path / "net.pt2"), trust=True)
    plan = find_downsampling(network.model, torch.zeros(1, 3, 64, 96))
    assert plan.names == find_downsampling(model, torch.zeros(1, 3, 64, 96)).names


def test_what_is_no_export_is_said_without_a_traceback(tmp_path, caplog):
    (tmp_path / "text.pt2").write_text("no export")
    torch.save({"weight": torch.ones(3)}, tmp_path / "state.pt2")
    for name in ("text", "state"):
        with pytest.raises(NetworkError, match=f"{name}.pt2: expected a file of torch.export.save"):
            load_network(str(tmp_path / f"{name}.pt2"), trust=True)
    assert not caplog.records


def test_weights_are_loaded(tmp_path):
    torch.save({"weight": torch.ones(3)}, tmp_path / "w.pth")
    with pytest.raises(NetworkError, match=r"w\.pth: .*Unexpected key"):
        load_network("torch.nn:Identity", tmp_path / "w.pth", trust=True)
    (tmp_path / "bad.pth").write_bytes(b"no weights")
    with pytest.raises(NetworkError, match=r"bad\.pth"):
        load_network("torch.nn:Identity", tmp_path / "bad.pth", trust=True)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("resnet50", "expected timm:NAME, torchvision:NAME"),
        ("torchvision:resnet5", "Unknown model resnet5"),
        ("timm:resnet5", "Unknown model"),
        ("hf:nobody/nothing", "no such folder, nor in the local cache"),
        ("nowhere/net.pt2", "no such file"),
        ("torch.nn:Nothing", "torch.nn.Nothing: torch.nn has no such class or function"),
        ("torch.nn:Linear", "missing 2 required"),
        ("builtins:dict", "expected a module from builtins:dict, got dict"),
        ("no_such_module:net", "No module named 'no_such_module'"),
    ],
)
def test_specs_without_a_network(spec, message):
    if spec.startswith(("torchvision", "timm")):
        pytest.importorskip(spec.partition(":")[0])
    if spec.startswith("hf"):
        pytest.importorskip("transformers")
    with pytest.raises(NetworkError, match=message):
        load_network(spec, trust=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cutoff": 0.7}, r"cutoff: expected a number in \(0, 0.5\] cycles per pixel, got 0.7"),
        ({"cutoff": "nyquist"}, "cutoff: expected 'auto' or a number"),
        ({"noise": -1}, "noise: expected 0 or more, got -1"),
        ({"blur": 9}, "size: expected 2 to 7, got 9"),
    ],
)
def test_bad_options(folder, options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        measure_aliasing(small_network(), image_paths(folder), **options)


def test_nothing_to_probe(folder):
    with pytest.raises(ValueError, match="no downsampling step"):
        measure_aliasing(LoadedNetwork(nn.ReLU()), image_paths(folder))
    with pytest.raises(ValueError, match="at least one image"):
        measure_aliasing(small_network(), [])


def test_sixteen_bits_keep_their_upper_eight(tmp_path):
    ramp = torch.arange(64 * 64, dtype=torch.int32).view(64, 64) * 16
    Image.fromarray(ramp.numpy().astype("uint16")).save(tmp_path / "deep.png")
    found = read_image(tmp_path / "deep.png")
    torch.testing.assert_close(found[1], (ramp // 256).float() / 255)


def test_a_network_that_fails_on_a_later_image_names_it(folder):
    Image.new("RGB", (64, 96)).save(folder / "z.png")

    class Fixed(nn.Conv2d):
        def forward(self, x):
            if x.shape[-2:] != (64, 96):
                raise RuntimeError("size")
            return super().forward(x)

    network = LoadedNetwork(nn.Sequential(Fixed(3, 8, 3, stride=2)).eval())
    with pytest.raises(ValueError, match=r"z\.png: the network fails on 96x64 pixels.*size"):
        measure_aliasing(network, image_paths(folder))


def test_large_images_are_cropped_around_the_centre(tmp_path):
    image = Image.new("RGB", (4200, 2100))
    image.paste((255, 0, 0), (1076, 26, 3124, 2074))
    image.save(tmp_path / "large.png")
    found = read_image(tmp_path / "large.png")
    assert found.shape == (3, 2048, 2048)
    assert torch.equal(found.amax((1, 2)), torch.tensor([1.0, 0.0, 0.0]))
    assert found[0].min() == 1


@pytest.mark.parametrize("names", [("sky", "road"), None])
def test_names_of_a_network_of_transformers(names, tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.SegformerConfig(
        depths=[1] * 4, hidden_sizes=[8, 16, 24, 32], num_attention_heads=[1, 1, 2, 4]
    )
    if names is not None:
        config.id2label = dict(enumerate(names))
    config.save_pretrained(tmp_path)
    assert load_network(f"hf:{tmp_path}").classes == names  # not LABEL_0, LABEL_1


@pytest.mark.parametrize(
    ("library", "spec"),
    [
        ("timm", "timm:test_resnet"),
        ("torchvision", "torchvision:resnet18"),
        ("segmentation_models_pytorch", "smp:Unet"),
    ],
)
def test_weights_that_no_one_gave_are_known_to_be_random(library, spec, tmp_path):
    pytest.importorskip(library)
    network = load_network(spec)
    assert network.random
    torch.save(network.model.state_dict(), tmp_path / "weights.pth")
    assert not load_network(spec, tmp_path / "weights.pth").random


def test_a_folder_of_transformers_may_be_without_weights(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.SegformerConfig(
        depths=[1] * 4, hidden_sizes=[8, 16, 24, 32], num_attention_heads=[1, 1, 2, 4]
    )
    config.save_pretrained(tmp_path)
    assert load_network(f"hf:{tmp_path}").random
    transformers.SegformerForSemanticSegmentation(config).save_pretrained(tmp_path)
    assert not load_network(f"hf:{tmp_path}").random


def test_a_folder_of_transformers_says_how_images_are_normalised(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.SegformerConfig(
        depths=[1] * 4, hidden_sizes=[8, 16, 24, 32], num_attention_heads=[1, 1, 2, 4]
    )
    config.save_pretrained(tmp_path)
    stored = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.2]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(stored))
    network = load_network(f"hf:{tmp_path}")
    assert (network.mean, network.std) == ((0.5, 0.4, 0.3), (0.2, 0.3, 0.2))
    index = {"metadata": {}, "weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(NetworkError, match=r"FileNotFoundError|OSError"):
        load_network(f"hf:{tmp_path}")


def test_a_factory_of_a_network_of_dealias_says_how_images_are_normalised():
    network = load_network("networks:bright_upernet", trust=True)
    assert (network.mean, network.std) == ((0.5,) * 3, (0.25,) * 3)
