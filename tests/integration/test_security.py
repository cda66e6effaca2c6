"""Each row of the table in SECURITY.md, by an attack on a person who opens such a file."""

import io
import json
import os
import pickle
import re
import sys
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from dealias.cli import main
from runs import CONFIG

PAGE = Path(__file__).parents[2] / "SECURITY.md"
STRANGER = "from pathlib import Path\nPath({mark!r}).touch()\n"


class Evil:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return open, (str(self.mark), "w")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to work in, with label maps, a photograph and a module that leaves a mark."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "stranger.py").write_text(STRANGER.format(mark=str(tmp_path / "mark")))
    labels = np.random.default_rng(0).integers(0, 11, (64, 64), np.uint8)
    for name in ("preds", "target"):
        (tmp_path / name).mkdir()
        Image.fromarray(labels).save(tmp_path / name / "a.png")
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (64, 64), (9, 9, 9)).save(tmp_path / "photos" / "a.png")
    (tmp_path / "run.yaml").write_text(CONFIG)
    yield tmp_path
    sys.modules.pop("stranger", None)


def evaluate(*more):
    folders = ["--predictions", "preds", "--targets", "target", "--workers", "0"]
    classes = [] if "--classes" in more else ["--classes", "camvid"]
    return main(["evaluate", *folders, *classes, *more])


OWN_NETWORK = {"class_path": "stranger.Here", "init_args": {}, "num_classes": 11}


def objects(mark):
    return np.array([Evil(mark)], object)


def checkpoint(place):
    torch.save({"state_dict": {}, "evil": Evil(place / "mark")}, "evil.ckpt")
    assert main(["convert", "evil.ckpt", "--output", "net"]) == 2
    parameters = {"network": OWN_NETWORK, "classes": None}
    state = {"network.weight": torch.zeros(1)}
    torch.save({"state_dict": state, "hyper_parameters": parameters}, "own.ckpt")
    assert main(["convert", "own.ckpt", "--output", "net"]) == 2
    assert main(["probe", "--model", "dealias:own.ckpt", "--images", "photos"]) == 2
    assert main(["fit", "--config", "run.yaml", "--output", "run", "--init_from", "own.ckpt"]) == 2
    return main(["test", "--config", "run.yaml", "--output", "run", "--ckpt_path", "evil.ckpt"])


def safetensors(place):
    Path("net").mkdir()
    Path("net/model.safetensors").write_bytes(pickle.dumps(Evil(place / "mark")))
    network = {"name": "upernet", "backbone": "test_resnet", "num_classes": 11}
    content = {"network": network | {"channels": 10**7}, "classes": None, "dealias": "0"}
    own = {"network": OWN_NETWORK, "classes": None, "dealias": "0"}
    for written in (own, content):
        Path("net/config.json").write_text(json.dumps(written))
        assert main(["probe", "--model", "dealias:net", "--images", "photos"]) == 2
    return main(["test", "--config", "run.yaml", "--output", "run", "--ckpt_path", "net"])


def label_map(place):
    np.save("preds/a.npy", objects(place / "mark"), allow_pickle=True)
    Path("preds/a.png").unlink()
    return evaluate()


def archive(place):
    def zipped(names, **options):
        with zipfile.ZipFile("masks.zip", "w", **options) as file:
            for name in names:
                file.write("target/a.png", name)
        return main([*evaluate_zip, "--targets", "target"])

    evaluate_zip = ["evaluate", "--predictions", "zip://masks.zip", "--classes", "camvid"]
    evaluate_zip += ["--workers", "0"]
    assert zipped(["a.png"]) == 0
    for name in ("../mark", "../mark.png", "/tmp/mark.png", "a/../../mark.png"):
        assert zipped([name]) == 2
    assert not (place.parent / "mark.png").exists()
    assert zipped(["a.png"], compression=zipfile.ZIP_LZMA) == 2
    Path("masks.zip").unlink()
    os.mkfifo("masks.zip")
    return main([*evaluate_zip, "--targets", "target"])


