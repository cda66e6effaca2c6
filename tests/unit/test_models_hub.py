"""Model cards, and networks as the Hugging Face Hub has them."""

import json
import re
import shutil
from types import SimpleNamespace

import pytest
import torch
import yaml

from dealias.evaluation import Evaluation, Options, evaluate_maps
from dealias.models import (
    ModelError,
    create_model,
    digest_weights,
    from_pretrained,
    load,
    model_card,
    push_to_hub,
    save,
    save_pretrained,
)
from helpers import random_maps
from reports import CLASSES, HOSTILE_CLASS

pytest.importorskip("timm")
pytest.importorskip("safetensors")
hub = pytest.importorskip("huggingface_hub")

SHIFTS = {
    "shifts": 4,
    "largest": 32,
    "agreement": 0.875,
    "agreement_preds_band": 0.5,
    "agreement_target_band": None,
}


def small(**options):
    given = {"num_classes": 5, "backbone": "test_resnet", "channels": 8, "aux_head": False}
    model = create_model("upernet", **given | options)
    model.classes = {"names": list(CLASSES.names), "palette": None}
    return model.eval()


@pytest.fixture(scope="module")
def result():
    total = Evaluation.empty(Options(CLASSES, "paper", 15).settings)
    for seed in range(3):
        maps = random_maps(seed, 40, 56, classes=5)
        total.absorb(evaluate_maps(f"image_{seed}", *maps, Options(CLASSES, "paper", 15)))
    return total.to_dict()


def header_of(card):
    _, header, body = card.split("---\n", 2)
    return yaml.safe_load(header), body


def names(folder):
    return sorted(path.name for path in folder.iterdir())


