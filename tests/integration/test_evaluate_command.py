import contextlib
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dealias.cli import main
from dealias.environment import environment
from dealias.evaluation import ERROR_COLORS
from dealias.files import OutputError, write_whole
from dealias.outputs import OutputFolder, claim_outputs
from helpers import random_maps

NAMES = ["a", "b", "c", "d", "e"]


@pytest.fixture
def data(tmp_path):
    """Five pairs of CamVid labels, in folders beside the outputs."""
    for folder in ("predictions", "targets"):
        (tmp_path / folder).mkdir()
    for seed, name in enumerate(NAMES):
        preds, target = (maps.numpy() for maps in random_maps(seed, 40, 56, classes=11))
        Image.fromarray(preds).save(tmp_path / "predictions" / f"{name}.png")
        Image.fromarray(np.minimum(target, 11)).save(tmp_path / "targets" / f"{name}.png")
    return tmp_path


def arguments(data, *more):
    fixed = ["evaluate", "--predictions", data / "predictions", "--targets", data / "targets"]
    return [str(argument) for argument in (*fixed, "--classes", "camvid", "--workers", "0", *more)]


def evaluate(data, *more):
    return main(arguments(data, *more))


def save(path, labels):
    Image.fromarray(np.asarray(labels, np.uint8)).save(path)


def test_the_json_has_what_it_promises(data):
    assert evaluate(data, "--output", data / "r.json") == 0
    result = json.loads((data / "r.json").read_text())
    assert result["protocol"] == "paper"
    assert result["band_width"] == 15
    assert result["images"] == 5
    kinds = {"false_response", "merging_mistake", "displacement", "interior"}
    assert set(result["error_shares"]) == set(result["mIoU_gain"]) == kinds
    assert sum(result["error_shares"].values()) == pytest.approx(1)
    columns = {"name", "IoU", "Acc", "BIoU", "BAcc", "FErr", "MErr", "DErr", "pixels", "IoU_gain"}
    assert all(set(row) == columns for row in result["classes"])
    means = {"mIoU": "IoU", "mAcc": "Acc", "FErr": "FErr", "BIoU": "BIoU"}
    for mean, column in means.items():
        values = [row[column] for row in result["classes"] if row[column] is not None]
        assert result["metrics"][mean] == pytest.approx(np.mean(values))
    targets = [np.array(Image.open(data / "targets" / f"{name}.png")) for name in NAMES]
    for index, row in enumerate(result["classes"]):
        assert row["pixels"] == sum((target == index).sum() for target in targets)
    assert [row["name"] for row in result["per_image"]] == NAMES
    assert set(result["per_image"][0]["error_pixels"]) == kinds
    assert result["environment"] == environment()