def coco(place):
    """Names that lead out of a folder, and sizes that no memory holds."""

    def read(content, *, classes="camvid"):
        Path("p.json").write_text(json.dumps(content))
        options = ["--targets", "target", "--classes", classes, "--workers", "0"]
        return main(["evaluate", "--predictions", "p.json", *options])

    Path("p").mkdir()
    mask = {
        "image_id": "a",
        "category_id": 1,
        "segmentation": {"size": [64, 64], "counts": [0, 4096]},
    }
    assert read([mask]) == 0
    assert read([mask | {"image_id": "../mark"}]) == 2
    assert read({"annotations": [{"file_name": "../target/a.png", "segments_info": []}]}) == 2
    assert not (place.parent / "mark.png").exists()
    big = {"size": [65535, 65535], "counts": [65535**2]}
    return read([mask | {"segmentation": big}])


def tables(place):
    """Rows that name files, a loading script, and an object of a class of Python's in a column."""
    here = str(place / "target" / "a.png")
    held = [{"bytes": Path(here).read_bytes(), "path": "../../mark.png"}]
    pq.write_table(pa.table({"label": held}), "t.parquet")
    read = ["evaluate", "--predictions", "preds", "--classes", "camvid", "--workers", "0"]
    Path("preds/a.png").rename("preds/mark.png")
    assert main([*read, "--targets", "t.parquet"]) == 0
    assert not (place.parent / "mark.png").exists()
    pq.write_table(pa.table({"label": [{"bytes": None, "path": here}]}), "t.parquet")
    assert main([*read, "--targets", "t.parquet"]) == 2
    Path("set").mkdir()
    Path("set/set.py").write_text(Path("stranger.py").read_text())
    pq.write_table(pa.table({"image": held, "label": held}), "set/validation.parquet")
    check = ["data", "check", "--data.name", "huggingface", "--data.classes", "camvid"]
    assert main([*check, "--data.root", "set", "--parts", "[val]"]) == 2
    pickled = pa.array([pickle.dumps(Evil(place / "mark"))], pa.binary())
    kind = {"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": "x"}
    field = pa.field("label", pa.binary(), metadata=kind)
    pq.write_table(pa.table([pickled], pa.schema([field])), "t.parquet")
    return main([*read, "--targets", "t.parquet"])


def class_set(place):
    run = f"!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path [{place}"
    Path("mine.yaml").write_text(f"names: [{run}/mark]]]\n")
    assert evaluate("--classes", "mine.yaml") == 2
    bomb = "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9))
    Path("mine.yaml").write_text(f"a0: &a0 [x]\n{bomb}\nnames: *a8\n")
    return evaluate("--classes", "mine.yaml")


def counts(place):
    assert evaluate("--counts", "c.npz") == 0
    with np.load("c.npz") as file:
        held = dict(file)
    held["confusion"] = held["confusion"].copy()
    held["confusion"][0, 0, 0] = -5
    np.savez("negative.npz", **held)
    assert main(["merge", "negative.npz"]) == 2
    np.savez("evil.npz", **held | {"confusion": objects(place / "mark")})
    return main(["merge", "evil.npz"])


def result(place):
    assert evaluate("--images", "photos", "--report", "page", "--output", "there/r.json") == 2
    Path("there").mkdir()
    assert evaluate("--images", "photos", "--report", "page", "--output", "there/r.json") == 0
    assert main(["figures", "there/r.json", "--output", "drawn"]) == 0
    assert not list(Path("drawn").glob("strips*"))  # which show photographs
    assert main(["figures", "there/r.json", "--output", "trusted", "--trust"]) == 0
    assert list(Path("trusted").glob("strips*"))
    return 2


def probe_result(place):
    site = {"name": "a", "cutoff": 0.25, "in_channels": 3, "out_channels": 3}
    site |= dict.fromkeys(("aliasing_score", "aliasing_score_std", "orthogonality"))
    maps = {"folder": str(place / "photos"), "site": "a"}
    Path("there").mkdir()
    Path("there/p.json").write_text(
        json.dumps({"sites": [site], "settings": {"images": 1}, "maps": maps})
    )
    return evaluate("--report", "page", "--probe", "there/p.json")


