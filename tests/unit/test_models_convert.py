"""Checkpoints of others made into networks of ours."""

import os
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from dealias.models import ModelError, WeightsError, convert, create_model
from official import official

pytest.importorskip("timm")
safetensors = pytest.importorskip("safetensors.torch")

DEEP = {"backbone_options": {"stem_type": "deep", "stem_width": 32}}
MIXING = {
    "place": "before",
    "mixing": True,
    "cutoff": 0.35,
    "mixing_options": {"pooling": "official"},
}
NAMES = ["sky", "road", "car", "tree", "pole"]
PALETTE = [[i, 2 * i, 255] for i in range(5)]


@pytest.fixture(scope="module")
def plain():
    torch.manual_seed(0)
    return official()


def written(path, content):
    torch.save(content, path)
    return path


def assert_same_network(converted, model):
    assert not converted.training
    state = model.state_dict()
    assert list(converted.state_dict()) == list(state)
    assert all(torch.equal(v, state[k]) for k, v in converted.state_dict().items())
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(converted(x)["out"], model(x)["out"], rtol=0, atol=0)


def wrappings(state):
    on_several = {f"module.{key}": value for key, value in state.items()}
    averages = {f"ema_{key.replace('.', '_')}": value + 1 for key, value in state.items()}
    optimizer = {"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": [{"lr": 0.01}]}
    return {
        "bare": state,
        "wrapped": {"meta": {"epoch": 3, "config": "model = dict()"}, "state_dict": state},
        "ordered": {"state_dict": OrderedDict(state), "optimizer": optimizer},
        "several devices": {"state_dict": on_several, "optimizer": [optimizer]},
        "averages beside": {"state_dict": state, "ema_state_dict": on_several},
        "averages among": {"state_dict": {**state, **averages}},
        "old": {"state_dict": {k: v for k, v in state.items() if "num_batches" not in k}},
    }


@pytest.mark.parametrize("how", wrappings({}))
def test_it_is_found_however_it_is_wrapped(tmp_path, plain, how):
    model, state = plain
    converted = convert(written(tmp_path / "theirs.pth", wrappings(state)[how]))
    assert_same_network(converted.model, model)
    expected = (f"tensors of moving averages ({len(state)})",) if how == "averages among" else ()
    assert converted.left == expected


def test_safetensors_are_read_too(tmp_path, plain):
    model, state = plain
    safetensors.save_file(state, tmp_path / "theirs.safetensors")
    assert_same_network(convert(tmp_path / "theirs.safetensors").model, model)


@pytest.mark.parametrize(
    ("options", "filtered", "expected"),
    [
        ({**DEEP, "num_classes": 7, "channels": 12}, False, {"backbone": "resnet18", **DEEP}),
        ({"backbone": "resnet18d"}, False, {"backbone": "resnet18d"}),
        ({"dealias": MIXING}, False, {"backbone": "resnet18"}),
        ({"dealias": {"place": "before", "cutoff": 0.35}}, True, {"backbone": "resnet18"}),
        ({"aux_head": False}, False, {"aux_head": False}),
    ],
)
def test_the_network_is_told_from_its_tensors(tmp_path, options, filtered, expected):
    if "dealias" in options:
        options["dealias"]["filter_options"] = {"band_edge": "official", "border": "wrap"}
    model, state = official(**options)
    converted = convert(written(tmp_path / "theirs.pth", state), filtered=filtered).model
    assert_same_network(converted, model)
    assert converted.config.items() >= expected.items()
    reports = [m.dealias_report and m.dealias_report.inserted for m in (converted, model)]
    assert reports[0] == reports[1]


def test_an_auxiliary_head_of_another_kind_is_left_out(tmp_path, plain):
    model, state = plain
    second = {
        key.replace("convs.0", "convs.1"): value
        for key, value in state.items()
        if key.startswith("auxiliary_head.convs.0.")
    }
    converted = convert(written(tmp_path / "theirs.pth", {**state, **second}))
    assert converted.left == (
        "the auxiliary head, which is not a single convolution on the third stage",
    )
    assert converted.model.aux_head is None
    x = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(converted.model(x)["out"], model(x)["out"])


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        ({"CLASSES": NAMES, "PALETTE": PALETTE}, {"names": NAMES, "palette": PALETTE}),
        (
            {"dataset_meta": {"classes": tuple(NAMES), "palette": list(map(tuple, PALETTE))}},
            {"names": NAMES, "palette": PALETTE},
        ),
        ({"CLASSES": NAMES, "PALETTE": PALETTE[:4]}, {"names": NAMES, "palette": None}),
        ({"CLASSES": NAMES, "PALETTE": [[256, 0, 0]] * 5}, {"names": NAMES, "palette": None}),
        ({"CLASSES": NAMES[:4]}, None),
        ({"CLASSES": [1, 2, 3, 4, 5]}, None),
        (None, None),
    ],
)
def test_names_and_colours_of_the_classes(tmp_path, plain, meta, expected):
    content = {"state_dict": plain[1], "meta": meta}
    assert convert(written(tmp_path / "theirs.pth", content)).model.classes == expected


def trained(model, **changed):
    return {
        "state_dict": {f"network.{key}": value for key, value in model.state_dict().items()},
        "hyper_parameters": {"network": model.config, "classes": {"names": NAMES}, **changed},
        "optimizer_states": [{"state": {}}],
    }


def test_a_checkpoint_of_dealias_fit(tmp_path):
    model = create_model("upernet", num_classes=5, backbone="test_resnet", dealias={}).eval()
    model.config["backbone_weights"] = "gone.pth"  # they are in the checkpoint
    converted = convert(written(tmp_path / "last.ckpt", trained(model)))
    assert_same_network(converted.model, model)
    assert converted.model.classes == {"names": NAMES, "palette": None}