def test_the_csv_has_the_classes_and_their_mean(data):
    assert evaluate(data, "--output", data / "r.json", "--csv", data / "r.csv") == 0
    result = json.loads((data / "r.json").read_text())
    with (data / "r.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [row["name"] for row in result["classes"]] + ["mean"]
    assert float(rows[2]["DErr"]) == result["classes"][2]["DErr"]
    assert float(rows[-1]["IoU"]) == result["metrics"]["mIoU"]


def test_the_table_is_in_percent_and_the_papers_order(data, capsys):
    assert evaluate(data, "--output", data / "r.json") == 0
    captured = capsys.readouterr()
    result = json.loads((data / "r.json").read_text())
    head = next(line for line in captured.out.splitlines() if "BIoU" in line)
    order = ["IoU", "BIoU", "BAcc", "FErr", "MErr", "DErr"]
    assert [word for word in head.split() if word in {*order, "mIoU"}] == order
    mean = next(line for line in captured.out.splitlines() if line.startswith("│ mean"))
    values = [f"{100 * result['metrics'][name]:.2f}" for name in ("mIoU", *order[1:])]
    assert [word for word in mean.split() if word[0].isdigit()] == values
    assert captured.err == ""  # no progress bar where there is no terminal


def test_workers_shards_and_torchrun_give_the_same_bytes(data):
    more = ["--boundary", "--objects", "--vanished-below", "0.2", "--band-widths", "1%,4%"]
    assert evaluate(data, "--output", data / "one.json", *more) == 0
    expected = (data / "one.json").read_bytes()

    assert evaluate(data, "--output", data / "two.json", *more, "--workers", "2") == 0
    assert (data / "two.json").read_bytes() == expected

    counts = [data / f"{shard}.npz" for shard in (1, 2)]
    for shard, path in enumerate(counts, start=1):
        assert evaluate(data, "--shard", f"{shard}/2", "--counts", path, *more) == 0
    merged = ["merge", *map(str, counts), "--output", str(data / "merged.json")]
    assert main(merged) == 0
    assert (data / "merged.json").read_bytes() == expected

    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m"]
    output = ["--output", data / "ranks.json", "--overwrite"]
    command += ["dealias", *arguments(data, *output, *more)]
    environ = os.environ | {"OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert (data / "ranks.json").read_bytes() == expected
    assert run.stdout.count("worst images") == 1

    bad_labels(data)  # read by one of the two
    run = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)
    assert run.returncode != 0
    assert run.stderr.count("dealias evaluate: error: ") == 1
    assert "c.png: expected labels 0..10" in run.stderr


def test_objects_are_told_of_by_class_and_size(data, capsys):
    assert evaluate(data, "--objects", "--output", data / "r.json") == 0
    found = json.loads((data / "r.json").read_text())["objects"]
    lines = capsys.readouterr().out.splitlines()
    sky = next(row for row in found["classes"] if row["name"] == "Sky")
    fates, sizes = (line.split() for line in lines if line.startswith("│ Sky") and "." not in line)
    assert fates[3::2] == [
        str(sky[key])
        for key in ("objects", "found", "partly_found", "vanished", "merged", "split", "false")
    ] + [str(sky["predicted"])]
    assert " ".join(sizes).endswith(f"│ {sky['vanished']} of {sky['objects']} │")
    [false] = [line.split()[3::2] for line in lines if line.startswith("│ false  ")]
    rows = (*found["sizes"], found["total"])
    assert false == [f"{row['false']:,}" for row in rows]


def test_the_figures_at_several_widths(data, capsys):
    assert evaluate(data, "--band-widths", "1,15", "--output", data / "r.json") == 0
    result = json.loads((data / "r.json").read_text())
    names = ("mIoU", "BIoU", "BAcc", "FErr", "MErr", "DErr")
    assert [result["widths"]["metrics"][name][1] for name in names] == [
        result["metrics"][name] for name in names
    ]
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("│ 1 px")]
    expected = [f"{100 * result['widths']['metrics'][name][0]:.2f}" for name in names]
    assert [word for word in line.split() if "." in word] == expected


def test_boundary_scores_are_there_when_asked_for(data, capsys):
    assert evaluate(data, "--output", data / "r.json", "--boundary") == 0
    result = json.loads((data / "r.json").read_text())
    for name in ("boundary_IoU", "boundary_F"):
        values = [row[name] for row in result["classes"]]
        assert result["metrics"][name] == pytest.approx(np.mean(values))
    assert "boundary IoU" in capsys.readouterr().out


def test_error_maps_mark_as_many_pixels_as_are_counted(data):
    photographs = data / "photographs"
    photographs.mkdir()
    for name in NAMES:
        Image.new("RGB", (28, 20), (200, 100, 50)).save(photographs / f"{name}.png")
    for folder, more in (("maps", []), ("over", ["--images", photographs])):
        output = ["--output", data / f"{folder}.json", "--error-maps", data / folder]
        assert evaluate(data, *output, *more) == 0
        result = json.loads((data / f"{folder}.json").read_text())
        for row in result["per_image"]:
            drawn = np.array(Image.open(data / folder / f"{row['name']}.png"))
            for kind, color in ERROR_COLORS.items():
                assert (drawn == color).all(-1).sum() == row["error_pixels"][kind]
    target = np.array(Image.open(data / "targets" / "e.png"))
    right = (np.array(Image.open(data / "predictions" / "e.png")) == target) & (target != 11)
    luminance = 0.299 * 200 + 0.587 * 100 + 0.114 * 50
    assert (drawn[right] == int(0.35 * luminance)).all()
    assert (drawn[target == 11] == 0).all()