class TestCard:
    def test_the_header_is_what_the_hub_reads(self, result):
        card = model_card(small(dealias={}), result=result, dataset="CamVid", license="mit")
        data = hub.ModelCard(card).data
        assert (data.library_name, data.pipeline_tag) == ("dealias", "image-segmentation")
        assert data.license == "mit"
        assert data.tags == ["semantic-segmentation", "upernet", "test_resnet", "anti-aliasing"]
        found = {one.metric_name: one for one in data.eval_results}
        assert [*found] == ["mIoU", "BIoU", "BAcc", "FErr", "MErr", "DErr"]
        for name, one in found.items():
            assert one.metric_value == pytest.approx(result["metrics"][name], abs=1e-6)
            assert (one.dataset_name, one.dataset_type) == ("CamVid", "camvid")
            assert one.dataset_args == {"images": 3}
            assert one.metric_config == "protocol paper, boundary bands 15 pixels wide"

    def test_without_a_result_it_claims_nothing(self):
        header, body = header_of(model_card(small()))
        assert header.keys() == {"library_name", "pipeline_tag", "tags"}
        assert "anti-aliasing" not in header["tags"]
        assert "How good" not in body
        assert "IoU" not in body
        assert "no filter was put into the network" in body

    def test_agreement_noise_and_what_was_left_out(self, result):
        noisy = result | {"shifts": SHIFTS, "noise": 20, "skipped": ["a.png: broken"]}
        header, body = header_of(model_card(small(), result=noisy))
        metrics = [m for one in header["model-index"][0]["results"] for m in one["metrics"]]
        values = {metric["name"]: metric["value"] for metric in metrics}
        assert values["Agreement under shifts"] == 0.875
        assert values["Agreement in the predicted bands"] == 0.5
        assert "Agreement in the target's bands" not in values
        (data,) = {one["dataset"]["name"] for one in header["model-index"][0]["results"]}
        assert data == "label maps in the classes of five"
        for said in (
            "images under noise, sigma 20 of 255",
            "4 shifts of up to 32 pixels an image",
            "| Agreement under shifts ↑ | 87.50 | |",
            "- 1 files were left out",
        ):
            assert said in body, said

    def test_figures_that_are_not_defined_are_no_figures(self, result):
        empty = result | {"metrics": result["metrics"] | {"BIoU": None}}
        header, body = header_of(model_card(small(), result=empty))
        metrics = [m["name"] for r in header["model-index"][0]["results"] for m in r["metrics"]]
        assert "BIoU" not in metrics
        assert len(metrics) == 5
        assert "| BIoU ↑ | undefined |" in body

    def test_intervals_are_those_of_the_result(self, result):
        ranges = {key: [0.25, 0.5] for key in ("mIoU", "BIoU", "BAcc", "FErr", "MErr")}
        card = model_card(small(), result=result | {"intervals": {"metrics": ranges}})
        assert card.count("25.00 to 50.00") == 5

    def test_what_was_de_aliased(self):
        model = small(dealias={"filter": "daf", "place": "before"})
        _, body = header_of(model_card(model))
        for item in model.dealias_report.inserted:
            site = item.site.replace("_", "\\_")
            assert f"| {site} | daf | before | {item.cutoff:.3f} |" in body

    def test_samples_that_images_choose_and_mixing_have_no_place(self):
        _, body = header_of(model_card(small(dealias={"filter": None, "sampling": "adaptive"})))
        assert "| maxpool | adaptive |  |  |" in body
        _, body = header_of(model_card(small(dealias={"place": "before", "mixing": True})))
        assert re.search(r"\| mixing \|  \| 0\.\d{3} \|", body)

    def test_names_of_classes_are_text(self, result):
        _, body = header_of(model_card(small(), result=result))
        assert HOSTILE_CLASS not in body
        assert "</script>" not in body
        iou = result["classes"][2]["IoU"]
        assert f"| 2 | car | {100 * iou:.2f} |" in body
        model = small()
        model.classes = None
        assert "The names of its 5 classes are not known." in model_card(model)

    def test_the_code_of_the_card_loads_the_network(self, tmp_path, monkeypatch):
        model = small(dealias={})
        save_pretrained(model, tmp_path / "FOLDER")
        card = (tmp_path / "FOLDER/README.md").read_text()
        (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
        monkeypatch.chdir(tmp_path)
        space = {}
        exec(code.replace("512, 1024", "64, 96"), space)
        images, mean, std = (space[name] for name in ("images", "mean", "std"))
        expected = model((images - mean) / std)["out"].argmax(1)
        assert torch.equal(space["labels"], expected)

    def test_a_network_of_ones_own_needs_trust(self, tmp_path):
        model = create_model(class_path="own_networks.UNet", num_classes=5).eval()
        save_pretrained(model, tmp_path / "net")
        card = (tmp_path / "net" / "README.md").read_text()
        assert 'from_pretrained("FOLDER", trust=True)' in card
        assert "# own\\_networks.UNet" in card or "# own_networks.UNet" in card
        with pytest.raises(ModelError, match="--trust allows it"):
            from_pretrained(tmp_path / "net")
        images = torch.randn(1, 3, 32, 32)
        again = from_pretrained(tmp_path / "net", trust=True)
        assert torch.equal(again(images)["out"], model(images)["out"])

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"result": {"metrics": {}}}, "result: expected one of dealias test or evaluate"),
            ({"result": []}, "result: expected one of dealias test or evaluate"),
            ({"dataset": "CamVid"}, "dataset: expected a result that is of it, got 'CamVid' alone"),
            ({"license": "mit\ntags: [x]"}, "license: expected an identifier such as apache-2.0"),
        ],
    )
    def test_what_can_not_be_is_refused(self, change, message):
        with pytest.raises(ValueError, match=message):
            model_card(small(), **change)

    def test_a_result_of_other_classes_is_refused(self, result):
        model = small()
        model.classes["names"][0] = "street"
        with pytest.raises(ValueError, match=r"result: expected classes \['street'.*, got 5: \["):
            model_card(model, result=result)
        model = create_model("upernet", num_classes=3, backbone="test_resnet")
        with pytest.raises(ValueError, match="result: expected classes 3, got 5: "):
            model_card(model, result=result)

    def test_a_result_of_other_weights_is_refused(self, result):
        model, other = small(), small()
        assert digest_weights(model) != digest_weights(other)
        of_it = {**result, "weights": digest_weights(model)}
        assert "mean_iou" in model_card(model, result=of_it)
        with pytest.raises(ValueError, match="expected one of this network, got one of other wei"):
            model_card(other, result=of_it)
        other.load_state_dict(model.state_dict())
        assert "mean_iou" in model_card(other, result=of_it)

    def test_a_result_of_other_filters_is_refused(self, result):
        plain, filtered = small(), small(dealias={})
        filtered.load_state_dict(plain.state_dict())
        assert digest_weights(plain) == digest_weights(filtered)
        of_it = {**result, "dealias": json.loads(json.dumps(filtered.config["dealias"]))}
        assert "mean_iou" in model_card(filtered, result=of_it)
        with pytest.raises(ValueError, match="expected one of this network, got one of other fil"):
            model_card(plain, result=of_it)
        with pytest.raises(ValueError, match="got one of other filters"):
            model_card(filtered, result={**result, "dealias": None})


