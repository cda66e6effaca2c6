"""UPerNet with samples that images choose: agreement of exactly 1, and what it is otherwise."""

import pytest
import torch
from torch import Tensor, nn

import dealias
from circular import circular, labels_agree, varied
from dealias.layers import collect_offsets
from dealias.metrics import ShiftAgreement
from dealias.models import ModelError, create_model, load, save
from dealias.probe import LoadedNetwork, measure_shifts
from dealias.surgery import find_downsampling, restore

pytest.importorskip("timm")

X = torch.randn(2, 3, 96, 128, generator=torch.Generator().manual_seed(0))
CHOSEN = ["adaptive", "learned"]


def make(sampling="adaptive", backbone="test_resnet", **options):
    torch.manual_seed(0)
    options = {"sampling": sampling, **options}
    if options.get("filter", "daf") == "daf":
        options = {"filter_options": {"border": "wrap"}, **options}
    model = create_model(
        "upernet", num_classes=5, backbone=backbone, channels=8, aux_channels=8, dealias=options
    )
    return with_classes(circular(varied(model)).eval())


@torch.no_grad()
def with_classes(model):
    """Let every class win somewhere."""
    classifier = model.decode_head.classifier[1]
    nn.init.normal_(classifier.weight)
    classifier.bias -= model(X)["out"].mean((0, 2, 3))
    return model


def scores(model):
    return lambda x: model(x)["out"]


@pytest.mark.parametrize("options", [{}, {"filter": None}, {"place": "before"}], ids=str)
@pytest.mark.parametrize("sampling", CHOSEN)
def test_labels_are_the_same_under_every_circular_shift(sampling, options):
    model = make(sampling, **options).double()
    assert labels_agree(scores(model), X.double())
    agreement = ShiftAgreement(num_classes=5, circular=True)
    for offset in ((1, 1), (13, -21)):
        moved = X.double().roll((-offset[0], -offset[1]), (2, 3))
        with torch.no_grad():
            agreement.update(model(X.double())["out"], model(moved)["out"], offset)
    assert agreement.compute()["agreement"] == 1


def test_labels_are_not_the_same_of_the_regular_samples():
    model = make("regular").double()
    assert not labels_agree(scores(model), X.double())
    # Nor where the heads are the only part that does not put the samples back.
    model = make().double()
    model.backbone.register_forward_hook(without_offsets)
    assert not labels_agree(lambda x: model.decode_head(model.features(x)), X.double())


def without_offsets(_: nn.Module, args: tuple[Tensor, ...], maps: list[Tensor]) -> list[Tensor]:
    return maps


def test_the_scores_of_a_patch_embedding_move_with_the_image_too():
    model = make("adaptive", "convnext_atto").double()
    assert labels_agree(scores(model), X.double(), shifts=2)


def test_with_zero_padding_the_scores_agree_away_from_the_borders():
    torch.manual_seed(0)
    options = {"sampling": "adaptive", "filter": None}
    model = create_model(
        "upernet", num_classes=5, backbone="test_resnet", channels=8, dealias=options
    )
    model = varied(model).eval().double()
    x = torch.zeros(1, 3, 512, 512, dtype=torch.float64)
    x[..., 240:272, 240:272] = X[:1, :, :32, :32]
    with torch.no_grad():
        found = model.features(x)[0]
        moved = model.features(x.roll((8, 16), (2, 3)))[0]
    inner = slice(40, 88)
    torch.testing.assert_close(
        moved.roll((-2, -4), (2, 3))[..., inner, inner], found[..., inner, inner]
    )


def test_regular_networks_are_what_they_were():
    """The heads take the regular path if no image chose, even inside a collection."""
    model = make("regular")
    with torch.no_grad(), collect_offsets():
        features = model.features(X)
        assert torch.equal(model.decode_head(features), model.decode_head(features, None))


def test_the_phases_of_an_image_do_not_depend_on_the_others():
    model = make().double()
    x = X.double()
    with torch.no_grad():
        together = model(x)["out"]
        for i in range(2):
            torch.testing.assert_close(model(x[i : i + 1])["out"], together[i : i + 1])