def test_a_shard_takes_no_photograph_of_another_scene(data, capsys):
    scenes = data / "scenes"
    for scene in ("s1", "s2"):
        for part in ("predictions", "targets", "photographs"):
            (scenes / part / scene).mkdir(parents=True)
            if part != "photographs":
                shutil.copy(data / part / "a.png", scenes / part / scene / "1.png")
    Image.new("RGB", (56, 40)).save(scenes / "photographs" / "s1" / "1.png")
    more = ["--images", scenes / "photographs", "--error-maps", scenes / "maps"]
    assert evaluate(scenes, *more, "--shard", "2/2", "--counts", scenes / "2.npz") == 2
    assert "photographs: no image for s2/1" in capsys.readouterr().err


def test_photographs_that_cannot_be_used(data, capsys, monkeypatch):
    photographs = data / "photographs"
    photographs.mkdir()
    for name in NAMES[1:]:
        Image.new("RGB", (56, 40)).save(photographs / f"{name}.png")
    (photographs / "b.png").write_text("nonsense")
    maps = ["--error-maps", data / "maps", "--images", photographs]
    assert evaluate(data, *maps) == 2
    assert "photographs: no image for a" in capsys.readouterr().err
    assert evaluate(data, *maps, "--skip-bad", "--output", data / "r.json") == 1
    result = json.loads((data / "r.json").read_text())
    assert result["images"] == 5  # metrics do not depend on photographs
    assert [("for a" in m, "b.png" in m) for m in result["skipped"]] == [(0, 1), (1, 0)]
    assert len(list((data / "maps").glob("*.png"))) == 5
    monkeypatch.chdir(data)
    page = ["--images", "photographs", "--report", data / "page"]
    for more in ([], ["--error-maps", data / "others"]):  # each is listed once, and as it was given
        assert evaluate(data, *page, *more, "--skip-bad", "--overwrite", "--output", "r.json") == 1
        result = json.loads((data / "r.json").read_text())
        first, second = sorted(result["skipped"])
        assert first.startswith("photographs/b.png: ")
        assert second == "photographs: no image for a"
    assert evaluate(data, "--images", photographs) == 2
    assert "--images is for --error-maps or --report" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ([], "displacement"),
        (["--protocol", "exact"], "false_response"),  # borders with void make no band
        (["--band-width", "3"], "false_response"),  # the border with void is too far away
    ],
)
def test_the_protocol_and_the_width_reach_the_counts(more, kind, data):
    preds, target = np.zeros((2, 40, 56))
    target[:4, :4] = 11
    preds[5, 5] = 1
    for name in NAMES:
        save(data / "predictions" / f"{name}.png", preds)
        save(data / "targets" / f"{name}.png", target)
    assert evaluate(data, "--output", data / "r.json", *more) == 0
    result = json.loads((data / "r.json").read_text())
    assert result["error_shares"][kind] == 1
    assert result["protocol"] == ("exact" if "exact" in more else "paper")
    assert result["band_width"] == (3 if "3" in more else 15)


def bad_size(data):
    save(data / "predictions" / "c.png", np.zeros((40, 55)))


def bad_labels(data):
    labels = np.zeros((40, 56))
    labels[0, :4] = 200
    save(data / "predictions" / "c.png", labels)


def bad_target(data):
    save(data / "targets" / "c.png", np.full((40, 56), 77))


def unknown_colour(data):
    save(data / "targets" / "c.png", np.full((40, 56, 3), 9))


def truncated(data):
    path = data / "predictions" / "c.png"
    path.write_bytes(path.read_bytes()[:-300])


def no_image(data):
    (data / "predictions" / "c.png").write_text("nonsense")


def float_map(data):
    (data / "predictions" / "c.png").unlink()
    np.save(data / "predictions" / "c.npy", np.full((40, 56), 0.5))


BAD_FILES = {
    bad_size: ["predictions/c.png: expected 56x40 pixels like", "targets/c.png, got 55x40"],
    bad_labels: ["predictions/c.png: expected labels 0..10, got 200 (4 px)"],
    bad_target: ["targets/c.png: expected labels 0..10 or void 11, got 77 (2,240 px)"],
    unknown_colour: ["targets/c.png: colours not in the palette of 'camvid': #090909"],
    truncated: ["predictions/c.png: can't be read"],
    no_image: ["predictions/c.png: not an image"],
    float_map: ["predictions/c.npy: expected whole numbers as labels"],
}


