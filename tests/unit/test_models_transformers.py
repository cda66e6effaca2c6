"""Networks of transformers under the same roof, built from configurations alone."""

import json
import socket
from pathlib import Path

import pytest
import torch

from dealias.models import ModelError, create_model, load, model_folder, save

transformers = pytest.importorskip("transformers")
pytest.importorskip("safetensors")

VOID = 255
STAGES = ["stage1", "stage2", "stage3", "stage4"]
SWIN = {
    "model_type": "swin", "embed_dim": 12, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2],
    "window_size": 4, "out_features": STAGES,
}  # fmt: skip
CONVNEXT = {
    "model_type": "convnext", "hidden_sizes": [12, 24, 48, 96], "depths": [1, 1, 1, 1],
    "out_features": STAGES,
}  # fmt: skip
OPTIONS = {
    "segformer": {
        "depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 24, 32], "decoder_hidden_size": 16,
        "num_attention_heads": [1, 1, 2, 4],
    },
    "upernet": {
        "backbone_config": CONVNEXT, "hidden_size": 16, "auxiliary_in_channels": 48,
        "auxiliary_channels": 8,
    },
    "mask2former": {
        "backbone_config": SWIN, "hidden_dim": 32, "feature_size": 32, "mask_feature_size": 32,
        "encoder_feedforward_dim": 16, "dim_feedforward": 16, "decoder_layers": 2,
        "encoder_layers": 1, "num_attention_heads": 2, "num_queries": 6, "train_num_points": 32,
    },
    "maskformer": {
        "backbone_config": SWIN, "fpn_feature_size": 32, "mask_feature_size": 32,
        "decoder_config": {
            "model_type": "detr", "d_model": 32, "decoder_layers": 1, "encoder_layers": 1,
            "decoder_attention_heads": 2, "encoder_attention_heads": 2, "decoder_ffn_dim": 16,
            "encoder_ffn_dim": 16, "num_queries": 6,
        },
    },
}  # fmt: skip
TERMS = {
    "segformer": ["decode"],
    "upernet": ["decode", "aux"],
    "mask2former": ["match"],
    "maskformer": ["match"],
}
KINDS = list(OPTIONS)


def small(kind, **options):
    return create_model(f"hf:{kind}", **{"num_classes": 5, "options": OPTIONS[kind], **options})


def labels(*shape):
    target = torch.randint(0, 5, shape)
    target[..., :3] = VOID
    return target


@pytest.mark.parametrize("dealias", [None, {}])
@pytest.mark.parametrize("kind", KINDS)
def test_it_trains_and_scores_images_of_any_size(kind, dealias):
    model = small(kind, dealias=dealias)
    terms = model.loss(torch.randn(2, 3, 64, 96), labels(2, 64, 96), ignore_index=VOID)
    assert list(terms) == TERMS[kind]
    assert all(term.shape == () and term > 0 for term in terms.values())
    sum(terms.values()).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    # Swin's last norm is for classification.
    assert [name for name in without if ".layernorm." not in name] == []
    with torch.no_grad():
        scores = model.eval()(torch.randn(1, 3, 65, 97))
    assert {name: v.shape for name, v in scores.items()} == {"out": (1, 5, 65, 97)}
    if dealias is None:
        assert model.dealias_report is None
    else:
        assert len(model.dealias_report.inserted) >= 4


@pytest.mark.parametrize("kind", KINDS)
def test_void_teaches_nothing(kind):
    """Whatever is at void pixels of the target, the loss is the same; with void alone it is 0."""
    model = small(kind).eval()  # no dropout
    images, target = torch.randn(2, 3, 64, 96), labels(2, 64, 96)
    torch.manual_seed(1)  # Mask2Former picks points
    terms = model.loss(images, target, ignore_index=VOID)
    torch.manual_seed(1)
    renamed = model.loss(images, target.where(target != VOID, 77), ignore_index=77)
    assert {k: v.item() for k, v in terms.items()} == {k: v.item() for k, v in renamed.items()}
    nothing = model.loss(images, torch.full((2, 64, 96), VOID), ignore_index=VOID)
    total = sum(nothing.values())
    assert total == 0
    total.backward()
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


@pytest.mark.parametrize("kind", ["segformer", "upernet"])
def test_the_loss_of_pixels_is_their_mean_cross_entropy(kind):
    model = small(kind).eval()
    images, target = torch.randn(1, 3, 64, 96), labels(1, 64, 96)
    scores = model(images)["out"]
    expected = torch.nn.functional.cross_entropy(scores, target, ignore_index=VOID)
    loss = model.loss(images, target, ignore_index=VOID)["decode"]
    torch.testing.assert_close(loss, expected)


def test_an_image_of_void_does_not_weigh_on_the_masks_of_others():
    model = small("mask2former").eval()
    images, target = torch.randn(2, 3, 64, 96), labels(2, 64, 96)
    target[1] = VOID
    torch.manual_seed(1)
    both = model.loss(images, target, ignore_index=VOID)["match"]
    torch.manual_seed(1)
    torch.testing.assert_close(both, model.loss(images[:1], target[:1], ignore_index=VOID)["match"])


