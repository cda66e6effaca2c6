"""Options of de-aliasing in the configuration of a network, of this version and of earlier ones."""

import json

import pytest
import torch

import dealias
from dealias.models import ModelError, create_model, load, save, settled_dealias
from dealias.models.creation import recreate_model
from dealias.spectral import equivalent_sampling_rate, lowpass
from dealias.surgery import find_downsampling

pytest.importorskip("timm")

X = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def small(backbone="test_resnet", **options):
    torch.manual_seed(0)
    return create_model(
        "upernet", num_classes=5, backbone=backbone, channels=8, aux_channels=8, **options
    ).eval()


def scores(model):
    with torch.no_grad():
        return model(X)["out"]


def test_filters_that_the_configuration_does_not_know_are_not_left_out(tmp_path):
    model, _ = dealias.dealias(small(), X)
    with pytest.raises(ValueError, match=r"dealias\.dealias put it in, .* built without it"):
        save(model, tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
    save(dealias.restore(model), tmp_path / "saved")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"place": "after", "strength": "learned", "unit": "block"},
        {"place": "after", "filter": "blur", "strength": 0.5},
        {"filter": "flc", "unit": "step", "cutoff": "published"},
        {"filter": "blur", "cutoff": "published"},
        {"filter": None, "mixing": True},
        {"sampling": "learned"},
        {"filter": None, "sampling": "adaptive"},
        {"place": "before", "mixing": True, "filter_options": {"border": "wrap"}},
        {"filter": "adaptive_blur", "sites": ["layer3.0"]},
        {"cutoff": {"*": "published", "layer2.0": [0.2, 0.3]}, "filter_options": {"order": 3}},
    ],
    ids=str,
)
def test_a_saved_configuration_builds_the_network_again(options, tmp_path):
    model = small(dealias=options)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("strength") or "frequency_mixing" in name:
                parameter.uniform_(0.1, 0.3)
    settled = model.config["dealias"]
    assert settled["sites"] == list(model.dealias_report.sites)
    save(model, tmp_path / "saved")
    other = load(tmp_path / "saved").eval()
    assert torch.equal(scores(other), scores(model))
    assert other.config == model.config
    assert other.dealias_report == model.dealias_report
    # They come to the same in any network of the same backbone.
    assert settled_dealias(model, settled) == settled
    theirs = {"unit": "step", **options, "filter_options": settled["filter_options"]}
    assert settled_dealias(small(), theirs) == settled
    assert model.dealias_report == other.dealias_report


@pytest.mark.parametrize(
    "options",
    [
        {"mixing": False, "mixing_options": {"pooling": "official"}},
        {"filter": "blur", "cutoff": {"layer2.0": 0.25}},
        {"filter": None, "mixing": True, "strength": 0.5, "filter_options": {"order": 3}},
    ],
    ids=str,
)
def test_saved_options_of_what_is_not_put_in_are_left_out(options):
    """They were ignored when the network was saved."""
    kept = settled_dealias(small(), {"unit": "step", **options})
    unused = {"mixing_options", "cutoff", "strength", "filter_options"}
    used = {key: value for key, value in options.items() if key not in unused}
    assert kept == settled_dealias(small(), {"unit": "step", **used})
    with pytest.raises(ValueError, match=r"is for|has none"):
        small(dealias=options)


def test_a_strength_of_1_is_one_whether_it_is_whole_or_not():
    options = {"unit": "step"}
    kept = [settled_dealias(small(), options | more) for more in ({}, {"strength": 1})]
    assert json.dumps(kept[0]) == json.dumps(kept[1])