def annotations(place):
    image = {"id": 1, "file_name": "../photos/a.png", "height": 64, "width": 64}
    entry = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "area": 81}
    content = {"images": [image], "categories": [{"id": 1, "name": "Car"}]}
    content["annotations"] = [entry | {"segmentation": [[0, 0, 9, 0, 9, 9]], "iscrowd": 0}]
    Path("all.json").write_text(json.dumps(content))
    options = ["--task", "instance", "--data.name", "coco", "--data.root", ".", "--parts", "[val]"]
    options += ["--data.images", "{val: preds}", "--data.annotations", "{val: all.json}"]
    return main(["data", "check", *options, "--data.classes", "[Car]"])


def configuration(place):
    spec = "trainer: {callbacks: [{class_path: stranger.Here}]}\n"
    Path("variants.yaml").write_text(f"plain: {{}}\nevil: {{{spec.strip()}}}\n")
    study = ["study", "--config", "run.yaml", "--variants", "variants.yaml", "--output", "study"]
    assert main(study) == 2
    for options in (
        "model: {network: {class_path: stranger.Here}}",
        "model: {losses: [dice, {class_path: stranger.Here}]}",
        "model: {network: {options: {encoder: {class_path: stranger.Here}}}}",
        'model: {network: "class_path: stranger.Here"}',
        'model: {losses: "- {class_path: stranger.Here}"}',
        'model: {losses: ["class_path: stranger.Here"]}',
    ):
        Path("evil.yaml").write_text(f"base: run.yaml\n{options}")
        assert main(["fit", "--config", "evil.yaml", "--output", "run"]) == 2
    for named in (
        ["--model.network.class_path", "stranger.Here"],
        ["--model.network=class_path: stranger.Here"],
        ["--model.network", "{class_path: stranger.Here}"],
        ["--model.losses", "- {class_path: stranger.Here}"],
        ["--model.losses+={class_path: stranger.Here}"],
        ["--model.losses+", "class_path: stranger.Here"],
    ):
        assert main(["fit", "--config", "run.yaml", "--output", "run", *named]) == 2
    Path("evil.yaml").write_text(f"base: run.yaml\n{spec}")
    return main(["fit", "--config", "evil.yaml", "--output", "run"])


def export(place):
    Path("net.pt2").write_bytes(pickle.dumps(Evil(place / "mark")))
    return main(["probe", "--model", "net.pt2", "--images", "photos"])


def factory(place):
    return main(["probe", "--model", "stranger:net", "--images", "photos"])


def folder_with_code(place):
    Path("net").mkdir()
    auto = {"AutoConfig": "stranger.Config", "AutoModel": "stranger.Model"}
    Path("net/config.json").write_text(json.dumps({"model_type": "mine", "auto_map": auto}))
    Path("net/stranger.py").write_text(Path("stranger.py").read_text())
    return main(["probe", "--model", "hf:net", "--images", "photos"])


ATTACKS = {
    "checkpoint (`.ckpt`, `.pth`, `.pt`)": checkpoint,
    "`.safetensors`, `config.json` of a network": safetensors,
    "image, label map (PNG, JPEG, TIFF, BMP, WebP, NPY, NPZ, ...)": label_map,
    "label maps in a ZIP file or a store (`zip://`, `s3://`, ...)": archive,
    "JSON file of COCO for label maps": coco,
    "Parquet, Arrow, folder of `save_to_disk`": tables,
    "class set": class_set,
    "`counts.npz`": counts,
    "`result.json`": result,
    "result of `dealias probe`": probe_result,
    "annotations, detections": annotations,
    "configuration, variants of a study": configuration,
    "`.pt2`": export,
    "`module:factory`": factory,
    "`hf:FOLDER`": folder_with_code,
}


def test_every_kind_of_file_is_attacked():
    rows = re.findall(
        r"^\| ([^|]+?) \| [^|]+ \| [^|]+ \| [^|]+ \|$", PAGE.read_text(), re.MULTILINE
    )
    assert rows[0] == "file"
    assert rows[1:] == list(ATTACKS)


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=[a.__name__ for a in ATTACKS.values()])
def test_nothing_runs_and_nothing_is_asked(attack, place, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 9))
    code = attack(place)
    said = capsys.readouterr().err
    assert code in (1, 2), said
    assert not (place / "mark").exists()
    assert sys.stdin.tell() == 0
    assert "internal error" not in said
    assert max((len(line) for line in said.splitlines()), default=0) < 4000