def test_a_checkpoint_of_a_network_for_instances(tmp_path):
    model = create_model("upernet", num_classes=5, backbone="test_resnet")
    network = {"name": "mask_rcnn", "num_classes": 5, "frozen_norms": False}
    path = written(tmp_path / "last.ckpt", trained(model, network=network, task="instance"))
    with pytest.raises(ModelError, match=r"expected a network for semantic .* 'mask_rcnn'"):
        convert(path)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (None, 'last.ckpt: expected hyper_parameters with "network", got none'),
        ({"name": "unet", "num_classes": 5}, "last.ckpt: name: expected 'upernet', 'smp:...'"),
        ({"name": "upernet"}, "last.ckpt: .*missing .*'num_classes'"),
        ({"name": "upernet", "num_classes": 5, "colour": 1}, "last.ckpt: .*unexpected .*'colour'"),
    ],
)
def test_a_checkpoint_whose_configuration_builds_nothing(tmp_path, network, message):
    model = create_model("upernet", num_classes=5, backbone="test_resnet")
    path = written(tmp_path / "last.ckpt", trained(model, network=network))
    with pytest.raises(ModelError, match=message):
        convert(path)


class Malicious:
    """Pickled, a call that makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def others(folder, state):
    """Checkpoints that can't be converted, by name, with what is said of each."""
    shape = "decode_head.conv_seg.weight", "auxiliary_head.conv_seg.weight"
    no_head = {k: v for k, v in state.items() if "fpn_bottleneck" not in k}
    vit = {f"backbone.layers.{i}.attn.weight": torch.zeros(4, 4) for i in range(12)}
    return {
        "code": (
            {"state_dict": state, "meta": Malicious(folder / "made")},
            r"code.pth: refused: it holds \w+.system. Only tensors, numbers, text and containers",
        ),
        "history": (
            {"state_dict": state, "message_hub": {"loss": Malicious(folder / "made")}},
            r"history.pth: refused: it holds \w+.system. Only tensors",
        ),
        "list": ([1, 2], "list.pth: expected tensors by name, got no state dict"),
        "text": ({"state_dict": {"a": "b"}}, "text.pth: expected tensors by name, got no state"),
        "headless": (
            no_head,
            "headless.pth: expected a UPerNet of the published code or of MMSegmentation, with "
            "decode_head.fpn_bottleneck and decode_head.conv_seg; got tensors of auxiliary_head, ",
        ),
        "segformer": ({"segformer.w": torch.zeros(2)}, "segformer.pth: .* tensors of segformer$"),
        "transformer": (
            {k: v for k, v in state.items() if not k.startswith("backbone.")} | vit,
            "transformer.pth: expected a ResNet, plain or of the kinds v1c and v1d, as backbone, "
            "got one of layers of 0, 0, 0, 0 blocks, with backbone.layers.0.attn.weight",
        ),
        "pools": (
            {k: v for k, v in state.items() if "psp_modules.3." not in k},
            "pools.pth: expected a UPerNet that pools at 4 sizes, got 3",
        ),
        "flat": (
            {**state, shape[0]: torch.zeros(5)},
            r"flat.pth: decode_head.conv_seg.weight: expected a tensor of 4 dimensions, got \(5,\)",
        ),
        "no classes": (
            {**state, shape[0]: torch.zeros(0, 8, 1, 1)},
            "no classes.pth: num_classes: expected a positive integer, got 0",
        ),
        "classes": (
            {
                **state,
                shape[1]: torch.zeros(19, 8, 1, 1),
                "auxiliary_head.conv_seg.bias": torch.zeros(19),
            },
            r"classes.pth: expected 5 classes, the checkpoint has 19: 2 of another shape "
            r"\(aux_head.1.1.weight: expected \(5, 8, 1, 1\), got \(19, 8, 1, 1\), "
            r"aux_head.1.1.bias: expected \(5,\), got \(19,\)\)",
        ),
        "short": (
            {k: v for k, v in state.items() if k != "backbone.layer2.0.conv2.weight"},
            r"short.pth: weights of another network .* 1 missing \(backbone.layer2.0.conv2.weight",
        ),
        "more": (
            {**state, "neck.conv.weight": torch.zeros(2)},
            r"more.pth: weights of another network .* 1 unexpected \(neck.conv.weight\)",
        ),
    }


@pytest.mark.parametrize("name", others(Path(), {}))
def test_what_is_no_such_checkpoint_is_refused_with_the_reason(tmp_path, plain, name):
    content, message = others(tmp_path, plain[1])[name]
    path = written(tmp_path / f"{name}.pth", content)
    with pytest.raises(WeightsError, match=message) as caught:
        convert(path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "made").exists()


def test_files_that_are_cut_missing_or_of_another_kind(tmp_path, plain):
    whole = written(tmp_path / "whole.pth", plain[1]).read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "page.pth").write_text("<html>404</html>")
    (tmp_path / "page.safetensors").write_text("<html>404</html>")
    (tmp_path / "empty.pth").touch()
    unread = "expected a file of torch.save or safetensors, got one that can't be read"
    for name, message in {
        "cut.pth": f"cut.pth: {unread}",
        "page.pth": f"page.pth: {unread}",
        "empty.pth": f"empty.pth: {unread}",
        "page.safetensors": f"page.safetensors: {unread}",
        "none.pth": "none.pth: no such file",
        "none.safetensors": "none.safetensors: no such file",
        "": "expected a regular file, got a folder",
    }.items():
        with pytest.raises(WeightsError, match=message):
            convert(tmp_path / name)
