"""What README and the pages of docs/ show: their Python runs, and the options they name exist."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import timm
import torch
import yaml
from PIL import Image

import dealias
from dealias.engine import find_config
from dealias.engine.configs import read_config
from dealias.labels import load_class_set
from dealias.models import create_model, save
from dealias.study import read_variants
from dealias.study.conditions import read_conditions
from helpers import random_maps

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = ["evaluate", "detections", "merge", "compare", "figures", "probe", "convert", "study"]
TRAINING = ["fit", "validate", "test", "predict"]


def blocks(kind):
    """Blocks of code, with the page and line that they begin at."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in re.finditer(rf"^```{kind}\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            line = text.count("\n", 0, found.start()) + 1
            yield pytest.param(found[1], id=f"{page.name}:{line}")


def shifted_maps(count=12):
    """Names, images and targets, and a network that is a pixel off."""
    maps = torch.randint(12, (count, 8, 10), generator=torch.Generator().manual_seed(0))
    targets = maps.where(maps < 11, 0).repeat_interleave(8, 1).repeat_interleave(8, 2)
    seen = iter(targets.roll(1, dims=2))
    images = torch.rand(count, 3, 64, 80)

    class Model(torch.nn.Module):
        def forward(self, batch):
            assert batch.shape == (1, 3, 64, 80)
            assert not self.training
            return torch.nn.functional.one_hot(next(seen), 11).permute(2, 0, 1)[None].float()

    loader = [(f"image {i}", images[i], targets[i]) for i in range(count)]
    return loader, Model(), targets


def for_the_loop(_):
    loader, model, targets = shifted_maps()
    return {"loader": loader, "model": model, "targets": targets, "device": "cpu"}


def for_the_metric(_):
    pairs = [random_maps(seed, 32, 48, classes=19) for seed in range(2)]
    loader = [(preds[None], target[None]) for preds, target in pairs]
    return {"loader": loader, "model": torch.nn.Identity(), "device": "cpu"}


def for_a_network(_):
    model = create_model("upernet", num_classes=5, backbone="test_resnet").backbone
    return {"model": model, "images": torch.zeros(1, 3, 64, 96)}


def for_detections(folder):
    images = folder / "images"
    images.mkdir()
    Image.fromarray(np.zeros((32, 48, 3), np.uint8)).save(images / "a.png")
    square = [[4, 4, 20, 4, 20, 20, 4, 20]]
    entry = {"image_id": 1, "category_id": 1, "segmentation": square}
    annotations = {
        "images": [{"id": 1, "file_name": "a.png", "height": 32, "width": 48}],
        "categories": [{"id": 1, "name": "car"}],
        "annotations": [entry | {"id": 1, "bbox": [4, 4, 16, 16], "area": 256, "iscrowd": 0}],
    }
    (folder / "annotations.json").write_text(json.dumps(annotations))
    found = [entry | {"score": 0.9, "bbox": [4, 4, 16, 16]}]
    (folder / "results.json").write_text(json.dumps(found))
    return {}


def for_the_export(folder):
    save(create_model("upernet", num_classes=5, backbone="test_resnet", dealias={}), folder / "net")
    return {}


def for_free_sizes(_):
    class Scores(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = create_model("timm:test_resnet", num_classes=5, dealias={})

        def forward(self, images):
            return self.model(images)["out"]

    return {"torch": torch, "scores": Scores().eval(), "images": torch.zeros(1, 3, 128, 160)}


# Sizes of images that the exported networks take.
EXPORTED = {for_the_export: (1, 3, 128, 160), for_free_sizes: (2, 3, 97, 131)}


def for_instability(folder):
    (folder / "unstable").mkdir()
    stored = np.array([[0, 65534], [32767, 65535]], np.uint16)
    Image.fromarray(stored).save(folder / "unstable" / "a.png")
    return {}


# What a block needs to be there, by words in it.
SETUPS = {
    "evaluate_maps(name": for_the_loop,
    "metric.update(model(images": for_the_metric,
    "dealias.dealias(model, images)": for_a_network,
    "read_detections(": for_detections,
    "unstable/a.png": for_instability,
    "dynamo=True": for_the_export,
    "dynamic_axes=": for_free_sizes,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("code", [*blocks("python")])
def test_its_python_runs(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    setup = next((make for words, make in SETUPS.items() if words in code), None)
    names = {} if setup is None else setup(tmp_path)
    exec(code, names)
    if setup is for_instability:
        np.testing.assert_equal(names["share"], [[0, 1], [0.5, np.nan]])
    if setup in EXPORTED:
        session = onnxruntime.InferenceSession("net.onnx")
        images = torch.randn(EXPORTED[setup])
        (found,) = session.run(None, {"images": images.numpy()})
        expected = names["scores"](images)
        torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-3, atol=1e-3)
    if setup is for_the_loop:
        metrics = names["total"].to_dict()["metrics"]
        assert 0.7 < metrics["mIoU"] < 0.95
        low, high = names["total"].to_dict()["intervals"]["metrics"]["mIoU"][:2]
        assert low < metrics["mIoU"] < high
        assert (tmp_path / "page" / "index.html").is_file()


def test_the_plan_of_a_probe_is_as_its_page_shows():
    network = timm.create_model("tf_efficientnet_lite0")
    _, report = dealias.dealias(network, torch.zeros(1, 3, 96, 128))
    page = (ROOT / "docs" / "stability.md").read_text(encoding="utf-8")
    assert f"dealias.dealias would do this:\n{report}\n```" in page