class TestFolders:
    def test_what_is_read_is_what_was_written(self, tmp_path, result):
        model = small(dealias={})
        for overwrite in (False, True):
            save_pretrained(model, tmp_path / "one", result=result, overwrite=overwrite)
        files = [".dealias-manifest", "README.md", "config.json", "model.safetensors"]
        assert names(tmp_path / "one") == files
        assert (tmp_path / "one/README.md").read_text() == model_card(model, result=result)
        for again in (from_pretrained(tmp_path / "one"), load(tmp_path / "one")):
            assert again.config == model.config
            assert all(torch.equal(v, again.state_dict()[k]) for k, v in model.state_dict().items())

    def test_without_a_card_nothing_has_changed(self, tmp_path):
        save(small(), tmp_path / "one")
        assert "README.md" not in names(tmp_path / "one")
        assert from_pretrained(str(tmp_path / "one")).num_classes == 5

    def test_the_local_cache_and_nothing_else(self, tmp_path, monkeypatch):
        monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a connection"))
        with pytest.raises(ModelError, match="me/net: no such folder, and none of that name in"):
            from_pretrained("me/net")
        with pytest.raises(ModelError, match="a/b/c: no such folder, and none of that name"):
            from_pretrained("a/b/c")
        model = small()
        save_pretrained(model, tmp_path / "one")
        place = tmp_path / "cache/models--me--net"
        shutil.copytree(tmp_path / "one", place / "snapshots/abc")
        (place / "refs").mkdir()
        (place / "refs/main").write_text("abc")
        assert from_pretrained("me/net").config == model.config
        with pytest.raises(ModelError, match="none of that name at 'other' in the local cache"):
            from_pretrained("me/net", revision="other")
        with pytest.raises(ModelError, match="revision: expected none with a folder, got 'main'"):
            from_pretrained(tmp_path / "one", revision="main")


class Api:
    """What huggingface_hub sends, kept."""

    def __init__(self, token):
        self.token = token
        self.calls = []
        Api.last = self

    def create_repo(self, repo_id, **more):
        self.calls.append((repo_id, more))

    def upload_folder(self, *, repo_id, folder_path, ignore_patterns, **more):
        ignored = [path for path in folder_path.iterdir() if path.name.startswith(".")]
        assert [path.name for path in ignored] == [".dealias-manifest"]
        assert ignore_patterns == [".*"]
        self.network = from_pretrained(folder_path)
        self.card = (folder_path / "README.md").read_text()
        self.calls.append((repo_id, more))
        return SimpleNamespace(commit_url=f"https://hub/{repo_id}/commit/1")


class TestUpload:
    def test_what_is_sent(self, result, monkeypatch):
        monkeypatch.setattr(hub, "HfApi", Api)
        model = small()
        address = push_to_hub(
            model, "me/net", result=result, license="mit", private=True, token="t", revision="r"
        )
        assert address == "https://hub/me/net/commit/1"
        api = Api.last
        assert api.token == "t"
        assert api.calls == [
            ("me/net", {"private": True, "exist_ok": True}),
            ("me/net", {"revision": "r", "commit_message": "Upload a network of dealias"}),
        ]
        assert api.card == model_card(model, name="me/net", result=result, license="mit")
        assert 'from_pretrained("me/net")' in api.card
        assert "hf download me/net" in api.card
        assert api.network.config == model.config

    def test_offline_is_a_line(self, monkeypatch):
        def refuse(*_, **__):
            raise hub.errors.OfflineModeIsEnabled("offline")

        monkeypatch.setattr(Api, "create_repo", refuse)
        monkeypatch.setattr(hub, "HfApi", Api)
        with pytest.raises(ModelError, match="HF_HUB_OFFLINE: expected 0 for an upload, got 1"):
            push_to_hub(small(), "me/net")

    def test_nothing_is_sent_of_a_card_that_can_not_be(self, monkeypatch):
        monkeypatch.setattr(hub, "HfApi", lambda **_: pytest.fail("an upload"))
        with pytest.raises(ValueError, match="license"):
            push_to_hub(small(), "me/net", license="My Own")