@pytest.mark.parametrize("spoil", BAD_FILES)
@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_bad_file_is_named_and_nothing_is_written(spoil, workers, data, capsys):
    spoil(data)
    outputs = ["--output", data / "r.json", "--csv", data / "r.csv", "--counts", data / "r.npz"]
    before = set(data.iterdir())
    assert evaluate(data, *outputs, "--workers", workers) == 2
    message = capsys.readouterr().err
    assert message.startswith("dealias evaluate: error: ")
    assert message.count("\n") == 1
    assert all(part in message for part in BAD_FILES[spoil])
    assert set(data.iterdir()) == before


@pytest.mark.parametrize("spoil", BAD_FILES)
def test_a_bad_file_can_be_skipped_and_is_listed(spoil, data, capsys):
    spoil(data)
    assert evaluate(data, "--output", data / "r.json", "--skip-bad") == 1
    result = json.loads((data / "r.json").read_text())
    assert result["images"] == 4
    (skipped,) = result["skipped"]
    assert BAD_FILES[spoil][0] in skipped
    assert "skipped" in capsys.readouterr().out


def test_files_without_a_partner(data, capsys):
    (data / "predictions" / "a.png").unlink()
    (data / "targets" / "b.png").unlink()
    assert evaluate(data) == 2
    message = capsys.readouterr().err
    assert "1 predictions without a target" in message
    assert "1 targets without a prediction" in message
    assert str(data / "predictions" / "b.png") in message
    assert evaluate(data, "--skip-bad", "--output", data / "r.json") == 1
    result = json.loads((data / "r.json").read_text())
    assert result["images"] == 3
    assert len(result["skipped"]) == 2


def test_nothing_left_after_skipping_is_an_error(data, capsys):
    for path in (data / "predictions").iterdir():
        path.write_text("nonsense")
    assert evaluate(data, "--skip-bad", "--output", data / "r.json") == 2
    assert "no image left" in capsys.readouterr().err
    assert not (data / "r.json").exists()


def test_outputs_are_not_replaced_unless_asked_to(data, capsys):
    for name, option in {"r.json": "--output", "r.csv": "--csv", "r.npz": "--counts"}.items():
        (data / name).write_text("precious")
        assert evaluate(data, option, data / name) == 2
        assert f"{name}: exists already" in capsys.readouterr().err
        assert (data / name).read_text() == "precious"
        assert evaluate(data, option, data / name, "--overwrite") == 0
        assert (data / name).read_bytes() != b"precious"
    maps = data / "maps"
    maps.mkdir()
    (maps / "a.png").write_text("precious")
    assert evaluate(data, "--error-maps", maps) == 2
    assert "is not empty" in capsys.readouterr().err
    assert evaluate(data, "--error-maps", maps, "--overwrite") == 2
    assert "holds a.png, which dealias did not write" in capsys.readouterr().err
    assert (maps / "a.png").read_text() == "precious"
    (maps / "a.png").unlink()
    for _ in range(2):
        assert evaluate(data, "--error-maps", maps, "--overwrite") == 0


def test_outputs_never_replace_inputs_or_one_another(data, capsys):
    precious = (data / "predictions" / "a.png").read_bytes()
    for option, value in {
        "--output": data / "predictions" / "a.png",
        "--csv": data / "targets" / "new.csv",
        "--error-maps": data / "predictions",
    }.items():
        assert evaluate(data, option, value, "--overwrite") == 2
        assert "lies in the inputs" in capsys.readouterr().err
    assert (data / "predictions" / "a.png").read_bytes() == precious
    assert evaluate(data, "--output", data / "x", "--counts", data / "x") == 2
    assert "is given for two outputs" in capsys.readouterr().err


