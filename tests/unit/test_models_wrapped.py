"""Networks of other libraries, and of one's own."""

import io
import json

import onnxruntime
import pytest
import torch
from torch import nn

from dealias.layers import DealiasingFilter
from dealias.models import ModelError, WeightsError, create_model, load, save
from own_networks import Parts, UNet

LIBRARIES = {
    "smp:Unet": {"options": {"encoder_name": "resnet18"}},
    "smp:DeepLabV3Plus": {"options": {"encoder_name": "mobilenet_v2"}},
    "torchvision:lraspp_mobilenet_v3_large": {},
    "torchvision:deeplabv3_resnet50": {},
    "timm:test_resnet": {},
}


def own(name="UNet", **options):
    given = {"num_classes": 5, "class_path": f"own_networks.{name}", **options}
    return create_model(**given)


def refused(message, **options):
    with pytest.raises(ModelError, match=message) as caught:
        create_model(**{"num_classes": 5, **options})
    assert "\n" not in str(caught.value)


@pytest.fixture
def images():
    return torch.randn(2, 3, 45, 67)


class TestLibraries:
    @pytest.mark.parametrize("name", LIBRARIES)
    def test_scores_are_of_the_size_of_the_images(self, name, images):
        model = create_model(name, num_classes=5, **LIBRARIES[name])
        assert model.training
        scores = model.eval()(images)
        assert {k: v.shape for k, v in scores.items()} == {"out": (2, 5, 45, 67)}

    @pytest.mark.parametrize("name", LIBRARIES)
    def test_filters_go_into_the_backbone_and_are_saved(self, name, images, tmp_path):
        plain = create_model(name, num_classes=5, **LIBRARIES[name])
        model = create_model(name, num_classes=5, dealias={}, **LIBRARIES[name])
        model.load_state_dict(plain.state_dict())
        kinds = [type(module) for module in model.backbone.modules()]
        assert DealiasingFilter in kinds
        scores = model.eval()(images)["out"]
        assert not torch.allclose(scores, plain.eval()(images)["out"])
        save(model, tmp_path / "saved")
        again = load(tmp_path / "saved")
        assert torch.equal(again(images)["out"], scores)
        assert again.config == model.config

    def test_images_of_its_own_sizes_are_taken_as_they_are(self):
        model = create_model("smp:Unet", num_classes=5, options={"encoder_name": "resnet18"})
        images = torch.randn(1, 3, 64, 96)
        model.eval()
        assert torch.equal(model(images)["out"], model.network(images))

    def test_auxiliary_scores_count_in_training_alone(self, images):
        name, options = "torchvision:deeplabv3_resnet50", {"aux_loss": True}
        model = create_model(name, num_classes=5, options=options)
        target = torch.randint(0, 5, (2, 45, 67))
        terms = model.loss(images, target, ignore_index=255)
        assert set(terms) == {"decode", "aux"}
        aux = nn.functional.cross_entropy(model(images)["aux"], target)
        torch.testing.assert_close(terms["aux"], 0.4 * aux, rtol=0.05, atol=0.05)  # dropout
        assert set(model.eval()(images)) == {"out"}

    def test_weights_of_a_backbone(self, tmp_path):
        options = {"encoder_name": "resnet18"}
        encoder = create_model("smp:Unet", num_classes=3, options=options).backbone
        state = {f"module.{k}": v for k, v in encoder.state_dict().items()}
        state |= {"module.fc.weight": torch.zeros(1000, 512), "module.fc.bias": torch.zeros(1000)}
        torch.save(state, tmp_path / "resnet18.pth")
        given = {"num_classes": 5, "options": options}
        model = create_model("smp:Unet", backbone_weights=tmp_path / "resnet18.pth", **given)
        for name, value in model.backbone.state_dict().items():
            assert torch.equal(value, encoder.state_dict()[name])
        with pytest.raises(WeightsError, match=r"backbone_weights: .*nowhere\.pth: no such file"):
            create_model("smp:Unet", backbone_weights=tmp_path / "nowhere.pth", **given)
        torch.save({k: v for k, v in state.items() if "layer3" not in k}, tmp_path / "half.pth")
        with pytest.raises(WeightsError, match=r"not the weights of this backbone: .* missing"):
            create_model("smp:Unet", backbone_weights=tmp_path / "half.pth", **given)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"name": "smp:Unett"}, "name: expected smp: and one of DPT.*, got 'Unett'"),
            ({"name": "torchvision:deeplab"}, "name: expected torchvision: and one of deeplabv3"),
            ({"name": "torchvision:resnet50"}, "name: expected torchvision: and one of fcn_res"),
            ({"name": "timm:resnet50z"}, "backbone 'resnet50z': timm has no such network"),
            ({"name": "smp:"}, "name: expected 'upernet', 'smp:...'"),
            ({"name": "upernet:x"}, "name: expected 'upernet', 'smp:...'"),
            ({"name": "class_path:x"}, "name: expected 'upernet', 'smp:...'"),
            ({"name": None}, "name: expected 'upernet', 'smp:...', .*, got None"),
            ({"name": "mine.nets:UNet"}, "of your own is named by class_path: mine.nets.UNet"),
            (
                {"name": "smp:Unet", "options": {"encoder_weights": "imagenet"}},
                "options.encoder_weights: expected null: nothing is downloaded",
            ),
            (
                {"name": "torchvision:fcn_resnet50", "options": {"weights": "DEFAULT"}},
                "options.weights: expected null: nothing is downloaded",
            ),
            ({"name": "smp:Unet", "options": {"classes": 4}}, "options.classes: expected none"),
            (
                {"name": "smp:Unet", "options": {"activation": "softmax"}},
                "options.activation: expected none: scores are taken as they are",
            ),
            (
                {"name": "smp:Unet", "options": {"width": 3}},
                "options: no such argument of Unet: width; there",
            ),
            (
                {"name": "smp:Unet", "options": {"encoder_name": "tu-hf-hub:timm/resnet18"}},
                "options.encoder_name: timm has no such network, got 'tu-hf-hub:timm/resnet18'",
            ),
            (
                {"name": "smp:Unet", "options": {"encoder_name": "tu-resnet18", "pretrained": 1}},
                "options: pretrained can't be given",
            ),
            ({"name": "smp:Unet", "channels": 64}, "channels: is not for 'smp:Unet', which takes"),
            ({"name": "timm:test_resnet", "size_divisor": 2}, "size_divisor: is not for 'timm:"),
            ({"name": "upernet", "init_args": {"a": 1}}, "init_args: is not for 'upernet'"),
            ({"name": "smp:Unet", "backbone": "body"}, "backbone: .* such as encoder or decoder"),
            ({"name": "smp:Unet", "size_divisor": 0}, "size_divisor: expected a positive integer"),
            ({"name": "smp:DPT"}, "name 'smp:DPT': .*Input height"),
        ],
    )
    def test_what_is_refused(self, options, message):
        refused(message, **options)


