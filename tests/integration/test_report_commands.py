import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dealias.evaluation.sources
from dealias.cli import main
from dealias.outputs import MANIFEST
from dealias.report import page_examples, read_result
from reports import HOSTILE_FILE, evaluate, evaluated, write_folders


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two evaluations of the same images, with their pages."""
    folder = tmp_path_factory.mktemp("runs")
    write_folders(folder)
    for side in ("a", "b"):
        evaluated(folder, side, "--images", folder / "images", "--report", folder / f"page_{side}")
    return folder


def files_of(page):
    """The contents of the files of a page, by their path in it."""
    paths = [path for path in page.rglob("*") if path.is_file()]
    return {str(path.relative_to(page)): path.read_bytes() for path in paths}


def test_the_page_holds_the_figures(runs):
    result = json.loads((runs / "a.json").read_text())
    assert result["report"] == "page_a"
    page = (runs / "page_a" / "index.html").read_text()
    for name in ("mIoU", "FErr"):
        assert f">{100 * result['metrics'][name]:.2f}<" in page
    assert "dge pixels" not in page  # the published figures of edges are no shares of them
    assert "http:" not in page
    assert "https:" not in page


def test_the_page_holds_every_image(runs):
    examples = page_examples(runs / "page_a")
    assert HOSTILE_FILE in examples.names
    for name in examples.names:
        example = examples.load(name)
        for part, maps in (("a", example.preds), ("targets", example.target)):
            stored = np.asarray(Image.open(runs / part / f"{name}.png"))
            assert (maps == stored).all()


@pytest.mark.parametrize("more", [(), ("--objects", "--found-from", "0.8")])
def test_workers_write_the_same_page(runs, tmp_path, more):
    evaluate(runs, "a", *more, "--report", tmp_path / "one")
    assert evaluate(runs, "a", *more, "--report", tmp_path / "two", "--workers", "2") == 0
    one, two = (files_of(tmp_path / page) for page in ("one", "two"))
    assert len(one) > 10
    assert one == two


@pytest.mark.slow
def test_torchrun_writes_the_same_page(runs, tmp_path):
    images = ["--images", str(runs / "images")]
    assert evaluate(runs, "a", *images, "--report", tmp_path / "one") == 0
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m"]
    command += ["dealias", "evaluate", "--predictions", str(runs / "a"), *images]
    command += ["--targets", str(runs / "targets"), "--classes", str(runs / "five.yaml")]
    command += ["--workers", "0", "--report", str(tmp_path / "two"), "--overwrite"]
    environ = os.environ | {"OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
    (tmp_path / "two" / "assets" / "mine.txt").touch()
    run = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)
    assert run.returncode != 0
    assert run.stderr.count("holds assets/mine.txt, which dealias did not write") == 1


def test_each_label_map_is_read_once(runs, tmp_path, monkeypatch):
    read, seen = dealias.evaluation.sources.read_label_map, []

    def counted(path, *more):
        seen.append(path)
        return read(path, *more)

    monkeypatch.setattr("dealias.evaluation.sources.read_label_map", counted)
    assert evaluate(runs, "a", "--report", tmp_path / "page") == 0
    assert len(seen) == len(set(seen)) == 10


def test_aliasing_maps_of_a_probe_become_a_layer_and_a_section(runs, tmp_path):
    images = runs / "images"
    probe = ["probe", "--model", "torchvision:resnet18", "--images", str(images)]
    assert (
        main([*probe, "--maps", str(tmp_path / "maps"), "--output", str(tmp_path / "p.json")]) == 0
    )
    site = json.loads((tmp_path / "p.json").read_text())["maps"]["site"]
    assert site == "maxpool"  # the first that is filtered by default
    maps = np.asarray(Image.open(tmp_path / "maps" / "image_00.png"))
    assert maps.shape == (40, 56)
    assert (maps == 65535).sum() == 40 * 56 - 32 * 32
    more = ["--probe", tmp_path / "p.json", "--report", tmp_path / "page"]
    assert evaluate(runs, "a", *more, "--output", tmp_path / "r.json") == 0
    result = read_result(tmp_path / "r.json")
    found = result["errors_against_aliasing"]
    assert found["site"] == site
    assert -1 <= found["rank_correlation"] <= 1
    counted = sum(group["pixels"] for group in found["groups"].values())
    void = sum(
        (np.asarray(Image.open(path))[4:36, 12:44] == 255).sum()
        for path in (runs / "targets").iterdir()
    )
    assert counted == 5 * 32 * 32 - void
    page = (tmp_path / "page" / "index.html").read_text()
    assert "Where the network downsamples" in page
    assert page.count('class="nyquist"') >= 3


def test_two_results_side_by_side(runs, capsys):
    assert main(["compare", str(runs / "a.json"), str(runs / "b.json")]) == 0
    printed = capsys.readouterr().out
    a, b = (json.loads((runs / f"{side}.json").read_text())["metrics"] for side in "ab")
    assert f"{100 * (b['mIoU'] - a['mIoU']):+.2f}" in printed
    command = ["compare", str(runs / "a.json"), str(runs / "b.json"), "--format", "json"]
    assert main(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["metrics"]["mIoU"]["difference"] == b["mIoU"] - a["mIoU"]
    assert [row["name"] for row in found["classes"]][4] == "</script>"


def test_a_page_of_two_results(runs, tmp_path, capsys):
    command = ["compare", str(runs / "a.json"), str(runs / "b.json"), "--workers", "0"]
    assert main([*command, "--report", str(tmp_path / "page")]) == 0
    assert "no pictures" not in capsys.readouterr().out
    assert "better" in (tmp_path / "page" / "index.html").read_text()
    assert len(list((tmp_path / "page" / "assets" / "maps").iterdir())) == 5
    assert main([*command, "--report", str(tmp_path / "page")]) == 2
    assert "is not empty; --overwrite" in capsys.readouterr().err


def test_without_the_folders_the_images_come_from_the_pages(runs, tmp_path, capsys):
    for name in ("a.json", "b.json"):
        shutil.copy(runs / name, tmp_path)
    for name in ("page_a", "page_b"):
        shutil.copytree(runs / name, tmp_path / name)
    for side in ("a", "b"):
        result = json.loads((tmp_path / f"{side}.json").read_text())
        result["sources"]["targets"] = str(tmp_path / "gone")
        (tmp_path / f"{side}.json").write_text(json.dumps(result))
    command = ["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json"), "--workers", "0"]
    assert main([*command, "--report", str(tmp_path / "page")]) == 0
    reference = ["compare", str(runs / "a.json"), str(runs / "b.json"), "--workers", "0"]
    assert main([*reference, "--report", str(tmp_path / "reference")]) == 0
    for path in (tmp_path / "reference" / "assets" / "maps").iterdir():
        assert (tmp_path / "page" / "assets" / "maps" / path.name).read_bytes() == path.read_bytes()
    shutil.rmtree(tmp_path / "page_b")
    capsys.readouterr()
    assert main([*command, "--report", str(tmp_path / "bare")]) == 0
    assert "page_b holds no page" in capsys.readouterr().out.replace("\n", " ")
    assert "page_b holds no page" in (tmp_path / "bare" / "index.html").read_text()


def test_targets_that_differ_are_refused(runs, tmp_path, capsys):
    shutil.copytree(runs, tmp_path / "other")
    for path in (tmp_path / "other" / "targets").iterdir():
        Image.fromarray(np.zeros((40, 56), np.uint8)).save(path)
    evaluated(tmp_path / "other", "b", "--overwrite")
    command = ["compare", str(runs / "a.json"), str(tmp_path / "other" / "b.json")]
    assert main([*command, "--workers", "0", "--report", str(tmp_path / "page")]) == 2
    error = capsys.readouterr().err
    assert "expected the same targets in both, got 2,371 pixels of road in a and 11,200 in" in error
    assert not (tmp_path / "page").exists()
    figures = ["figures", command[1], command[2], "--output", str(tmp_path / "f"), "--strips", "0"]
    assert main(figures) == 0
    assert "no best figures are marked: expected the same targets" in capsys.readouterr().out
    assert "**" not in (tmp_path / "f" / "table.md").read_text()


def test_of_unequal_sets_the_common_images_are_compared_where_that_is_possible(
    runs, tmp_path, capsys
):
    shutil.copytree(runs, tmp_path / "other")
    (tmp_path / "other" / "b" / "image_01.png").unlink()
    evaluate(tmp_path / "other", "b", "--overwrite", "--skip-bad", "--output", tmp_path / "b.json")
    capsys.readouterr()
    assert main(["compare", str(runs / "a.json"), str(tmp_path / "b.json")]) == 0
    assert "Figures are over the 4 images in both" in capsys.readouterr().out
    result = json.loads((tmp_path / "b.json").read_text())
    for row in result["per_image"]:
        del row["margins"]
    (tmp_path / "b.json").write_text(json.dumps(result))
    assert main(["compare", str(runs / "a.json"), str(tmp_path / "b.json")]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "got 1 in a alone, such as 'image_01'; 4 are in both" in error


@pytest.mark.parametrize("part", ["a", "targets"])
def test_label_maps_that_change_after_they_were_counted_are_refused(tmp_path, part, capsys):
    """Wrong pixels stay wrong, in another class: figures by kind do not show it."""
    write_folders(tmp_path)
    for side in ("a", "b"):
        evaluated(tmp_path, side)
    path = tmp_path / part / "image_02.png"
    labels = np.asarray(Image.open(path)).copy()
    other = np.asarray(Image.open(tmp_path / ({"a", "targets"} - {part}).pop() / path.name))
    y, x = np.argwhere((labels != other) & (labels < 5) & (other < 5))[0]
    labels[y, x] = next(k for k in range(5) if k not in (labels[y, x], other[y, x]))
    Image.fromarray(labels).save(path)
    files = [str(tmp_path / "a.json"), str(tmp_path / "b.json")]
    for command in (
        ["compare", *files, "--report", str(tmp_path / "page"), "--workers", "0"],
        ["figures", *files[::-1], "--output", str(tmp_path / "figures"), "--strips", "5"],
    ):
        assert main([*command, "--trust"]) == 2
        assert f"{part}/image_02.png: it is no longer the file" in capsys.readouterr().err
    assert not (tmp_path / "page").exists()
    assert not (tmp_path / "figures").exists()


def test_a_page_of_another_evaluation_is_refused(tmp_path, capsys):
    write_folders(tmp_path)
    for side in ("a", "b"):
        evaluated(tmp_path, side, "--report", tmp_path / "page", "--overwrite")
    shutil.rmtree(tmp_path / "targets")
    command = ["figures", str(tmp_path / "a.json"), "--output", str(tmp_path / "f")]
    assert main(command) == 0
    assert "no strips of images: " in (said := capsys.readouterr().out)
    assert "expected the page of the result, got another" in said
    assert not list((tmp_path / "f").glob("*strips*"))


def test_figures_of_two_results(runs, tmp_path, capsys):
    files = [str(runs / "a.json"), str(runs / "b.json")]
    assert main(["figures", *files, "--output", str(tmp_path / "f"), "--strips", "1"]) == 0
    names = {path.name for path in (tmp_path / "f").iterdir()} - {MANIFEST}
    assert {"table.md", "table.tex", "a_classes.tex", "b_strips.pdf", "a_errors.svg"} <= names
    assert f"{len(names)} files: " in capsys.readouterr().out
    result = json.loads((runs / "a.json").read_text())
    row = (tmp_path / "f" / "table.md").read_text().splitlines()[2]
    assert f"{100 * result['metrics']['mIoU']:.1f}" in row


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "--probe", "x.json"], "--probe is for --report"),
        (["evaluate", "--images", "x"], "--images is for --error-maps or --report"),
        (["compare", "a.json", "missing.json"], "missing.json: no such file"),
        (["figures", "missing.json", "--output", "f"], "missing.json: no such file"),
        (["figures", "a.json", "a.json", "--output", "f"], "expected each result once"),
        (["figures", "a.json", "--output", "f", "--strips", "-1"], "--strips: expected 0 or more"),
    ],
)
def test_bad_options_exit_with_2(runs, arguments, message, capsys, monkeypatch):
    monkeypatch.chdir(runs)
    command, *rest = arguments
    if command == "evaluate":
        assert evaluate(runs, "a", *rest) == 2
    else:
        assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_a_page_of_camvid(camvid, tmp_path):
    names = sorted(path.name for path in (camvid / "valannot").iterdir())[::25]
    for part in ("predictions", "targets", "images"):
        (tmp_path / part).mkdir()
    for name in names:
        labels = np.asarray(Image.open(camvid / "valannot" / name))
        moved = np.where(labels == 11, 4, np.roll(labels, 3, 1))  # void is no class
        Image.fromarray(np.minimum(moved, 10)).save(tmp_path / "predictions" / name)
        shutil.copy(camvid / "valannot" / name, tmp_path / "targets")
        (photograph,) = (camvid / "val").glob(f"{Path(name).stem}.*")
        shutil.copy(photograph, tmp_path / "images")
    command = ["evaluate", "--classes", "camvid", "--workers", "0"]
    for part in ("predictions", "targets", "images"):
        command += [f"--{part}", str(tmp_path / part)]
    output = ["--output", str(tmp_path / "r.json"), "--report", str(tmp_path / "page")]
    assert main([*command, *output]) == 0
    result = read_result(tmp_path / "r.json")
    assert result["images"] == len(names) > 3
    examples = page_examples(tmp_path / "page")
    for name in examples.names:
        example = examples.load(name)
        stored = np.asarray(Image.open(tmp_path / "targets" / f"{name}.png"))
        void = example.target == examples.classes.ignore_index
        assert (np.where(void, 11, example.target) == stored).all()
        (path,) = (tmp_path / "images").glob(f"{name}.*")
        photograph = np.asarray(Image.open(path).convert("RGB"))
        assert np.abs(example.image.astype(int) - photograph).mean() < 8
    page = (tmp_path / "page" / "index.html").read_text()
    assert all(f"> {row['name']}</th>" in page for row in result["classes"])