def test_a_link_is_written_through_and_a_pipe_is_refused(data, capsys):
    (data / "real.json").write_text("old")
    (data / "link.json").symlink_to(data / "real.json")
    assert evaluate(data, "--output", data / "link.json", "--overwrite") == 0
    assert (data / "link.json").is_symlink()
    assert json.loads((data / "real.json").read_text())["images"] == 5
    os.mkfifo(data / "pipe")
    assert evaluate(data, "--output", data / "pipe", "--overwrite") == 2
    assert "expected a regular file" in capsys.readouterr().err


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, ValueError, OSError])
def test_an_output_is_whole_or_not_there(stop, tmp_path):
    path = tmp_path / "r.json"
    path.write_text("old")

    def write():
        with write_whole(path) as file:
            file.write(b"half")
            file.flush()
            raise stop

    with pytest.raises((stop, OutputError)):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--output", "missing/r.json", "can't be written: No such file or directory"),
        ("--output", "folder", "expected a file, got a folder"),
        ("--error-maps", "file", "expected a folder, got a file"),
        ("--error-maps", "missing/maps", "can't be written"),
    ],
)
def test_outputs_that_cannot_be_written_are_refused_before_the_work(
    option, value, message, data, capsys
):
    (data / "folder").mkdir()
    (data / "file").touch()
    assert evaluate(data, option, data / value) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--shard", "0/2"], "1 <= I <= N, got 0/2"),
        (["--shard", "3/2"], "got 3/2"),
        (["--shard", "half"], "expected I/N such as 1/4, got 'half'"),
        (["--shard", "9/9"], "expected at most 5 shards"),
        (["--shard", "1/99999999"], "expected at most 100,000 parts"),
        (["--band-width", "4"], "band_width: expected an odd positive integer, got 4"),
        (["--vanished-below", "0.2"], "--vanished-below is for --objects"),
        (["--title", "x"], "--title is for --report"),
        (["--trust"], "--trust is for --probe"),
        (["--groups", "(.)"], "--groups is for --interval, --output, --counts or --report"),
        (["--objects", "--vanished-below", "0.6"], "got vanished_below 0.6 and found_from 0.5"),
        (["--band-width", "65537"], "band_width: expected at most 65,535 pixels, got 65,537"),
        (["--band-widths", "3,4"], "band_width: expected an odd positive integer, got 4"),
        (
            ["--band-widths", "wide"],
            "band_widths: expected odd numbers of pixels such as 3,7,15 or",
        ),
        (["--workers", "-1"], "workers: expected 0 or more, got -1"),
        (["--classes", "kitti"], "expected a class set"),
        (["--classes", "none.yaml"], "none.yaml"),
        (["--targets", "none"], "none: no such folder"),
    ],
)
def test_bad_options(more, message, data, capsys):
    assert evaluate(data, *more) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "more", [["--protocol", "official"], ["--band-width", "wide"], ["--nothing"]]
)
def test_options_that_do_not_parse_exit_with_2(more, data, capsys):
    with pytest.raises(SystemExit) as stop:
        evaluate(data, *more)
    assert stop.value.code == 2
    assert more[0].strip("-").replace("-", "_") in capsys.readouterr().err.replace("-", "_")


def test_odd_file_names_are_kept_and_shown_on_one_line(data, capsys):
    name = "q'\"\n<script>[red]"
    for folder in ("predictions", "targets"):
        (data / folder / "a.png").rename(data / folder / f"{name}.png")
    outputs = ["--output", data / "r.json", "--counts", data / "r.npz", "--error-maps", data / "m"]
    assert evaluate(data, *outputs) == 0
    result = json.loads((data / "r.json").read_text())
    assert name in {row["name"] for row in result["per_image"]}
    assert (data / "m" / f"{name}.png").exists()
    printed = capsys.readouterr().out
    assert "q'\"\\n<script>[red]" in printed, printed
    assert main(["merge", str(data / "r.npz")]) == 0


def test_stored_labels_in_predictions_are_mapped_when_asked_to(data, capsys):
    ids = np.full((40, 56), 7)
    ids[:, 30:] = 33
    for folder in ("predictions", "targets"):
        for path in (data / folder).iterdir():
            path.unlink()
        name = "x_leftImg8bit.png" if folder == "predictions" else "x_gtFine_labelIds.png"
        save(data / folder / name, ids)
    cityscapes = ["--classes", "cityscapes"]
    assert evaluate(data, *cityscapes) == 2
    assert "got 33 (1,040 px); --map-predictions is for" in capsys.readouterr().err
    assert evaluate(data, *cityscapes, "--map-predictions", "--output", data / "r.json") == 0
    assert json.loads((data / "r.json").read_text())["metrics"]["mIoU"] == 1
    save(data / "predictions" / "x_leftImg8bit.png", np.zeros((40, 56)))  # an id that is void
    assert evaluate(data, *cityscapes, "--map-predictions") == 2
    assert "255 is void, which is no prediction" in capsys.readouterr().err