class TestOwn:
    def test_the_number_of_classes_is_given_by_any_of_its_names(self):
        assert own().network.head.out_channels == 5
        assert own("Parts", init_args={"name": "out"}).network.head.out_channels == 5
        assert own("make_unet").network.head.out_channels == 5
        assert own(init_args={"num_classes": 5}).network.head.out_channels == 5
        assert own("Fixed", num_classes=4).network.head.out_channels == 4

    def test_the_network_is_the_backbone_unless_a_part_is(self):
        model = own()
        assert model.backbone is model.network
        model = own(backbone="encoder")
        assert model.backbone is model.network.encoder

    def test_scores_are_those_of_the_network(self, images):
        model = own(size_divisor=2).eval()
        images = images[..., :44, :66]
        assert torch.equal(model(images)["out"], model.network(images))

    def test_images_of_other_sizes_are_continued_by_their_last_pixels(self, images):
        with pytest.raises(ModelError, match=r"network: for images \[2, 3, 45, 67\]: .*size_div"):
            own()(images)
        model = own(size_divisor=4).eval()
        right = images[..., -1:].expand(-1, -1, -1, 1)
        whole = torch.cat([images, right], 3)
        whole = torch.cat([whole, whole[..., -1:, :].expand(-1, -1, 3, -1)], 2)
        expected = model.network(whole)[..., :45, :67]
        assert torch.equal(model(images)["out"], expected)

    @pytest.mark.parametrize("name", ["out", "logits"])
    def test_scores_by_name(self, name, images):
        model = own("Parts", init_args={"name": name})
        scores = model(images)
        assert torch.equal(scores["out"], model.network(images)[name])
        assert scores["aux"].shape == (2, 5, 45, 67)

    def test_logits_may_be_smaller(self, images):
        model = own("Parts", init_args={"name": "logits", "step": 4})
        found = nn.functional.interpolate(
            model.network(images)["logits"], size=(45, 67), mode="bilinear", align_corners=False
        )
        assert torch.equal(model(images)["out"], found)

    def test_filters_and_the_class_are_saved(self, images, tmp_path):
        model = own(size_divisor=4, dealias={}, init_args={"width": 6}).eval()
        assert [item.site for item in model.dealias_report.inserted] == ["down.0"]
        save(model, tmp_path / "saved")
        content = json.loads((tmp_path / "saved" / "config.json").read_text())
        assert content["network"]["class_path"] == "own_networks.UNet"
        assert content["network"]["init_args"] == {"width": 6}
        with pytest.raises(ModelError, match=r"own_networks.UNet, a class to import.*--trust"):
            load(tmp_path / "saved")
        again = load(tmp_path / "saved", trust=True)
        assert torch.equal(again(images)["out"], model(images)["out"])

    def test_a_backbone_that_takes_multiples_alone_is_tried_out_with_one(self):
        assert own("Sixfold", size_divisor=64, dealias={}).dealias_report.inserted

    def test_parts_that_are_frozen_stay_so(self):
        assert not own("Frozen").network.encoder.training
        assert own("Frozen").network.down.training

    def test_one_image_may_be_too_few(self):
        model = own("Pooled")
        images, target = torch.randn(1, 3, 8, 8), torch.zeros(1, 8, 8, dtype=torch.long)
        with pytest.raises(ModelError, match=r"expected two or more, since 'own_networks.Pooled'"):
            model.loss(images, target, ignore_index=255)

    @pytest.mark.filterwarnings("ignore")
    def test_export_to_onnx_with_free_sizes(self, images):
        model = own(size_divisor=4, dealias={}).eval()
        file = io.BytesIO()
        axes = {"images": {0: "batch", 2: "height", 3: "width"}}

        class Scores(nn.Module):
            def __init__(self):
                super().__init__()
                self.model = model

            def forward(self, images):
                return self.model(images)["out"]

        torch.onnx.export(
            Scores().eval(),
            (torch.randn(1, 3, 32, 48),),
            file,
            input_names=["images"],
            dynamic_axes=axes,
            dynamo=False,
        )
        session = onnxruntime.InferenceSession(file.getvalue())
        (found,) = session.run(None, {"images": images.numpy()})
        torch.testing.assert_close(
            torch.from_numpy(found), model(images)["out"], rtol=1e-3, atol=1e-4
        )

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"class_path": "no_such.Net"}, "class_path: no_such.Net: No module named 'no_such'"),
            ({"class_path": "own_networks.Net"}, "class_path: own_networks.Net: own_networks has"),
            ({"name": "upernet"}, "class_path: expected it or a name, got both"),
            (
                {"init_args": {"wdth": 3}},
                "class_path: own_networks.UNet: .*no such argument 'wdth'",
            ),
            ({"init_args": {"width": "x"}}, "class_path: .*init_args.width: expected int, got x"),
            ({"init_args": {"num_classes": 4}}, "init_args.num_classes: expected 5, as the data"),
            ({"init_args": 3}, "init_args: expected a mapping, got 3"),
            (
                {"backbone": "body"},
                "backbone: expected the name of a part .*encoder or down or head",
            ),
            (
                {"options": {"a": 1}},
                "options: is not for 'own_networks.UNet', which takes init_args",
            ),
            (
                {"class_path": "own_networks.Fixed"},
                r"class_path: network: expected scores \[2, 5, 128, 160\] of 5 classes for images "
                r"\[2, 3, 128, 160\], got torch.float32 \[2, 4, 128, 160\]",
            ),
            (
                {"class_path": "own_networks.Parts", "init_args": {"name": "out", "step": 2}},
                r"class_path: network: expected scores \[2, 5, 128, 160\] .* \[2, 5, 64, 80\]",
            ),
            (
                {"class_path": "own_networks.Parts", "init_args": {"name": "scores"}},
                "expected scores .*, or a mapping with 'out' or 'logits', got dict of scores, aux",
            ),
            ({"class_path": "own_networks.Listed"}, "with 'out' or 'logits', got list"),
            ({"class_path": "own_networks.Failing"}, "class_path: network: .*KeyError: 'stage'"),
            ({"class_path": "own_networks.make_nothing"}, "expected a module, got str"),
        ],
    )
    def test_what_is_refused(self, options, message):
        refused(message, **{"class_path": "own_networks.UNet", **options})

    def test_a_network_in_training_may_be_asked_for_scores(self):
        model = UNet(3)
        before = {k: v.clone() for k, v in model.state_dict().items()}
        own(num_classes=3)
        assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
        created = own()  # was tried out
        assert all(module.training for module in created.modules())
        assert created.network.encoder[1].num_batches_tracked == 0
        assert isinstance(Parts(2, "out"), nn.Module)