@pytest.mark.parametrize("text", [*blocks("yaml")])
def test_its_yaml_is_what_it_says(text, tmp_path):
    content = yaml.safe_load(text)
    name = re.match(r"# (\w+)\.yaml", text)
    path = tmp_path / "file.yaml"
    path.write_text(text)
    if name is not None and name[1] == "classes":
        assert load_class_set(path).names
    elif name is not None and name[1] == "variants":
        assert len(read_variants(path)) >= 2
    elif name is not None and name[1] == "conditions":
        assert read_conditions(path)
    else:
        assert set(content) <= {"base", "model", "data", "trainer"}


@pytest.mark.parametrize("path", sorted((ROOT / "docs").rglob("*.ipynb")), ids=lambda p: p.stem)
def test_notebooks_are_kept_without_outputs(path):
    """The site runs them, so that what it shows follows the code."""
    book = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    assert code
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


@pytest.fixture(scope="module")
def helps():
    """The help of each command, asked for once."""
    known = {}

    def of(command):
        if command not in known:
            asked = "--help_all" if command in [*TRAINING, "data check"] else "--help"
            call = [sys.executable, "-m", "dealias", *command.split(), asked]
            known[command] = subprocess.run(call, capture_output=True, text=True, check=True).stdout
        return known[command]

    return of


@pytest.mark.parametrize("text", [*blocks("sh")])
def test_its_commands_have_the_options_they_are_given(text, helps):
    lines = re.sub(r"\\\n\s*", " ", re.sub(r"\s+#.*", "", text)).splitlines()
    for line in lines:
        call = re.match(r"(?:\S*/)?dealias (data check|\w+)(.*)", line)
        if call is None:
            continue
        command, rest = call[1], call[2]
        assert command in [*COMMANDS, *TRAINING, "data check", "demo"], line
        for option in re.findall(r"--[\w.-]+", rest):
            free = option.startswith("--model.network.")
            assert free or re.search(rf"{re.escape(option)}\b", helps(command)), (line, option)


def test_the_trainings_of_the_paper_are_as_their_page_says():
    """Names, steps and images a step of docs/reproduce.md."""
    page = (ROOT / "docs" / "reproduce.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| [\w ]+ \| `([\w/]+)` \| ([\d,]+) \| (\d+) .* ([\d]+x\d+) \|$", page, re.M
    )
    assert len(rows) == 6
    images = {"coco": 117_266}
    for name, steps, batch, size in rows:
        for whole in (name, f"{name}_dealiased"):
            config = read_config(find_config(whole))
            data, trainer = config["data"], config["trainer"]
            epoch = -(-images.get(data["name"], 0) // data["batch_size"])
            most = trainer.get("max_steps") or trainer["max_epochs"] * epoch
            assert (f"{most:,}", str(data["batch_size"])) == (steps, batch), whole
            sides = data.get("size") or data["augmentation"]["crop_size"]
            assert "x".join(map(str, sides)) == size, whole


def test_configurations_that_pages_name_are_there():
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    named = {name for text in texts for name in re.findall(r"--config (\w+/\w+)(?![\w./])", text)}
    assert "coco/mask_rcnn_r50" in named
    for name in named:
        assert find_config(name).is_file(), name
