"""What a network gives, in training and after, on images of any size."""

import copy

import pytest
import torch
from torch import nn

from dealias.models import ModelError, create_model, sync_batch_norm
from dealias.surgery import check_inserted, restore

pytest.importorskip("timm")

VOID = 255


def small(**options):
    return create_model("upernet", **{"num_classes": 5, "backbone": "test_resnet", **options})


def labels(*shape):
    target = torch.randint(0, 5, shape, dtype=torch.uint8)
    target[..., :3] = VOID
    return target


@pytest.mark.parametrize(
    ("backbone", "size"),
    [
        ("test_resnet", (64, 96)),
        ("test_resnet", (33, 127)),
        ("tf_efficientnet_lite0", (65, 97)),
        ("swin_tiny", (65, 97)),
        ("swin_tiny", (224, 32)),
        ("convnext_tiny", (65, 97)),
        ("resnet50c", (65, 97)),
        ("resnet101c", (65, 97)),
    ],
)
def test_logits_are_of_the_size_of_the_images(backbone, size):
    model = small(backbone=backbone, channels=16, aux_channels=16).eval()
    with torch.no_grad():
        scores = model(torch.randn(1, 3, *size))
    assert {name: v.shape for name, v in scores.items()} == {"out": (1, 5, *size)}
    assert scores["out"].isfinite().all()


def test_images_may_be_as_small_as_a_stride():
    assert small().eval()(torch.randn(1, 3, 32, 32))["out"].shape == (1, 5, 32, 32)


def test_stages_are_at_strides_4_to_32():
    maps = small().features(torch.zeros(1, 3, 64, 128))
    assert [tuple(m.shape) for m in maps] == [
        (1, channels, 64 // stride, 128 // stride)
        for channels, stride in ((32, 4), (48, 8), (192, 16), (96, 32))
    ]


def test_maps_with_the_channels_last_are_turned():
    maps = small(backbone="swin_tiny").features(torch.zeros(1, 3, 64, 96))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (96, 16, 24), (192, 8, 12), (384, 4, 6), (768, 2, 3)
    ]  # fmt: skip


def test_the_loss_is_the_mean_over_pixels_that_are_not_void():
    model, images, target = small(dropout=0.0), torch.randn(2, 3, 64, 96), labels(2, 64, 96)
    terms = model.loss(images, target, ignore_index=VOID)
    scores = model(images)
    where = target != VOID
    for term, name, weight in (("decode", "out", 1.0), ("aux", "aux", 0.4)):
        picked = scores[name].permute(0, 2, 3, 1)[where].log_softmax(-1)
        mean = -picked[torch.arange(len(picked)), target[where].long()].mean()
        torch.testing.assert_close(terms[term], weight * mean)
    assert list(terms) == ["decode", "aux"]


