"""Networks of five libraries, none of which knows this one: planned, mended, trained, compiled."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

import dealias
from dealias.layers import FrequencyMixing
from dealias.surgery import find_downsampling
from published import put_in

IMAGES = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def torchvision(name: str, **options: Any) -> nn.Module:
    models = pytest.importorskip("torchvision").models
    return models.get_model(name, weights=None, **options)


def timm(name: str, **options: Any) -> nn.Module:
    return pytest.importorskip("timm").create_model(name, pretrained=False, **options)


def upernet() -> nn.Module:
    transformers = pytest.importorskip("transformers")
    backbone = transformers.ConvNextConfig(
        hidden_sizes=[48, 96, 192, 384],
        depths=[1, 1, 2, 1],
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = transformers.UperNetConfig(
        backbone_config=backbone,
        hidden_size=32,
        auxiliary_channels=16,
        auxiliary_in_channels=192,
        num_labels=5,
    )
    return transformers.UperNetForSemanticSegmentation(config)


def segformer() -> nn.Module:
    transformers = pytest.importorskip("transformers")
    config = transformers.SegformerConfig(
        hidden_sizes=[16, 32, 64, 128],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 2, 4, 8],
        decoder_hidden_size=32,
        num_labels=5,
    )
    return transformers.SegformerForSemanticSegmentation(config)


def mask2former() -> nn.Module:
    transformers = pytest.importorskip("transformers")
    backbone = transformers.SwinConfig(
        image_size=64,
        embed_dim=48,
        depths=[1, 1, 1, 1],
        num_heads=[1, 2, 4, 8],
        window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = transformers.Mask2FormerConfig(
        backbone_config=backbone,
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=32,
        dim_feedforward=32,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=4,
        num_queries=5,
        num_labels=4,
    )
    return transformers.Mask2FormerForUniversalSegmentation(config)


def smp(name: str) -> nn.Module:
    library = pytest.importorskip("segmentation_models_pytorch")
    return getattr(library, name)("resnet18", encoder_weights=None, classes=5)


@dataclass(frozen=True)
class Network:
    """How to build it, the sites filtered as in the paper, and the number of mixing modules."""

    build: Callable[[], nn.Module]
    filtered: tuple[str, ...]
    mixing: int
    part: str = ""  # compiled and exported, where the whole cannot be

    @property
    def example(self) -> Any:
        return list(IMAGES) if self.part else IMAGES


def resnet(prefix: str = "", stages: tuple[int, ...] = (2, 3, 4)) -> tuple[str, ...]:
    return tuple(f"{prefix}layer{i}.0" for i in stages)


NETWORKS = {
    "torchvision resnet50": Network(lambda: torchvision("resnet50"), resnet(), 13),
    "torchvision mobilenet_v3_large": Network(
        lambda: torchvision("mobilenet_v3_large"),
        tuple(f"features.{i}.block.1.0" for i in (2, 4, 7, 13)),
        9,
    ),
    "torchvision convnext_tiny": Network(
        lambda: torchvision("convnext_tiny"), ("features.2.1", "features.4.1", "features.6.1"), 15
    ),
    "torchvision swin_t": Network(
        lambda: torchvision("swin_t"), ("features.2", "features.4", "features.6"), 0
    ),
    "torchvision deeplabv3_resnet50": Network(
        lambda: torchvision("deeplabv3_resnet50", weights_backbone=None),
        resnet("backbone.", (2,)),
        13,
    ),
    "torchvision maskrcnn_resnet50_fpn": Network(
        lambda: torchvision(
            "maskrcnn_resnet50_fpn",
            weights_backbone=None,
            min_size=64,
            max_size=96,
            rpn_post_nms_top_n_test=20,
            box_detections_per_img=5,
        ),
        resnet("backbone.body."),
        13,
        part="backbone",
    ),
    "timm resnet50c": Network(lambda: timm("resnet50c"), resnet(), 13),
    "timm tf_efficientnet_lite0": Network(
        lambda: timm("tf_efficientnet_lite0"),
        tuple(f"blocks.{i}.0.conv_dw" for i in (1, 2, 3, 5)),
        9,
    ),
    # 40 channels hold less than the 4 x 4 x 3 numbers they are made of: the image is filtered too.
    "timm convnextv2_atto": Network(
        lambda: timm("convnextv2_atto"),
        ("stem.0", *(f"stages.{i}.downsample.1" for i in (1, 2, 3))),
        12,
    ),
    "timm swinv2_tiny": Network(
        lambda: timm("swinv2_tiny_window8_256", img_size=(64, 96)),
        tuple(f"layers.{i}.downsample" for i in (1, 2, 3)),
        0,
    ),
    "timm mobilenetv4_conv_small": Network(
        lambda: timm("mobilenetv4_conv_small"),
        (
            "blocks.0.0.conv",
            "blocks.1.0.conv",
            "blocks.2.0.dw_mid.conv",
            "blocks.3.0.dw_mid.conv",
        ),
        10,
    ),
    "timm hrnet_w18_small": Network(
        lambda: timm("hrnet_w18_small"),
        (
            "conv2",
            "transition1.1.0.0",
            "stage2.0.fuse_layers.1.0.0.0",
            "transition2.2.0.0",
            "stage3.0.fuse_layers.1.0.0.0",
            "stage3.0.fuse_layers.2.0.0.0",
            "stage3.0.fuse_layers.2.1.0.0",
            "transition3.3.0.0",
            "stage4.0.fuse_layers.1.0.0.0",
            "stage4.0.fuse_layers.2.0.0.0",
            "stage4.0.fuse_layers.2.1.0.0",
            "stage4.0.fuse_layers.3.0.0.0",
            "stage4.0.fuse_layers.3.0.1.0",
            "stage4.0.fuse_layers.3.1.0.0",
            "stage4.0.fuse_layers.3.2.0.0",
            "downsamp_modules.0.0",
            "downsamp_modules.1.0",
            "downsamp_modules.2.0",
        ),
        23,
    ),
    "transformers UperNet": Network(
        upernet, tuple(f"backbone.encoder.stages.{i}.downsampling_layer.1" for i in (1, 2, 3)), 4
    ),
    "transformers SegFormer": Network(
        segformer, tuple(f"segformer.stages.{i}.patch_embeddings.proj" for i in range(4)), 4
    ),
    "transformers Mask2Former": Network(
        mask2former,
        tuple(
            f"model.pixel_level_module.encoder.swin.encoder.layers.{i}.downsample" for i in range(3)
        ),
        0,
    ),
    "smp Unet": Network(lambda: smp("Unet"), resnet("encoder."), 6),
    "smp UPerNet": Network(lambda: smp("UPerNet"), resnet("encoder."), 6),
}
SLOW = {
    "torchvision convnext_tiny",
    "torchvision deeplabv3_resnet50",
    "torchvision mobilenet_v3_large",
    "timm hrnet_w18_small",
}


def outputs(result: Any) -> list[Tensor]:
    leaves = tree_leaves(dict(result) if hasattr(result, "items") else result)
    return [leaf for leaf in leaves if isinstance(leaf, Tensor)]


@pytest.fixture(autouse=True)
def _graphs_of_this_test_alone() -> Iterator[None]:
    torch._dynamo.reset()
    torch.manual_seed(0)
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in NETWORKS],
)
@pytest.mark.parametrize(
    "way",
    [
        pytest.param(put_in, id="paper", marks=pytest.mark.slow),
        pytest.param(dealias.dealias, id="default"),
    ],
)
def test_a_network_is_planned_mended_trained_and_compiled(name, way):
    network = NETWORKS[name]
    example = network.example
    net = network.build().eval()
    place = "before" if way is put_in else "auto"
    plan = find_downsampling(net, example, place=place)
    filtered = tuple(site.name for site in plan if not site.reason)

    mended, report = way(net, example)
    filters = [item for item in report.inserted if item.kind == "daf"]
    mixing = [item for item in report.inserted if item.kind == "mixing"]
    assert tuple(dict.fromkeys(item.site for item in filters)) == filtered
    if way is put_in:
        assert filtered == network.filtered
        assert len(mixing) == network.mixing
    else:  # what the paper's place leaves, like the pooling of a ResNet's stem, can be filtered
        assert set(network.filtered) <= set(filtered)
        assert not mixing
    names = list(net.state_dict())
    assert [key for key in mended.state_dict() if "frequency_mixing" not in key] == names

    # A cutoff of 0.5 keeps every frequency, and mixing starts as the identity.
    same, _ = way(net, example, cutoff=0.5)
    with torch.no_grad():
        expected, result = outputs(net(example)), outputs(same(example))
    assert len(expected) == len(result) > 0
    for a, b in zip(expected, result, strict=True):
        torch.testing.assert_close(a, b)

    sum(t.float().sum() for t in outputs(mended(example)) if t.requires_grad).backward()
    modules = [m for m in mended.modules() if isinstance(m, FrequencyMixing)]
    assert len(modules) == len(mixing)
    assert all(p.grad is not None for m in modules for p in m.parameters())

    part = mended.get_submodule(network.part)
    compiled = torch.compile(part, backend="eager", fullgraph=True)
    with torch.no_grad():
        for a, b in zip(outputs(part(IMAGES)), outputs(compiled(IMAGES)), strict=True):
            torch.testing.assert_close(a, b)


# The number of filters, and the modules that run at stride 1.
AFTER = {
    "torchvision resnet18": (7, {"maxpool", *(f"layer{i}.0.conv1" for i in (2, 3, 4))}),
    "torchvision mobilenet_v2": (4, {f"features.{i}.conv.1.0" for i in (2, 4, 7, 14)}),
    "torchvision mobilenet_v3_small": (
        4,
        {"features.1.block.0.0", *(f"features.{i}.block.1.0" for i in (2, 4, 9))},
    ),
    "torchvision vgg11_bn": (5, {f"features.{i}" for i in (3, 7, 14, 21, 28)}),
    "torchvision regnet_y_400mf": (
        8,
        {f"trunk_output.block{i}.block{i}-0.f.b.0" for i in (1, 2, 3, 4)},
    ),
    "timm test_resnet": (
        7,
        {"maxpool", "layer2.0.conv1", "layer3.0.conv2", "layer4.0.conv1"},
    ),
    "timm resnet18d": (7, {"maxpool", *(f"layer{i}.0.conv1" for i in (2, 3, 4))}),
    "timm resnetaa50": (7, set()),  # pools by averaging, after the activation already
    "timm tf_efficientnet_lite0": (4, {f"blocks.{i}.0.conv_dw" for i in (1, 2, 3, 5)}),
    "timm mobilenetv3_small_050": (4, {f"blocks.{i}.0.conv_dw" for i in (0, 1, 2, 4)}),
    "timm densenet121": (4, {"features.pool0"}),
    "timm mobilevit_xxs": (4, {f"stages.{i}.0.conv2_kxk.conv" for i in (1, 2, 3, 4)}),
    "smp Unet": (
        7,
        {"encoder.maxpool", *(f"encoder.layer{i}.0.conv1" for i in (2, 3, 4))},
    ),
}


@pytest.mark.parametrize("name", AFTER)
def test_filters_after_the_activation_start_at_the_plain_network(name):
    library, network = name.split()
    net = {"torchvision": torchvision, "timm": timm, "smp": smp}[library](network).eval()
    options = {"place": "after", "filter": "blur"}
    mended, report = dealias.dealias(net, IMAGES, strength=0.0, **options)
    filters, dense = AFTER[name]
    assert len(report.inserted) == filters
    assert {item.step for item in report.inserted if item.step} == dense
    sizes = [(96, 128)] if library == "smp" or network == "resnetaa50" else [(97, 131), (114, 118)]
    for size in sizes:
        images = torch.rand(1, 3, *size)
        with torch.no_grad():
            torch.testing.assert_close(mended(images), net(images), rtol=1e-4, atol=1e-5)
    state = net.state_dict()
    mended.load_state_dict(state)
    assert dealias.restore(mended).state_dict().keys() == state.keys()


def test_the_units_of_inverted_bottlenecks():
    blocks = {
        "torchvision shufflenet_v2_x0_5": ("stage2.0", "stage3.0", "stage4.0"),
        "torchvision mobilenet_v2": tuple(f"features.{i}.conv" for i in (2, 4, 7, 14)),
        "timm mobilevit_xxs": tuple(f"stages.{i}.0" for i in (1, 2, 3, 4)),
        "timm regnetx_002": tuple(f"s{i}.b1" for i in (1, 2, 3, 4)),
    }
    for name, expected in blocks.items():
        library, network = name.split()
        net = {"torchvision": torchvision, "timm": timm}[library](network)
        plan = find_downsampling(net, IMAGES, place="before", unit="block")
        assert set(expected) <= set(plan.names), name
        rates = [s.nyquist if isinstance(s.nyquist, tuple) else (s.nyquist,) for s in plan]
        assert all(min(r) >= 0.5 / max(s.stride) for r, s in zip(rates, plan, strict=True)), name
        steps = find_downsampling(net, IMAGES, place="before", unit="step")
        assert {s.step for s in steps} == {s.step for s in plan}, name


def torchvision_swin() -> nn.Module:
    swin = pytest.importorskip("torchvision").models.swin_transformer.SwinTransformer
    return swin([4, 4], 24, [1, 1, 1], [2, 2, 2], [4, 4])


def transformers_swin() -> nn.Module:
    transformers = pytest.importorskip("transformers")
    options = {"embed_dim": 24, "depths": [1, 1, 1], "num_heads": [2, 2, 2], "window_size": 4}
    return transformers.SwinModel(transformers.SwinConfig(image_size=120, **options))


@pytest.mark.parametrize("build", [torchvision_swin, transformers_swin])
@pytest.mark.parametrize("size", [(128, 128), (120, 120), (136, 120)])
def test_patch_merging_has_a_site_where_maps_are_odd(build, size):
    net, images = build().eval(), torch.rand(1, 3, *size)
    mended, report = dealias.dealias(net, images)
    *_, last = find_downsampling(net, images)
    assert (last.kind, last.in_channels, last.out_channels) == ("patch_merging", 48, 96)
    assert last.input_size == (size[0] // 8, size[1] // 8)
    assert (last.filtered, round(last.nyquist, 3)) == ("before", 0.354)
    assert last.name in {item.site for item in report.inserted}
    with torch.no_grad():
        assert [o.shape for o in outputs(mended(images))] == [o.shape for o in outputs(net(images))]


FAST = {"timm tf_efficientnet_lite0", "transformers SegFormer", "smp Unet", "smp UPerNet"}


@pytest.mark.parametrize(
    "name",
    [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in NETWORKS],
)
def test_a_mended_network_is_exported_with_a_dynamic_batch(name):
    network = NETWORKS[name]
    mended, _ = dealias.dealias(network.build().eval(), network.example)
    part = mended.get_submodule(network.part)
    batch = {0: torch.export.Dim("batch", min=1, max=8)}
    program = torch.export.export(part, (IMAGES,), dynamic_shapes=(batch,), strict=False)
    more = torch.cat([IMAGES, IMAGES[:1]])
    with torch.no_grad():
        expected, result = outputs(part(more)), outputs(program.module()(more))
    for a, b in zip(expected, result, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["torchvision resnet50", "transformers SegFormer"])
def test_a_mended_network_runs_in_onnx_runtime(name, tmp_path):
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    mended, _ = dealias.dealias(NETWORKS[name].build().eval(), IMAGES)
    path = tmp_path / "network.onnx"
    free = dict.fromkeys((0, 2, 3), torch.export.Dim.AUTO)
    program = torch.onnx.export(mended, (IMAGES,), dynamo=True, dynamic_shapes=(free,))
    program.save(path)
    session = onnxruntime.InferenceSession(path)
    for more in (torch.cat([IMAGES, IMAGES[:1]]), IMAGES.mT, IMAGES[..., :64]):
        images = more.contiguous()
        (result,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
        with torch.no_grad():
            (expected,) = outputs(mended(images))
        torch.testing.assert_close(torch.from_numpy(result), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_a_mended_network_is_compiled_by_inductor():
    mended, _ = dealias.dealias(NETWORKS["smp Unet"].build().eval(), IMAGES)
    with torch.no_grad():
        result = torch.compile(mended, fullgraph=True)(IMAGES)
        torch.testing.assert_close(result, mended(IMAGES), rtol=1e-4, atol=1e-4)