@pytest.mark.parametrize("size", [(100, 133), (64, 64), (65, 97)])
def test_images_of_any_size(size):
    x = torch.randn(2, 3, *size)
    for sampling in CHOSEN:
        model = make(sampling)
        assert model(x)["out"].shape == (2, 5, *size)
        assert model.train()(x)["aux"].shape == (2, 5, *size)


@pytest.mark.parametrize("sampling", CHOSEN)
def test_the_loss_reaches_every_weight(sampling):
    model = make(sampling).train()
    target = torch.randint(5, (2, 96, 128), generator=torch.Generator().manual_seed(0))
    sum(model.loss(X, target, ignore_index=255).values()).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert not without
    choosers = [p for name, p in model.named_parameters() if "dealias_phase" in name]
    assert bool(choosers) == (sampling == "learned")
    assert all(p.grad.abs().max() > 0 for p in choosers)


@pytest.mark.parametrize("sampling", CHOSEN)
def test_a_saved_network_chooses_alike(sampling, tmp_path):
    model = make(sampling)
    save(model, tmp_path / "saved")
    other = circular(load(tmp_path / "saved"))
    assert other.config == model.config
    assert other.config["dealias"]["sampling"] == sampling
    with torch.no_grad():
        assert torch.equal(other(X)["out"], model(X)["out"])


def test_restored_backbones_take_regular_samples():
    model = make(filter=None)
    restore(model.backbone)
    plain = make("regular", sites=["layer2.0"])
    restore(plain.backbone)
    plain.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert torch.equal(model(X)["out"], plain(X)["out"])


def test_networks_whose_heads_do_not_put_samples_back_are_refused():
    pytest.importorskip("transformers")
    with pytest.raises(ModelError, match="sampling: expected 'regular' for") as caught:
        create_model("hf:segformer", num_classes=5, dealias={"sampling": "adaptive"})
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="sampling: expected one of regular, adaptive, learned"):
        make("adaptiv")
    whole = create_model("upernet", num_classes=5, backbone="test_resnet", channels=8)
    with pytest.raises(ValueError, match="enlarges maps"):
        dealias.dealias(whole, X, sampling="adaptive")


def test_the_probe_sees_that_maps_move_with_the_image(tmp_path):
    from PIL import Image

    picture = torch.randint(256, (96, 128, 3), generator=torch.Generator().manual_seed(0))
    Image.fromarray(picture.byte().numpy()).save(tmp_path / "a.png")

    def errors(sampling):
        model = make(sampling, filter=None) if sampling != "regular" else plain()
        found = measure_shifts(
            LoadedNetwork(model, (0.5,) * 3, (0.5,) * 3),
            [tmp_path / "a.png"],
            find_downsampling(model, X, place="before"),
            offsets=[(1, 3), (6, 11)],
            circular=True,
        )
        return found.equivariance

    def plain():
        model = make("regular")
        restore(model.backbone)
        return model

    assert max(errors("regular").values()) > 0.1
    assert max(errors("adaptive").values()) < 1e-6


AUTO = torch.export.Dim.AUTO


class Scores(nn.Module):
    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)["out"]


@pytest.mark.slow
@pytest.mark.parametrize("sampling", CHOSEN)
def test_compiled_and_exported_networks_choose_for_images_of_any_size(sampling):
    network = Scores(make(sampling)).eval()
    shapes = ({0: AUTO, 2: AUTO, 3: AUTO},)
    torch._dynamo.reset()
    with torch.no_grad():
        exported = torch.export.export(network, (X,), dynamic_shapes=shapes).module()
        compiled = torch.compile(network, dynamic=True, fullgraph=True, backend="eager")
        for size in ((2, 96, 128), (3, 64, 160), (1, 100, 133)):
            x = torch.randn(size[0], 3, *size[1:])
            for other in (exported, compiled):
                torch.testing.assert_close(other(x), network(x), rtol=1e-3, atol=2e-3)
    torch._dynamo.reset()


def test_an_exported_network_chooses_for_images_of_its_size():
    network = Scores(make()).eval()
    with torch.no_grad():
        exported = torch.export.export(network, (X,)).module()
        for x in (X, X.roll((1, 3), (2, 3)), X.flip(3)):
            torch.testing.assert_close(exported(x), network(x), rtol=1e-3, atol=2e-3)