@pytest.mark.parametrize("options", [{}, {"dealias": {}}])
def test_every_parameter_gets_a_gradient(options):
    model = small(backbone="tf_efficientnet_lite0", channels=16, **options)
    terms = model.loss(torch.randn(2, 3, 64, 64), labels(2, 64, 64), ignore_index=VOID)
    sum(terms.values()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_nothing_but_void_gives_a_loss_of_0_and_gradients_of_0():
    model = small()
    target = torch.full((2, 64, 64), VOID)
    total = sum(model.loss(torch.randn(2, 3, 64, 64), target, ignore_index=VOID).values())
    total.backward()
    assert total == 0
    assert all(p.grad.abs().max() == 0 for p in model.parameters())


def test_evaluation_and_no_auxiliary_head_leave_it_out():
    images, target = torch.randn(2, 3, 64, 64), labels(2, 64, 64)
    plain = small(aux_head=False)
    assert list(plain.loss(images, target, ignore_index=VOID)) == ["decode"]
    assert not any(name.startswith("aux_head") for name in plain.state_dict())
    assert list(small().eval().loss(images, target, ignore_index=VOID)) == ["decode"]


def test_a_single_image_trains_with_running_statistics_where_it_is_pooled_to_a_pixel():
    model = small(dropout=0.0)
    block = model.decode_head.pooled[0][1]
    before = copy.deepcopy(block.norm.state_dict())
    x = torch.randn(1, 96, 2, 3)
    pooled = model.decode_head.pooled[0](x)
    assert all(torch.equal(v, before[k]) for k, v in block.norm.state_dict().items())
    torch.testing.assert_close(pooled, model.eval().decode_head.pooled[0](x))
    model.train().loss(torch.randn(1, 3, 64, 96), labels(1, 64, 96), ignore_index=VOID)
    block(x)  # more values a channel than one
    assert not torch.equal(block.norm.running_mean, before["running_mean"])


@pytest.mark.parametrize("backbone", ["test_resnet", "tf_efficientnet_lite0", "convnext_atto"])
def test_a_single_image_trains(backbone):
    model = small(backbone=backbone, channels=16, aux_channels=16, dealias={})
    terms = model.loss(torch.randn(1, 3, 64, 96), labels(1, 64, 96), ignore_index=VOID)
    sum(terms.values()).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_it_runs_and_trains_in_bfloat16():
    model = small(channels=16, aux_channels=16, dealias={})
    images, target = torch.randn(2, 3, 64, 96), labels(2, 64, 96)
    with torch.autocast("cpu", torch.bfloat16):
        terms = model.loss(images, target, ignore_index=VOID)
    assert {term.dtype for term in terms.values()} == {torch.float32}
    sum(terms.values()).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    expected = model.eval()(images)["out"]
    with torch.autocast("cpu", torch.bfloat16):
        scores = model(images)["out"]
    assert scores.dtype == torch.bfloat16
    assert (scores - expected).abs().max() < 0.05 * expected.abs().max()


def test_dealiasing_goes_into_the_backbone_and_is_reported():
    model = small(dealias={"cutoff": 0.3})
    inserted = model.dealias_report.inserted
    assert {i.site: (i.kind, i.cutoff) for i in inserted} == dict.fromkeys(
        ("maxpool", "layer2.0", "layer3.0", "layer4.0"), ("daf", 0.3)
    )
    assert list(model.state_dict()) == list(small().state_dict())
    assert small().dealias_report is None


def test_dealiasing_leaves_the_stages_as_they_are_and_filters_the_next_ones_input():
    torch.manual_seed(0)
    plain = small().eval()
    filtered = small(dealias={"mixing": False, "sites": ["layer4.0"]}).eval()
    filtered.load_state_dict(plain.state_dict())
    x = torch.randn(1, 3, 64, 96)
    same = [torch.equal(a, b) for a, b in zip(plain.features(x), filtered.features(x), strict=True)]
    assert same == [True, True, True, False]


def test_cutoffs_of_a_file_may_be_lists():
    model = small(dealias={"cutoff": {"layer2.0": [0.2, 0.3]}})
    cutoffs = {i.site: i.cutoff for i in model.dealias_report.inserted}
    assert cutoffs["layer2.0"] == (0.2, 0.3)
    kept = model.config["dealias"]["cutoff"]
    assert kept == {"maxpool": 0.25, "layer2.0": [0.2, 0.3], "layer3.0": 0.25, "layer4.0": 0.25}


def test_the_config_builds_the_network_anew():
    model = small(dealias={}, channels=24, aux_head=False, mean=(0.1, 0.2, 0.3))
    again = create_model(**model.config)
    shapes = {k: v.shape for k, v in model.state_dict().items()}
    assert {k: v.shape for k, v in again.state_dict().items()} == shapes
    assert again.config == model.config
    assert again.mean == (0.1, 0.2, 0.3)
    assert again.std == model.std == (0.5, 0.5, 0.5)


def test_images_are_normalised_as_imagenet_where_the_backbone_does_not_say_otherwise():
    assert small(backbone="resnet18").mean == (0.485, 0.456, 0.406)


@pytest.mark.slow
@pytest.mark.parametrize("training", [False, True])
def test_it_is_compiled_whole(training):
    model = small(dealias={}, channels=16, dropout=0.0).train(training)
    other = torch.compile(copy.deepcopy(model), fullgraph=True, backend="eager")
    x = torch.randn(2, 3, 64, 96)
    actual, expected = other(x), model(x)
    assert list(actual) == list(expected) == (["out", "aux"] if training else ["out"])
    for name, logits in actual.items():
        torch.testing.assert_close(logits, expected[name])


@pytest.mark.slow
def test_it_is_exported_for_any_number_of_images():
    model = small(dealias={}, channels=16).eval()
    any_number = {"images": {0: torch.export.Dim("batch")}}
    exported = torch.export.export(
        model, (torch.randn(2, 3, 64, 96),), dynamic_shapes=any_number
    ).module()
    for count in (1, 3):
        x = torch.randn(count, 3, 64, 96)
        torch.testing.assert_close(exported(x)["out"], model(x)["out"])


def test_synchronised_batch_norm_keeps_the_activations_of_timm():
    model = small(backbone="tf_efficientnet_lite0", channels=16, dealias={}).eval()
    converted = sync_batch_norm(copy.deepcopy(model)).eval()
    assert any(isinstance(m, nn.SyncBatchNorm) for m in converted.modules())
    assert not any(type(m) is nn.BatchNorm2d for m in converted.modules())
    x = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(converted(x)["out"], model(x)["out"])
    check_inserted(converted, example_input=x)
    restored, plain = (
        restore(converted.backbone),
        small(backbone="tf_efficientnet_lite0", channels=16).eval(),
    )
    plain.load_state_dict(converted.state_dict())
    torch.testing.assert_close(converted(x)["out"], plain(x)["out"])
    assert restored is converted.backbone


def test_synchronised_batch_norm_of_one_process_trains_on_single_images_too():
    model = sync_batch_norm(small(channels=16, aux_channels=16))
    terms = model.loss(torch.randn(1, 3, 64, 96), labels(1, 64, 96), ignore_index=VOID)
    assert all(term.isfinite() for term in terms.values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "unet"}, "name: expected 'upernet', .*, got 'unet'"),
        ({"num_classes": 0}, "num_classes: expected a positive integer, got 0"),
        ({"channels": 12.5}, "channels: expected a positive integer, got 12.5"),
        ({"dropout": 1.0}, r"dropout: expected a share in \[0, 1\), got 1.0"),
        ({"dropout": "much"}, r"dropout: expected a share in \[0, 1\), got 'much'"),
        ({"backbone_options": [1]}, r"backbone_options: expected a mapping, got \[1\]"),
        ({"dealias": True}, "dealias: expected a mapping, got True"),
        (
            {"mean": (0.5,)},
            r"mean: expected three finite numbers, one for each of R, G and B, got \(0.5,\)",
        ),
        ({"mean": 3}, "mean: expected three finite numbers, .*, got 3"),
        ({"mean": (0.1, "a", 0.2)}, "mean: expected three finite numbers"),
        ({"mean": (0.1, True, 0.2)}, "mean: expected three finite numbers"),
        ({"mean": (0.1, float("inf"), 0.2)}, "mean: expected three finite numbers"),
        ({"std": (0.1, float("nan"), 0.2)}, "std: expected three positive finite numbers"),
        ({"std": (0.1, 0.0, 0.2)}, "std: expected three positive finite numbers"),
        ({"std": (0.1, -0.2, 0.2)}, "std: expected three positive finite numbers"),
        ({"options": {"depths": [1]}}, "options: is not for 'upernet', which takes backbone"),
        (
            {"backbone": "resnet50z"},
            "backbone 'resnet50z': timm has no such.*similar names: resnet",
        ),
        ({"backbone": "hf_hub:some/where"}, "backbone 'hf_hub:some/where': timm has no such"),
        ({"backbone": "vit_tiny_patch16_224"}, "features at strides 4, 8, 16 and 32, got 16, 16"),
        ({"backbone_options": {"colour": 1}}, "backbone 'test_resnet': TypeError: .*colour"),
        ({"backbone_options": {"pretrained": True}}, "backbone_options: pretrained can't be given"),
        ({"dealias": {"cutof": 0.3}}, "dealias: expected options among cutoff, .*, got 'cutof'"),
        ({"dealias": {"sites": ["layer9"]}}, "sites: no site 'layer9'"),
    ],
)
def test_what_can_not_be_built_is_an_error(options, message):
    given = {"name": "upernet", "num_classes": 5, "backbone": "test_resnet", **options}
    with pytest.raises(ValueError, match=message) as caught:
        create_model(**given)
    assert "dealias" in options or isinstance(caught.value, ModelError)
