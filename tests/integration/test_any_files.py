"""``dealias evaluate`` on files as people have them: the figures of plain files, or a refusal."""

import json
import zipfile

import fsspec
import numpy as np
import pytest
import yaml
from PIL import Image

from dealias.cli import main
from dealias.labels import load_class_set
from helpers import random_maps

FIGURES = ("metrics", "classes", "error_shares", "mIoU_gain", "costly_pairs", "void_pixels")


def maps(seed, height=32, width=48):
    preds, target = (maps.numpy() for maps in random_maps(seed, height, width, classes=11))
    return preds, np.minimum(target, 11)


def save(path, labels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(labels).save(path)


def evaluate(folder, *options, predictions="p", targets="t"):
    output = folder / "result.json"
    output.unlink(missing_ok=True)
    places = ["--predictions", folder / predictions, "--targets", folder / targets]
    arguments = [*places, "--classes", "camvid", "--output", output, "--workers", "0", *options]
    code = main(["evaluate", *map(str, arguments)])
    return json.loads(output.read_text()) if code == 0 else code


def figures(result):
    return {key: result[key] for key in FIGURES}


@pytest.fixture
def plain(tmp_path):
    """Figures of three images under plain names, which every other layout must give."""
    for seed in range(3):
        for side, labels in zip("pt", maps(seed), strict=True):
            save(tmp_path / "plain" / side / f"{seed}.png", labels)
    return figures(evaluate(tmp_path / "plain"))


def lay_out(folder, prediction, target):
    for seed in range(3):
        preds, true = maps(seed)
        save(folder / "p" / prediction.format(seed), preds)
        save(folder / "t" / target.format(seed), true)


@pytest.mark.parametrize(
    ("prediction", "target"),
    [("unet_{}.png", "{}.png"), ("{}/pred.png", "{}/gt.png"), ("{}.jpg.png", "mask-{}.tif")],
)
def test_what_names_have_in_common_is_said(prediction, target, plain, tmp_path, capsys):
    lay_out(tmp_path, prediction, target)
    result = evaluate(tmp_path)
    assert figures(result) == plain
    [said] = result["warnings"]
    assert said.startswith("paired by what names have in common: predictions ")
    assert said in capsys.readouterr().out.replace("\n", " ")
    assert result["sources"]["found_by"] in said


def test_patterns_and_tables_are_followed_again_by_compare_and_figures(plain, tmp_path):
    lay_out(tmp_path, "bonn_{}.png", "ulm_{}.png")
    assert evaluate(tmp_path) == 2
    patterns = ("--prediction-pattern", "bonn_{name}.png", "--target-pattern", "ulm_{name}")
    (tmp_path / "pairs.csv").write_text(
        "prediction,target,name\n" + "".join(f"bonn_{n}.png,ulm_{n}.png,{n}\n" for n in range(3))
    )
    for number, options in enumerate([patterns, ("--pairs", tmp_path / "pairs.csv")]):
        result = evaluate(tmp_path, *options, "--report", tmp_path / f"page{number}")
        assert figures(result) == plain
        assert result["warnings"] == []
        assert [row["name"] for row in result["per_image"]] == ["0", "1", "2"]
        kept = tmp_path / f"r{number}.json"
        kept.write_text(json.dumps(result | {"report": None}))
        drawn = tmp_path / f"drawn{number}"
        assert main(["figures", str(kept), "--output", str(drawn), "--trust"]) == 0
        assert list(drawn.glob("strips*"))
    command = ["compare", str(tmp_path / "r0.json"), str(tmp_path / "r1.json"), "--trust"]
    assert main([*command, "--report", str(tmp_path / "both")]) == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "--prediction-pattern and --target-pattern, or --pairs, say which belong together"),
        (("--prediction-pattern", "x"), "expected {name} once, as in {name}_pred.png"),
        (("--pairs", "none.csv"), "none.csv: no such file"),
        (("--pairs", "a.csv", "--target-pattern", "{name}"), "patterns or a table of pairs"),
    ],
)
def test_what_does_not_pair_is_one_line(options, said, tmp_path, capsys):
    lay_out(tmp_path, "bonn_{}.png", "ulm_{}.png")
    assert evaluate(tmp_path, *options) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert said in line


