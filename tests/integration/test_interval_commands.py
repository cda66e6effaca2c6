"""Intervals on the command line: evaluate, merge and compare."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from dealias.cli import main
from helpers import random_maps
from reports import CLASSES, evaluate, evaluated, write_folders

GROUPS = ("--groups", r"_(\d)")


@pytest.fixture
def data(tmp_path):
    """Twelve pairs with predictions a and b."""
    write_folders(tmp_path, count=12)
    return tmp_path


def table_row(text, start):
    return next(line for line in text.splitlines() if line.startswith(f"│ {start}"))


def test_intervals_are_printed_when_asked_for(data, capsys):
    result = evaluated(data, "a", "--interval")
    printed = capsys.readouterr().out
    rows = printed.splitlines()
    below = rows[rows.index(table_row(printed, "mean")) + 1]
    cells = [cell.strip() for cell in below.strip("│").split("│")]
    limits = [result["intervals"]["metrics"][key] for key in ("mIoU", "BIoU")]
    assert cells[:3] == ["95% interval", *(f"{100 * a:.1f}..{100 * b:.1f}" for a, b in limits)]
    assert "95% intervals by a bootstrap over 12 images: 2,000 resamples, seed 0" in printed
    evaluated(data, "a", "--overwrite")
    assert "interval" not in capsys.readouterr().out


def test_limits_are_whole_where_they_are_too_long_for_a_line(data, capsys):
    """With the figures of --boundary, and on a terminal of 80 columns."""
    result = evaluated(data, "a", "--interval", "--boundary")
    printed = capsys.readouterr().out
    assert "…" not in printed
    rows = printed.splitlines()
    low, high = rows[rows.index(table_row(printed, "mean")) + 1 :][:2]
    cells = [[cell.strip() for cell in row.split("│")] for row in (low, high)]
    limits = result["intervals"]["metrics"].values()
    assert cells[0][2:8] == [f"{100 * end:.1f}.." for end, _ in limits]
    assert cells[1][2:8] == [f"{100 * end:.1f}" for _, end in limits]


def test_miou_image_by_image_is_explained(data, capsys):
    result = evaluated(data, "a")
    printed = capsys.readouterr().out
    for name, start in (("mIoU_I", "mIoU_I "), ("mIoU_C_worst_tenth", "mIoU_C, worst tenth")):
        assert f"{100 * result['fine_grained'][name]:.2f}" in table_row(printed, start)


def test_few_images_are_said(tmp_path, capsys):
    write_folders(tmp_path, count=3)
    assert evaluate(tmp_path, "a", "--interval") == 0
    printed = capsys.readouterr().out
    assert "no intervals: expected at least 10 images, got 3" in printed
    assert "95% interval" not in printed  # rows without any


def test_workers_shards_and_torchrun_give_the_same_bytes(data):
    more = ["--groups", r"(\d\d|img)"]
    evaluated(data, "a", *more)
    expected = (data / "a.json").read_bytes()
    assert json.loads(expected)["intervals"]["units"] == 12
    evaluated(data, "a", *more, "--overwrite", "--workers", "2")
    assert (data / "a.json").read_bytes() == expected

    counts = [str(data / f"{shard}.npz") for shard in (1, 2, 3)]
    for shard, path in enumerate(counts, start=1):
        assert evaluate(data, "a", *more, "--shard", f"{shard}/3", "--counts", path) == 0
    assert main(["merge", *counts, "--output", str(data / "merged.json")]) == 0
    assert (data / "merged.json").read_bytes() == expected

    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m"]
    command += ["dealias", "evaluate", "--predictions", data / "a", "--targets", data / "targets"]
    command += ["--classes", data / "five.yaml", "--workers", "0", *more]
    command += ["--output", data / "ranks.json"]
    environ = os.environ | {"OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert (data / "ranks.json").read_bytes() == expected


def test_groups_can_be_given_when_counts_are_merged(data):
    assert evaluate(data, "a", "--counts", data / "a.npz") == 0
    evaluated(data, "a", "--groups", r"(\d\d|img)")
    merge = ["merge", str(data / "a.npz"), "--groups", r"(\d\d|img)"]
    assert main([*merge, "--output", str(data / "merged.json")]) == 0
    assert (data / "merged.json").read_bytes() == (data / "a.json").read_bytes()


def test_an_image_without_a_group_is_refused_before_any_is_read(data, capsys):
    (data / "a" / "image_03.png").write_bytes(b"broken")
    assert evaluate(data, "a", *GROUPS, "--interval") == 2
    assert "error: groups: expected a group of each image, got none of 1" in capsys.readouterr().err


class TestCompare:
    def compare(self, data, *more):
        return main(["compare", str(data / "a.json"), str(data / "b.json"), *map(str, more)])

    def test_differences_are_told_from_zero_or_not(self, data, capsys):
        for side in ("a", "b"):
            evaluated(data, side)
        capsys.readouterr()
        assert self.compare(data) == 0
        printed = capsys.readouterr().out
        assert "<0.001" in table_row(printed, "mIoU")
        assert "≈" not in table_row(printed, "mIoU")
        assert table_row(printed, "mIoU").split()[-4] == "12"  # of 12 images better
        assert "paired bootstrap over 12 images" in printed

    def test_what_was_not_tested_is_marked_so(self, data, capsys):
        """A class that fewer than ten images have: no difference, however large, is told."""
        for index, path in enumerate(sorted((data / "targets").iterdir())):
            labels = np.zeros((40, 56), np.uint8)
            labels[:, :20] = 1
            labels[10:20, 30:40] = 2 if index < 3 else 0
            Image.fromarray(labels).save(path)
            Image.fromarray(np.where(labels == 2, 0, labels)).save(data / "a" / path.name)
            Image.fromarray(labels).save(data / "b" / path.name)
        for side in ("a", "b"):
            evaluated(data, side)
        capsys.readouterr()
        assert self.compare(data, "--report", data / "page", "--trust") == 0
        printed = capsys.readouterr().out
        rare = [r for r in printed.splitlines() if r.startswith(f"│ {CLASSES.names[2]} ")]
        assert "│ ? +100.00 │" in rare[0]
        assert "≈" not in rare[0]
        assert "?: not tested, such as a class that fewer than 10 images have" in printed
        page = (data / "page" / "index.html").read_text()
        assert "not tested, </span> +100.00</span>" in page
        assert "not told from zero, </span> +100.00" not in page
        assert "because fewer than 10 images have the class" in page

    def test_the_same_prediction_twice_is_marked(self, data, capsys):
        evaluated(data, "a")
        (data / "b.json").write_bytes((data / "a.json").read_bytes())
        capsys.readouterr()
        assert self.compare(data) == 0
        assert "≈ +0.00" in table_row(capsys.readouterr().out, "mIoU")

    def test_images_in_one_result_alone_are_left_out_and_said(self, data, capsys):
        evaluated(data, "a")
        preds, target = random_maps(99, 40, 56, classes=len(CLASSES.names))
        for part, labels in (("b", preds), ("targets", target)):
            Image.fromarray(labels.numpy()).save(data / part / "more.png")
        Image.fromarray(preds.numpy()).save(data / "a" / "more.png")
        evaluated(data, "b")
        capsys.readouterr()
        assert self.compare(data, "--report", data / "page", "--trust") == 0
        assert "Figures are over the 12 images in both" in capsys.readouterr().out
        page = (data / "page" / "index.html").read_text()
        assert "Figures are over the 12 images in both" in page

    @pytest.mark.parametrize("more", [["--trust"], ["--workers", "0"]])
    def test_options_of_the_page_alone_are_refused(self, more, data, capsys):
        assert self.compare(data, *more) == 2
        assert f"{more[0]} is for --report" in capsys.readouterr().err

    def test_groups(self, data, capsys):
        for side in ("a", "b"):
            evaluated(data, side)
        capsys.readouterr()
        assert self.compare(data, "--groups", r"(\d\d|img)") == 0
        assert "paired bootstrap over 12 groups" in capsys.readouterr().out
        assert self.compare(data, "--groups", "(") == 2
        assert "no regular expression" in capsys.readouterr().err

    def test_the_page_says_what_is_told(self, data):
        for side in ("a", "b"):
            evaluated(data, side)
        assert self.compare(data, "--report", data / "page", "--trust") == 0
        page = (data / "page" / "index.html").read_text()
        assert "12 images better, 0 worse" in page
        assert "p &lt; 0.001" in page
        assert "paired bootstrap over 12 images" in page


def test_the_page_shows_intervals(data):
    result = evaluated(data, "a", "--report", data / "page")
    page = (data / "page" / "index.html").read_text()
    found = result["intervals"]
    for low, high in (found["metrics"]["FErr"], found["classes"][2]["MErr"]):
        assert f"{100 * low:.1f} to {100 * high:.1f}" in page
    assert "95 % intervals by a bootstrap over\n    12 images" in page
    assert f"{100 * result['fine_grained']['mIoU_I_worst_tenth']:.2f}" in page


def test_the_page_says_why_there_are_none(tmp_path):
    write_folders(tmp_path, count=3)
    evaluated(tmp_path, "a", "--report", tmp_path / "page")
    page = (tmp_path / "page" / "index.html").read_text()
    assert "No intervals: expected at least 10 images, got 3." in page