def test_a_missing_shard_is_noticed_and_a_bad_one_counts_for_nothing(data, capsys):
    (data / "predictions" / "b.png").write_text("nonsense")
    (data / "predictions" / "e.png").write_text("nonsense")
    counts = [str(data / f"{shard}.npz") for shard in (1, 2, 3)]
    for shard, path in enumerate(counts, start=1):
        more = ["--shard", f"{shard}/3", "--counts", path, "--skip-bad"]
        assert evaluate(data, *more) == (1 if shard == 2 else 0)  # b and e are the second's
    capsys.readouterr()
    assert main(["merge", counts[0], counts[2]]) == 2
    assert "shards are missing: 2/3" in capsys.readouterr().err
    assert main(["merge", counts[0], counts[2], "--partial"]) == 0
    assert main(["merge", *counts, "--output", str(data / "r.json")]) == 1
    assert "skipped" in capsys.readouterr().out
    result = json.loads((data / "r.json").read_text())
    assert [row["name"] for row in result["per_image"]] == ["a", "c", "d"]
    assert len(result["skipped"]) == 2


def test_classes_that_are_not_there_have_no_row(data, capsys):
    for path in (data / "predictions").iterdir():
        save(path, np.eye(40, 56))
        save(data / "targets" / path.name, np.zeros((40, 56)))
    page = data / "page"
    assert evaluate(data, "--output", data / "r.json", "--report", page, "--title", "my run") == 0
    lines = capsys.readouterr().out.split("wrong pixels")[0].splitlines()
    rows = [line.split("│")[1].strip() for line in lines if line.startswith("│")]
    assert rows == ["Sky", "Building", "mean"]
    assert any(line.endswith("nor predicted: 9 classes") for line in lines)
    assert len(json.loads((data / "r.json").read_text())["classes"]) == 11
    html = (page / "index.html").read_text()
    assert "<title>my run</title>" in html
    assert "2 of 11 classes of camvid" in html
    assert "Bicyclist" not in html


def test_encodings_without_arrows_get_ascii(data):
    command = [sys.executable, "-m", "dealias", *arguments(data)]
    environ = os.environ | {"PYTHONIOENCODING": "cp1252"}
    run = subprocess.run(command, env=environ, capture_output=True, check=True)
    assert b" IoU ^" in run.stdout  # of classes
    assert b"DErr v" in run.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="needs a pseudo-terminal")
def test_a_terminal_gets_a_progress_bar(data):
    leader, follower = os.openpty()
    command = [sys.executable, "-m", "dealias", *arguments(data, "--output", data / "r.json")]
    environ = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    subprocess.run(command, env=environ, stderr=follower, stdout=subprocess.DEVNULL, check=True)
    os.close(follower)
    shown = b""
    with contextlib.suppress(OSError):  # the end of a terminal whose other side is closed
        while block := os.read(leader, 65536):
            shown += block
    os.close(leader)
    assert b"5/5" in shown
    assert b"left" in shown


def test_a_pipe_gets_none_even_where_colours_are_forced(data):
    command = [sys.executable, "-m", "dealias", *arguments(data, "--output", data / "r.json")]
    run = subprocess.run(
        command, env=os.environ | {"FORCE_COLOR": "1"}, capture_output=True, check=True
    )
    assert run.stderr == b""


def test_merging_refuses_what_does_not_go_together(data, capsys):
    for path, more in {"a.npz": [], "b.npz": ["--protocol", "exact"]}.items():
        assert evaluate(data, "--counts", data / path, *more) == 0
    (data / "c.npz").write_text("nonsense")
    np.savez(data / "d.npz", confusion=np.zeros(3))
    capsys.readouterr()
    for second, message in {
        "a.npz": "5 images are counted twice: a, b, c, d",
        "b.npz": "protocol: expected 'paper' as in the first, got 'exact'",
        "c.npz": "expected counts written by --counts",
        "d.npz": "expected counts written by --counts",
        "none.npz": "no such file",
    }.items():
        assert main(["merge", str(data / "a.npz"), str(data / second)]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert second in error


def children(pid):
    run = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True)
    return [int(line) for line in run.stdout.split()]