def test_other_sizes_are_refused_or_resized_and_said(plain, tmp_path, capsys):
    lay_out(tmp_path, "{}.png", "{}.png")
    preds, _ = maps(1)
    save(tmp_path / "p/1.png", preds.repeat(3, 0).repeat(2, 1))
    assert evaluate(tmp_path) == 2
    assert "--resize-predictions nearest resizes it" in capsys.readouterr().err
    resize = ("--resize-predictions", "nearest")
    options = (*resize, "--counts", tmp_path / "c.npz", "--report", tmp_path / "page")
    result = evaluate(tmp_path, *options)
    assert figures(result) == plain
    assert result["resized_images"] == 1
    said = "1 of 3 predictions were resized to the size of their target, by nearest neighbour"
    assert result["warnings"] == [said]
    assert said in (tmp_path / "page/index.html").read_text()
    merged = tmp_path / "merged.json"
    assert main(["merge", str(tmp_path / "c.npz"), "--output", str(merged)]) == 0
    assert json.loads(merged.read_text())["warnings"] == [said]
    command = ["compare", str(merged), str(tmp_path / "plain/result.json"), "--format", "json"]
    capsys.readouterr()
    assert main(command) == 0
    resized, few = json.loads(capsys.readouterr().out)["notes"]
    assert resized.startswith("Predictions were resized to their targets: 1 in ")
    assert few == "Differences have no intervals: expected at least 10 images, got 3."
    save(tmp_path / "p/1.png", preds.T.copy())
    assert evaluate(tmp_path, *resize) == 2
    assert "expected 48x32 pixels like" in capsys.readouterr().err


def zipped(folder):
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*.png"):
            archive.write(file, file.relative_to(folder))
    return f"zip://{path}"


def evaluate_urls(folder, predictions, targets, *options):
    output = folder / "urls.json"
    arguments = ["--predictions", predictions, "--targets", targets, "--classes", "camvid"]
    arguments += ["--output", output, "--overwrite", *options]
    code = main(["evaluate", *map(str, arguments)])
    return json.loads(output.read_text()) if code == 0 else code


@pytest.mark.parametrize("workers", ["0", "2"])
def test_folders_in_zip_files_and_stores(workers, plain, tmp_path):
    lay_out(tmp_path, "{}_pred.png", "{}_gt.png")
    store = fsspec.filesystem("memory")
    for file in (tmp_path / "t").iterdir():
        store.pipe(f"/t/{file.name}", file.read_bytes())
    given = (zipped(tmp_path / "p"), "memory://t")
    page = tmp_path / "page"
    options = ("--workers", workers, "--report", page, "--counts", tmp_path / "c.npz")
    result = evaluate_urls(tmp_path, *given, *options)
    store.store.clear()
    assert figures(result) == plain
    assert (result["sources"]["predictions"], result["sources"]["targets"]) == given
    assert "Errors of p.zip" in (page / "index.html").read_text()
    drawn = str(tmp_path / "drawn")
    command = ["figures", str(tmp_path / "urls.json"), "--output", drawn, "--trust"]
    assert main(command) == 0  # from the page
    assert list((tmp_path / "drawn").glob("strips*"))
    assert main(["merge", str(tmp_path / "c.npz"), "--output", str(tmp_path / "m.json")]) == 0
    assert json.loads((tmp_path / "m.json").read_text())["sources"] == result["sources"]


def test_one_zip_file_for_both_is_one_folder(plain, tmp_path, capsys):
    lay_out(tmp_path, "../both/{}_pred.png", "../both/{}_gt.png")
    url = zipped(tmp_path / "both")
    assert figures(evaluate_urls(tmp_path, url, url)) == plain
    lay_out(tmp_path, "{}.png", "{}.png")
    url = zipped(tmp_path / "t")
    assert evaluate_urls(tmp_path, url, url) == 2
    assert "is given for predictions and for targets" in capsys.readouterr().err


def test_files_of_coco_are_read_by_category(plain, tmp_path):
    """CamVid's classes as categories 10 to 20, in panoptic targets and results of masks."""
    (tmp_path / "coco").mkdir()
    targets, results = [], []
    for seed in range(3):
        preds, true = maps(seed)
        pixels = np.dstack([np.where(true == 11, 0, true + 1), np.zeros((*true.shape, 2), int)])
        save(tmp_path / f"coco/panoptic/{seed:012d}.png", pixels.astype(np.uint8))
        parts = [{"id": k + 1, "category_id": k + 10} for k in range(11)]
        targets.append({"file_name": f"{seed:012d}.png", "segments_info": parts})
        for k in np.unique(preds).tolist():
            edges = np.flatnonzero(np.diff((preds == k).T.ravel(), prepend=False, append=False))
            runs = np.diff(edges, prepend=0, append=preds.size).tolist()
            rle = {"size": list(preds.shape), "counts": runs}
            results.append({"image_id": seed, "category_id": k + 10, "segmentation": rle})
    (tmp_path / "coco/panoptic.json").write_text(json.dumps({"annotations": targets}))
    (tmp_path / "coco/results.json").write_text(json.dumps(results))
    camvid = load_class_set("camvid")
    mapping = {k + 10: k for k in range(11)} | {65535: "ignore"}
    classes = {"names": list(camvid.names), "ignore_index": 11, "label_map": mapping}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(classes))
    options = ("--classes", tmp_path / "mine.yaml", "--map-predictions")
    places = {"predictions": "coco/results.json", "targets": "coco/panoptic.json"}
    result = evaluate(tmp_path, *options, **places)
    assert figures(result) == plain
    assert result["sources"]["predictions"] == str(tmp_path / "coco/results.json")