def test_sites_that_are_left_do_not_keep_a_network_from_being_built_again(monkeypatch):
    from dealias.surgery import work

    host_of = work.host_of
    monkeypatch.setattr(
        work, "host_of", lambda model, name: None if name == "layer3.0" else host_of(model, name)
    )
    model = small(dealias={"place": "before"})
    assert "layer3.0" in {step.name for step in model.dealias_report.left}
    again = recreate_model(model.config, source="there")
    assert again.dealias_report == model.dealias_report


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"place": "afte"}, "place: expected one of auto, before, after, got 'afte'"),
        ({"unit": "blok"}, "unit: expected one of block, step, got 'blok'"),
        ({"strength": 1.5}, r"strength: expected a number in \[0, 1\] or 'learned', got 1.5"),
        ({"strength": -0.1}, r"strength: .*got -0.1"),
        ({"strength": True}, r"strength: .*got True"),
        ({"strength": "learnt"}, r"strength: .*got 'learnt'"),
        ({"strength": [0.5]}, r"strength: .*got \[0.5\]"),
        ({"place": ["after"]}, r"place: .*got \['after'\]"),
        ({"cutoff": {"*": 0.7}}, "cutoff: expected 'auto', 'published'"),
        ({"position": "after"}, "dealias: expected options among .*place.*, got 'position'"),
        ({"place": "after", "sites": ["conv1.0"]}, "sites: 'conv1.0' can't be filtered: takes the"),
    ],
    ids=str,
)
def test_what_is_refused(options, message):
    with pytest.raises((ModelError, ValueError), match=message) as caught:
        small(dealias=options)
    assert "\n" not in str(caught.value)


def test_a_backbone_without_activations_after_its_steps_is_refused():
    with pytest.raises(ValueError, match=r"nothing to put in(.|\n)*no activation follows"):
        small("convnext_atto", dealias={"place": "after"})


def half_the_published_rate(site):
    return min(equivalent_sampling_rate(*site) / 2, 0.5)


EARLIER = {
    # Its layer4.0 has fewer channels out than in.
    "test_resnet": {
        "maxpool": (3, 2, 32, 32),
        "layer2.0": (3, 2, 32, 48),
        "layer4.0": (3, 2, 192, 96),
    },
    # The units are the convolutions, which keep the channels.
    "tf_efficientnet_lite0": {
        "blocks.1.0.conv_dw": (3, 2, 96, 96),
        "blocks.2.0.conv_dw": (5, 2, 144, 144),
        "blocks.3.0.conv_dw": (3, 2, 240, 240),
        "blocks.5.0.conv_dw": (5, 2, 672, 672),
    },
}


@pytest.mark.parametrize("backbone", EARLIER)
def test_a_configuration_of_version_0_1_builds_what_it_was(backbone):
    model = small(backbone)
    config = {**model.config, "dealias": {"mixing": False}}
    earlier = recreate_model(config, source="there").eval()
    earlier.load_state_dict(model.state_dict())
    sites = EARLIER[backbone]
    cutoffs = {name: half_the_published_rate(site) for name, site in sites.items()}
    assert {item.site: item.cutoff for item in earlier.dealias_report.inserted} == pytest.approx(
        cutoffs
    )
    for name, f in cutoffs.items():
        model.backbone.get_submodule(name).register_forward_pre_hook(
            lambda _, args, f=f: (lowpass(args[0], f), *args[1:])
        )
    torch.testing.assert_close(scores(earlier), scores(model))
    now = small(backbone, dealias={"place": "before", "unit": "block"})
    now.load_state_dict(model.state_dict())
    assert not torch.allclose(scores(now), scores(earlier), atol=1e-4)
    # Saved again it is of this version, and the same.
    assert recreate_model(earlier.config, source="there").dealias_report == earlier.dealias_report


@pytest.mark.parametrize("cutoff", [0.3, [0.2, 0.3], {"layer2.0": 0.2}])
def test_cutoffs_of_version_0_1(cutoff):
    options = {"mixing": False, "cutoff": cutoff}
    earlier = recreate_model({**small().config, "dealias": options}, source="there")
    plan = find_downsampling(small().backbone, X, place="before", unit="step")
    for item in earlier.dealias_report.inserted:
        expected = plan[item.site].esr / 2
        if not isinstance(cutoff, dict):
            expected = tuple(cutoff) if isinstance(cutoff, list) else cutoff
        elif item.site in cutoff:
            expected = cutoff[item.site]
        assert item.cutoff == pytest.approx(expected)
    assert len(earlier.dealias_report.inserted) == 3