def alive(pid):
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize(
    ("stop", "group"),
    [
        (signal.SIGINT, False),
        (signal.SIGINT, True),
        (signal.SIGTERM, False),
        (signal.SIGTERM, True),
        (signal.SIGKILL, False),  # of the group, nothing could clean up
    ],
)
def test_stopping_leaves_whole_files_and_no_workers(stop, group, tmp_path):
    labels = np.random.default_rng(0).integers(0, 11, (512, 512))
    for folder in ("predictions", "targets"):
        (tmp_path / folder).mkdir()
        save(tmp_path / folder / "0.png", labels)
        for number in range(1, 2000):  # more than is done before the signal
            (tmp_path / folder / f"{number}.png").hardlink_to(tmp_path / folder / "0.png")
    outputs = ["--output", tmp_path / "r.json", "--error-maps", tmp_path / "maps"]
    command = [sys.executable, "-m", "dealias", *arguments(tmp_path, *outputs, "--workers", "2")]
    pipe = subprocess.PIPE
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # else inherited if ignored
    process = subprocess.Popen(command, stderr=pipe, stdout=pipe, start_new_session=True)
    signal.signal(signal.SIGINT, before)
    with process:
        deadline = time.monotonic() + 60
        maps = tmp_path / ".maps.dealias-part"
        while not list(maps.glob("*.png")) and time.monotonic() < deadline:
            time.sleep(0.1)
        workers = children(process.pid)
        time.sleep(0.5)
        send = os.killpg if group else os.kill
        send(process.pid, stop)
        _, errors = process.communicate(timeout=60)
    assert len(workers) == 2
    expected = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}
    assert process.returncode == expected[stop]
    assert b"Traceback" not in errors
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(alive, workers))
    left = {path.name for path in tmp_path.iterdir()} - {"predictions", "targets"}
    if stop != signal.SIGKILL:
        assert not left
    assert left <= {".maps.dealias-part", ".maps.dealias-lock", ".r.json.dealias-lock"}
    with claim_outputs([tmp_path / "r.json"], [tmp_path / "maps"], [], overwrite=False):
        pass
    with OutputFolder(tmp_path / "maps"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"predictions", "targets"}


def test_real_targets_against_themselves_and_shifted(camvid, tmp_path):
    shifted = tmp_path / "shifted"
    shifted.mkdir()
    for path in sorted((camvid / "valannot").iterdir())[:12]:
        labels = np.array(Image.open(path))
        save(shifted / path.name, np.roll(np.minimum(labels, 10), 2, axis=1))
        (tmp_path / "targets").mkdir(exist_ok=True)
        save(tmp_path / "targets" / path.name, labels)
    command = ["evaluate", "--predictions", shifted, "--targets", tmp_path / "targets"]
    command += ["--classes", "camvid", "--workers", "0", "--output", tmp_path / "r.json"]
    assert main([str(argument) for argument in command]) == 0
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["images"] == 12
    # A shift of two pixels displaces boundaries; what void was is wrong in other ways.
    assert result["error_shares"]["displacement"] > 0.8
    assert 0.5 < result["metrics"]["mIoU"] < 1


def test_predictions_and_targets_of_one_folder(data, capsys):
    assert evaluate(data, "--output", data / "two.json") == 0
    for name in NAMES:
        (data / "predictions" / f"{name}.png").rename(data / "predictions" / f"{name}_pred.png")
        (data / "targets" / f"{name}.png").rename(data / "predictions" / f"{name}_target.png")
    one = ["evaluate", "--classes", "camvid", "--workers", "0", "--output", str(data / "one.json")]
    one += ["--predictions", str(data / "predictions"), "--targets", str(data / "predictions")]
    assert main(one) == 0
    metrics, again = (
        json.loads((data / f"{name}.json").read_text())["metrics"] for name in ("one", "two")
    )
    assert metrics == again
    (data / "predictions" / "a_target.png").unlink()
    capsys.readouterr()
    assert main([*one, "--overwrite"]) == 2
    message = capsys.readouterr().err
    assert "1 files without a partner: " in message
    assert "a_pred.png; --skip-bad" in message


def test_files_without_a_partner_are_of_the_inner_folder(data, capsys):
    (data / "predictions").rename(data / "targets" / "predictions")
    (data / "targets" / "b.png").unlink()
    (data / "targets" / "predictions" / "c.png").unlink()
    command = ["evaluate", "--classes", "camvid", "--workers", "0", "--targets"]
    command += [str(data / "targets"), "--predictions", str(data / "targets" / "predictions")]
    assert main(command) == 2
    message = " ".join(capsys.readouterr().err.split())
    assert "1 predictions without a target: " in message
    assert message.index("predictions/b.png") < message.index("1 targets without a prediction")
