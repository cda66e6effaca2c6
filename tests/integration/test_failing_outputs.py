"""Commands whose pictures, disks or inputs fail: figures are kept, nothing is half-written."""

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
from dealias.data import write_scenes
from dealias.outputs import MANIFEST
from dealias.report import page_examples, read_result, write_figures, write_tables
from dealias.report.tables import Tables
from reports import evaluate, evaluated, write_folders
from runs import command, failure


@pytest.fixture
def maps(tmp_path):
    write_folders(tmp_path)
    return tmp_path


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def break_drawing(monkeypatch, error=None):
    def fail(*_, **__):
        raise error or OSError(28, "No space left on device")

    monkeypatch.setattr("dealias.report.writer.draw_files", fail)


OUTPUTS = ("r.json", "r.csv", "r.npz")


def write_all(folder, *more):
    files = ["--output", folder / "r.json", "--csv", folder / "r.csv", "--counts", folder / "r.npz"]
    return evaluate(folder, "a", *files, "--report", folder / "page", *more)


class TestPicturesThatFail:
    """The figures are written, the page is not, and the exit code says so."""

    @pytest.mark.parametrize(
        ("error", "said"),
        [
            (OSError(28, "No space left on device"), "No space left on device"),
            (ValueError("a.png: broken"), "a.png: broken"),
            (TypeError("odd"), "TypeError in drawing: odd"),
            (MemoryError(), "MemoryError in drawing"),
        ],
    )
    @pytest.mark.parametrize("workers", ["0", "2"])
    def test_in_evaluate(self, error, said, workers, maps, monkeypatch, capsys):
        before = set(names_in(maps))
        break_drawing(monkeypatch, error)
        assert write_all(maps, "--workers", workers) == 2
        assert said in capsys.readouterr().err
        assert set(names_in(maps)) - before == {*OUTPUTS}
        assert read_result(maps / "r.json")["images"] == 5

    def test_at_the_end(self, maps, monkeypatch, capsys):
        def fail(*_, **__):
            raise KeyError("site")

        monkeypatch.setattr("dealias.report.writer.finish_report", fail)
        assert write_all(maps) == 2
        assert "KeyError in drawing: 'site'" in capsys.readouterr().err
        assert read_result(maps / "r.json")["images"] == 5
        assert not (maps / "page").exists()

    def test_a_photograph_that_is_broken(self, maps, capsys):
        (maps / "images" / "image_02.png").write_bytes(b"no image")
        more = ["--images", maps / "images", "--error-maps", maps / "maps"]
        assert write_all(maps, *more) == 2
        assert "image_02.png" in capsys.readouterr().err
        assert read_result(maps / "r.json")["images"] == 5
        assert not (maps / "page").exists()
        assert not (maps / "maps").exists()

    def test_an_image_of_many_pixels_a_side(self, tmp_path):
        for part in ("a", "targets", "images"):
            (tmp_path / part).mkdir()
            mode = "RGB" if part == "images" else "L"
            Image.new(mode, (16_400, 3)).save(tmp_path / part / "long.png")
        (tmp_path / "five.yaml").write_text("names: [a, b]")
        assert write_all(tmp_path, "--images", tmp_path / "images") == 0
        assert page_examples(tmp_path / "page").load("long").target.shape == (3, 16_400)

    @pytest.mark.parametrize("option", ["--report", "--label_maps"])
    def test_in_test(self, option, trained, config, tmp_path, monkeypatch, capsys):
        run, outputs = tmp_path / "run", {"--report": tmp_path / "page", "--label_maps": "true"}
        if option == "--report":
            break_drawing(monkeypatch)
        else:
            monkeypatch.setattr(
                "dealias.engine.segmentation.write_label_map",
                lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")),
            )
        options = ["--ckpt_path", str(trained / "last.ckpt")]
        options += [str(part) for pair in outputs.items() for part in pair]
        assert "No space left on device" in failure(capsys, "test", config, run, *options)
        assert read_result(run / "test" / "result.json")["images"] == 3
        assert (tmp_path / "page").exists() == (option != "--report")
        assert (run / "test" / "predictions").exists() == (option != "--label_maps")
        assert not list(run.rglob(".*.dealias-part"))

    def test_in_compare(self, maps, tmp_path, monkeypatch, capsys):
        for side in "ab":
            evaluated(maps, side)
        break_drawing(monkeypatch)
        monkeypatch.setattr(
            "dealias.report.comparison_page.draw_files",
            lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")),
        )
        files = [str(maps / "a.json"), str(maps / "b.json")]
        more = ["--report", str(tmp_path / "page"), "--workers", "0", "--trust"]
        assert main(["compare", *files, *more]) == 2
        said = capsys.readouterr()
        assert "B - A" in said.out
        assert "No space left on device" in said.err
        assert not (tmp_path / "page").exists()


LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
import dealias.cli, dealias.engine, dealias.report, dealias.probe
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
raise SystemExit(dealias.cli.main(sys.argv[2:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("most", [0, 100, 1000, 5000])
@pytest.mark.parametrize("asked", ["evaluate", "merge", "figures", "compare", "probe", "data"])
def test_no_file_may_be_as_long(asked, most, maps, tmp_path):
    """As on a full disk: one line, what was there stays, and nothing is half there."""
    for side in "ab":
        evaluated(maps, side, "--counts", maps / f"{side}.npz", "--report", maps / f"page_{side}")
    out = tmp_path / "out"
    (out / "maps").mkdir(parents=True)
    files = ["--output", out / "r.json", "--csv", out / "r.csv", "--counts", out / "r.npz"]
    fixed = ["--targets", maps / "targets", "--classes", maps / "five.yaml", "--workers", "0"]
    results = [maps / "a.json", maps / "b.json"]
    photographs = ["--images", maps / "images", "--limit", "1"]
    scenes = ["--data.name=scenes", "--data.scenes.val=2", "--parts=[val]"]
    drawn = ["--maps", out / "maps", "--figures", out / "figures"]
    commands = {
        "evaluate": ["--predictions", maps / "a", *fixed, *files, "--report", out / "page"],
        "merge": [maps / "a.npz", *files],
        "figures": [*results, "--output", out / "figures"],
        "compare": [*results, "--report", out / "page", "--trust", "--workers", "0"],
        "probe": ["--model", "torchvision:resnet18", *photographs, *drawn],
        "data": ["check", *scenes, "--output", out / "d.json", "--sheet", out / "sheet.png"],
    }
    program = [sys.executable, "-c", LIMITED, str(most), asked, *map(str, commands[asked])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run(
        program, env=environment, cwd=out, capture_output=True, text=True, check=False
    )
    assert found.returncode == 2, found.stderr
    assert "File too large" in found.stderr.splitlines()[-1]
    assert "Traceback" not in found.stderr
    for path in out.iterdir():
        assert path.name[0] != "."
        assert path.name == "maps" or path.stat().st_size <= most or (path / MANIFEST).exists()
    assert not any((out / "maps").iterdir()) or (out / "maps" / MANIFEST).exists()


@pytest.mark.parametrize("name", [b"\xff\xfe", b"a" * 240, b"a\nb", b"a.b", b"-"])
def test_names_of_any_kind(name, maps, monkeypatch, capsys):
    """Of images and of the folder around the outputs, written twice over."""
    name = os.fsdecode(name)
    for part in ("a", "targets"):
        (maps / part / "image_00.png").rename(maps / part / f"{name}.png")
    out = maps / f"x{name}"
    out.mkdir()
    monkeypatch.chdir(out)
    more = ["--error-maps", "m", "--report", "p", "--overwrite"]
    for _ in range(2):
        assert evaluate(maps, "a", "--output", "r", *more) == 0
        assert names_in(out) == ["m", "p", "r"]
        assert (out / "m" / f"{name}.png").is_file()
    assert read_result(out / "r")["images"] == 5
    assert "Traceback" not in capsys.readouterr().err


def test_a_page_in_the_working_folder(maps, monkeypatch):
    """Which stays the one that a shell is in, and relative paths lead on."""
    (maps / "site").mkdir()
    monkeypatch.chdir(maps / "site")
    for side in "ab":
        more = ["--report", ".", "--output", "../r.json", "--overwrite"]
        assert evaluate(maps, side, *more) == 0
        assert Path().samefile(maps / "site")
        assert sorted(names_in(maps / "site")) == [MANIFEST, "assets", "index.html"]
        assert (maps / "r.json").is_file()
    assert evaluate(maps, "a", "--report", ".", "--output", "r.json", "--overwrite") == 2


class TestTraining:
    @pytest.fixture
    def broken(self, tmp_path):
        """Options of a data set whose first images can't be read."""
        for name in write_scenes(tmp_path / "scenes", 3, size=(64, 96)):
            (tmp_path / "scenes" / "images" / f"{name}.png").write_bytes(b"no image")
        data = ["--data.name", "folder", "--data.root", str(tmp_path / "scenes")]
        data += ["--data.classes", "scenes"]
        return data + [f"--data.splits.{part}=." for part in ("train", "val", "test")]

    @pytest.mark.parametrize("command_name", ["fit", "test", "predict"])
    def test_one_that_never_began_leaves_no_folders(
        self, command_name, broken, trained, config, tmp_path, capsys
    ):
        options = ["--ckpt_path", str(trained / "last.ckpt")] if command_name != "fit" else []
        if command_name == "predict":
            options += ["--data.predict_images", str(tmp_path / "scenes" / "images")]
        if command_name == "test":
            options += ["--report", str(tmp_path / "pages" / "deep" / "page"), "--label_maps=true"]
        said = failure(capsys, command_name, config, tmp_path / "a" / "b", *broken, *options)
        assert "scene_0000" in said
        assert names_in(tmp_path) == ["scenes", "tiny.yaml"]

    def test_nor_if_there_are_no_steps(self, config, tmp_path, capsys):
        said = failure(capsys, "fit", config, tmp_path / "a" / "b", "--trainer.max_steps", "0")
        assert "max_steps: expected at least 1" in said
        assert names_in(tmp_path) == ["tiny.yaml"]

    def test_it_keeps_the_earlier_one(self, broken, trained, config, tmp_path, capsys):
        run = tmp_path / "run"
        shutil.copytree(trained, run)
        before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
        for options in (broken, ["--trainer.max_steps", "0"]):
            failure(capsys, "fit", config, run, *options, "--overwrite")
            assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before

    def test_a_configuration_of_others_is_kept(self, config, tmp_path, capsys):
        (tmp_path / "config.yaml").write_text("mine")
        assert "config.yaml: exists already" in failure(capsys, "fit", config, tmp_path)
        assert (tmp_path / "config.yaml").read_text() == "mine"

    @pytest.mark.parametrize("report", ["", "test", "test/predictions", "test/predictions/a"])
    def test_a_page_among_the_results(self, report, trained, config, tmp_path, capsys):
        run = tmp_path / "run"
        options = ["--ckpt_path", str(trained / "last.ckpt"), "--label_maps", "true"]
        said = failure(capsys, "test", config, run, *options, "--report", str(run / report))
        assert "lies in another output" in said or "is given for two outputs" in said
        assert not run.exists()

    def test_what_killed_ones_left_goes(self, config, tmp_path):
        run = tmp_path / "run"
        (run / "samples" / "0000003").mkdir(parents=True)
        ours = [".last.ckpt.abcd1234.dealias-part", ".epoch=1.ckpt.abcd1234.dealias-part"]
        ours += [
            ".config.yaml.abcd1234.dealias-part",
            "samples/0000003/.x.png.abcd1234.dealias-part",
        ]
        for name in [*ours, ".last.ckpt.mine", "samples/0000003/mine.dealias-part"]:
            (run / name).touch()
        assert command("fit", config, run, "--trainer.max_steps", "1") == 0
        assert not [name for name in ours if (run / name).exists()]
        assert (run / ".last.ckpt.mine").exists()
        assert (run / "samples" / "0000003" / "mine.dealias-part").exists()


class TestFigures:
    def test_of_three_paths(self, maps, tmp_path):
        """Which share the name of the file, and of its folder."""
        evaluated(maps, "a")
        paths = [tmp_path / "x" / "run", tmp_path / "y" / "run", tmp_path / "y" / "z" / "run"]
        for path in paths:
            path.mkdir(parents=True)
            shutil.copy(maps / "a.json", path / "r.json")
        files = [str(path / "r.json") for path in paths]
        before = sorted(tmp_path.rglob("*"))
        root = names_in(Path("/"))
        assert main(["figures", *files, "--output", str(tmp_path / "f"), "--strips", "0"]) == 0
        new = [path for path in sorted(tmp_path.rglob("*")) if path not in before]
        assert {path.parent for path in new} == {tmp_path, tmp_path / "f"}
        assert len(list((tmp_path / "f").glob("*_errors.pdf"))) == 3
        assert names_in(Path("/")) == root

    def test_names_that_look_alike(self, maps, tmp_path):
        evaluated(maps, "a")
        files = [tmp_path / name for name in ("a-b.json", "a b.json", "c.json")]
        for path in files:
            shutil.copy(maps / "a.json", path)
        output = ["--output", str(tmp_path / "f"), "--strips", "0"]
        assert main(["figures", *map(str, files), *output]) == 0
        found = {path.name for path in (tmp_path / "f").glob("*_errors.pdf")}
        assert found == {"1_a_b_errors.pdf", "2_a_b_errors.pdf", "c_errors.pdf"}

    @pytest.mark.parametrize("name", ["/x", "a/b", "..\\x", "\0"])
    def test_separators_are_refused(self, name, tmp_path):
        with pytest.raises(ValueError, match="prefix: expected a name without separators"):
            write_figures(tmp_path, {}, prefix=name)
        with pytest.raises(ValueError, match="name: expected a name without separators"):
            write_tables(tmp_path, name, Tables("", ""))
        assert names_in(tmp_path) == []


def test_a_demonstration_does_not_replace_what_is_not_its_own(tmp_path, capsys):
    """It says so before it trains."""
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "mine.png").touch()
    command = ["demo", "--folder", str(tmp_path), "--steps", "1", "--scenes", "1", "--overwrite"]
    assert main(command) == 2
    assert "holds mine.png, which dealias did not write" in capsys.readouterr().err
    assert names_in(tmp_path) == ["labels"]


@pytest.mark.parametrize("part", ["a", "targets"])
def test_label_maps_that_change_meanwhile(part, maps, monkeypatch):
    """The page, its label maps and the table are of the same reading."""
    read, swapped = dealias.evaluation.sources.read_label_map, []

    def swap(path, *more):
        found = read(path, *more)
        if path.parent.name == part:  # after it was read, before anything is drawn
            Image.fromarray(np.zeros((40, 56), np.uint8)).save(path)
            swapped.append(found)
        return found

    monkeypatch.setattr("dealias.evaluation.sources.read_label_map", swap)
    assert evaluate(maps, "a", "--output", maps / "r.json", "--report", maps / "page") == 0
    assert len(swapped) == 5
    result = read_result(maps / "r.json")
    examples = page_examples(maps / "page")
    wrong = 0
    for name in examples.names:
        example = examples.load(name)
        wrong += int(((example.preds != example.target) & (example.target != 255)).sum())
        assert (example.preds if part == "a" else example.target).any()
    rows = result["per_image"]
    assert wrong == sum(sum(row["error_pixels"].values()) for row in rows)
    kept = json.loads((maps / "page" / "assets" / "evaluation.json").read_text())
    assert sorted(kept["images"]) == sorted(row["name"] for row in rows)
    assert main(["figures", str(maps / "r.json"), "--output", str(maps / "f"), "--trust"]) == 2