def test_masks_are_scored_as_the_library_scores_them():
    """Its post-processing is the sum over queries too, at the size of the masks."""
    model = small("mask2former").eval()
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        scores = model(images)["out"]
        given = model.network(pixel_values=images)
    classes = given.class_queries_logits[0].softmax(-1)
    masks = torch.nn.functional.interpolate(
        given.masks_queries_logits, (64, 96), mode="bilinear"
    ).sigmoid()[0]
    expected = sum(classes[q, :5, None, None] * masks[q] for q in range(6))
    torch.testing.assert_close(scores[0].exp(), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_read_back_bit_by_bit(tmp_path, kind):
    model = small(kind, dealias={}, mean=(0.1, 0.2, 0.3)).eval()
    save(model, tmp_path / "network")
    again = load(tmp_path / "network")
    assert (again.config, again.mean) == (model.config, (0.1, 0.2, 0.3))
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(again(x)["out"], model(x)["out"])


def test_the_head_is_trained_anew_on_weights_from_a_folder(tmp_path):
    other = small("segformer", num_classes=19)
    other.network.save_pretrained(tmp_path)
    processor = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.2]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    model = create_model(f"hf:{tmp_path}", num_classes=5)
    assert all(
        torch.equal(value, other.backbone.state_dict()[key])
        for key, value in model.backbone.state_dict().items()
    )
    assert model.network.decode_head.classifier.weight.shape[0] == 5
    assert (model.mean, model.std) == ((0.5, 0.4, 0.3), (0.2, 0.2, 0.2))
    assert model.config["name"] == "hf:segformer"  # no folder is needed again
    assert model.training


def test_a_folder_in_the_working_directory_is_no_type_of_network(tmp_path, monkeypatch):
    model = small("segformer").eval()
    save(model, tmp_path / "saved")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "segformer").mkdir()
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(load("saved")(x)["out"], model(x)["out"])
    assert model_folder("hf:segformer") is None
    assert model_folder("hf:./segformer") == Path("segformer")
    model.network.save_pretrained("segformer")
    found = create_model("hf:./segformer", num_classes=5).network.state_dict()
    assert all(torch.equal(found[key], v) for key, v in model.network.state_dict().items())


def test_images_are_not_normalised_where_the_folder_says_so(tmp_path):
    small("segformer").network.save_pretrained(tmp_path)
    processor = {"do_normalize": False, "image_mean": [0.5, 0.4, 0.3]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    model = create_model(f"hf:{tmp_path}", num_classes=5)
    assert (model.mean, model.std) == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def test_a_network_of_bgr_images_gets_a_warning(tmp_path):
    small("segformer").network.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"do_flip_channel_order": true}')
    with pytest.warns(UserWarning, match="was trained on BGR images, and is given RGB"):
        create_model(f"hf:{tmp_path}", num_classes=5)


@pytest.mark.parametrize("name", ["model.safetensors.index.json", "tf_model.h5"])
def test_weights_that_are_not_whole_are_not_random_ones(name, tmp_path):
    small("segformer").network.config.save_pretrained(tmp_path)
    index = {"weight_map": {"decode_head.classifier.weight": "model-00001-of-00002.safetensors"}}
    (tmp_path / name).write_text(json.dumps({"metadata": {}, **index}))
    with pytest.raises(ModelError, match=r"FileNotFoundError|OSError"):
        create_model(f"hf:{tmp_path}", num_classes=5)


def test_a_stored_standard_deviation_of_zero_is_an_error(tmp_path):
    small("segformer").network.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"image_std": [0.2, 0.0, 0.2]}')
    with pytest.raises(ModelError, match=r"_config\.json: std: expected three positive"):
        create_model(f"hf:{tmp_path}", num_classes=5)


def test_weights_that_lack_the_backbone_are_no_start(tmp_path):
    other = small("segformer")
    del other.network.segformer.stages[3].blocks[0]
    other.network.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"weights lack \d+ tensors of the backbone, such as segf"):
        create_model(f"hf:{tmp_path}", num_classes=5)


def test_a_single_image_that_is_pooled_to_a_pixel_is_an_error():
    message = "images: expected two or more, since 'hf:upernet' pools each to a pixel .* got 1"
    with pytest.raises(ModelError, match=message):
        small("upernet").loss(torch.randn(1, 3, 64, 96), labels(1, 64, 96), ignore_index=VOID)
    small("segformer").loss(torch.randn(1, 3, 64, 96), labels(1, 64, 96), ignore_index=VOID)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("hf:segformers", {}, "'hf:segformers': no such type of network, no such folder, and none"),
        ("hf:some/where", {}, "'hf:some/where': no such type of network, no such folder, and none"),
        ("hf:bert", {}, "name: expected a type among .*segformer.*upernet.*, got 'bert'"),
        ("hf:segformer", {"colour": 1}, "options: colour: no such options of 'segformer'"),
        ("hf:segformer", {"to_json_string": "x"}, "to_json_string: no such options of 'segformer"),
        ("hf:segformer", {"num_labels": 3}, "options: num_labels, which num_classes gives"),
        ("hf:segformer", {"depths": 3}, "name 'hf:segformer': "),
    ],
)
def test_what_can_not_be_built_is_an_error(monkeypatch, name, options, message):
    def no_network(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    with pytest.raises(ModelError, match=message):
        create_model(name, num_classes=5, options=options)


def test_options_of_upernet_are_not_those_of_others():
    with pytest.raises(
        ModelError, match="channels: is not for 'hf:segformer', which takes options"
    ):
        create_model("hf:segformer", num_classes=5, channels=64)
