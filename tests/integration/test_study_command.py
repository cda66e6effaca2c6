"""dealias study, as a person runs it: killed, gone on with, and with what is there already."""

import fcntl
import json
import shutil
import time

import pytest
import yaml
from PIL import Image

from dealias.cli import main
from dealias.study import StudyError
from dealias.study.training import train_and_test
from processes import process
from runs import CONFIG, command

VARIANTS = """
plain: {model: {network: {dealias: null}}}
both: {title: DAF + FreqMix}
"""
SEEDS = ["--seeds", "0", "4"]
TESTS = ["--shifts", "2", "--largest-shift", "4", "--noise", "30"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with both files, in which a whole study was made."""
    folder = tmp_path_factory.mktemp("study")
    text = CONFIG.replace("[64, 96]", "[80, 96]").replace("max_steps: 6", "max_steps: 3")
    (folder / "base.yaml").write_text(text)
    (folder / "variants.yaml").write_text(VARIANTS)
    assert study(folder, "whole", "--jobs", "2") == 0
    return folder


def arguments(folder, output, *more):
    files = ["--config", folder / "base.yaml", "--variants", folder / "variants.yaml"]
    given = [*files, "--output", folder / output, *SEEDS, *TESTS, *more]
    return ["study", *map(str, given)]


def study(folder, output, *more):
    more = more if "--cost" in more else ("--cost", "false", *more)
    return main(arguments(folder, output, *more))


def read(path):
    return json.loads(path.read_text("utf-8"))


def figures(path):
    """What was measured, by run and test: not on what, which has another number of threads."""
    kept = ("settings", "images", "figures", "tested_on")
    runs = read(path / "study.json")["runs"]
    return {
        name: {test: {key: row[key] for key in kept} for test, row in run["tests"].items()}
        for name, run in runs.items()
    }


@pytest.mark.slow
class TestStudy:
    def test_a_run_is_one_of_dealias_fit(self, folder, tmp_path):
        run = folder / "whole" / "both" / "4"
        options = ["--seed_everything", "4", "--trainer.limit_val_batches", "0"]
        assert command("fit", folder / "base.yaml", tmp_path, *options) == 0
        where = ["--ckpt_path", "last", "--noise", "30"]
        assert command("test", folder / "base.yaml", tmp_path, *options, *where) == 0
        by_hand = read(tmp_path / "test" / "result.json")["metrics"]
        assert read(run / "tests" / "noise_30" / "result.json")["metrics"] == by_hand
        test = figures(folder / "whole")["both/4"]["noise_30"]
        assert test["figures"] == {name: by_hand[name] for name in test["figures"]}
        assert test["images"] == 3

    def test_the_table_says_it_all(self, folder):
        text = (folder / "whole" / "table.md").read_text("utf-8")
        assert "| DAF + FreqMix, seed 4 |" in text
        assert "agreement, target bands ↑" in text
        assert "--model.network.dealias null" in text
        assert "Note" not in text
        assert (folder / "whole" / "figure.png").read_bytes().startswith(b"\x89PNG")

    def test_a_study_that_is_killed_and_gone_on_with_gives_the_same(self, folder):
        killed = folder / "killed"
        with process("-m", "dealias", *arguments(folder, "killed", "--cost", "false")) as running:
            while not (killed / "study.json").exists():  # one run of four is done
                assert running.poll() is None
                time.sleep(0.05)
            running.kill()
        deadline = time.monotonic() + 60
        while lives(killed):  # the process of the second run, which ends with the first
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert len(figures(killed)) == 1
        assert not (killed / "table.md").exists()
        first = next(iter(figures(killed)))
        shutil.rmtree(killed / first)  # as when it goes on elsewhere
        assert study(folder, "killed", "--jobs", "2") == 0
        assert not (killed / first).exists()
        assert figures(killed) == figures(folder / "whole")
        tables = [(path / "table.md").read_text("utf-8") for path in (killed, folder / "whole")]
        assert tables[0].partition("Made with")[0] == tables[1].partition("Made with")[0]

    def test_a_finished_study_is_summed_up_again(self, folder, capsys):
        before = (folder / "whole" / "table.md").read_bytes()
        (folder / "whole" / "table.md").unlink()
        assert study(folder, "whole", "--jobs", "2") == 0
        assert "4 of 4 runs are done already" in capsys.readouterr().out
        assert (folder / "whole" / "table.md").read_bytes() == before

    def test_further_conditions_are_tested_and_nothing_is_trained(self, folder, capsys):
        dark = folder / "dark"
        shutil.copytree(folder / "whole", dark)
        written = {path: path.stat().st_mtime_ns for path in dark.rglob("last.ckpt")}
        file = folder / "conditions.yaml"
        file.write_text("dark: {title: In the dark, data: {dark: {output: srgb}}}")
        assert study(folder, "dark", "--jobs", "2", "--conditions", str(file)) == 0
        assert "In the dark: mean" in capsys.readouterr().out
        assert {path: path.stat().st_mtime_ns for path in dark.rglob("last.ckpt")} == written
        found = figures(dark)
        for run, kept in figures(folder / "whole").items():
            assert {test: row for test, row in found[run].items() if test != "dark"} == kept
            assert found[run]["dark"]["figures"]["mIoU"] != kept["clean"]["figures"]["mIoU"]
            result = read(dark / run / "tests" / "dark" / "result.json")
            assert result["dark"]["output"] == "srgb"
        file.write_text(file.read_text().replace("srgb", "raw"))
        assert study(folder, "dark", "--conditions", str(file)) == 2
        assert "plain/0/dark: options {'data.dark.output': 'srgb'}" in capsys.readouterr().err

    def test_trainings_that_are_there_are_taken(self, folder):
        taken = folder / "taken"
        for run in ("plain/0", "plain/4", "both/0", "both/4"):
            shutil.copytree(folder / "whole" / run, taken / run)
            shutil.rmtree(taken / run / "tests")
        written = {path: path.stat().st_mtime_ns for path in taken.rglob("last.ckpt")}
        assert study(folder, "taken", "--jobs", "2") == 0
        assert {path: path.stat().st_mtime_ns for path in taken.rglob("last.ckpt")} == written
        assert figures(taken) == figures(folder / "whole")

    def test_other_options_are_refused_unless_they_may_replace(self, folder, capsys):
        other = folder / "other"
        shutil.copytree(folder / "whole", other)
        capsys.readouterr()
        assert study(folder, "other", "--shifts", "3") == 2
        assert "plain/0/clean: shifts 2, now 3" in capsys.readouterr().err
        changed = folder / "changed.yaml"
        changed.write_text(VARIANTS.replace("title", "data: {batch_size: 3}, title"))
        assert study(folder, "other", "--variants", str(changed)) == 2
        said = capsys.readouterr().err
        assert "both: data.batch_size 2, now 3" in said
        assert "plain" not in said
        for name in ("study.json", "table.md", "figure.png"):
            (other / name).unlink()  # the folders of runs say it too
        more = ["--variants", str(changed), "--overwrite"]
        assert study(folder, "other", *more[:2]) == 2
        assert "both/0: data.batch_size 2, now 3" in capsys.readouterr().err
        assert study(folder, "other", *more) == 0
        before, after = figures(folder / "whole"), figures(other)
        assert before["plain/0"] == after["plain/0"]
        assert before["both/0"] != after["both/0"]
        assert "**Note:** both: data.batch_size is 3" in (other / "table.md").read_text("utf-8")

    def test_a_run_that_fails_is_told_of_and_the_others_go_on(self, folder, capsys):
        failing = folder / "failing"
        shutil.copytree(folder / "whole", failing)
        content = read(failing / "study.json")
        del content["runs"]["both/0"], content["runs"]["plain/4"]
        (failing / "study.json").write_text(json.dumps(content))
        (failing / "both" / "0" / "last.ckpt").write_bytes(b"torn")
        capsys.readouterr()
        assert study(folder, "failing", "--cost", "true") == 1
        said = capsys.readouterr().out
        assert "both/0: failed: exit status 2; the end of " in said
        assert "without this file, the run is trained anew" in said
        assert "plain/4: mIoU" in said
        assert "note: Clean images: missing: both/0" in said
        table = (failing / "table.md").read_text("utf-8")
        assert "**Note:** Clean images: missing: both/0" in table
        cost = read(failing / "study.json")["cost"]["variants"]
        assert set(cost) == {"plain", "both"}
        assert cost["both"]["bytes"] > cost["plain"]["bytes"] > 2**16
        assert "| plain | 1.00 | 1.00 | 1.00 |" in table

    def test_files_that_change_are_noticed(self, folder, tmp_path, capsys):
        content = yaml.safe_load((folder / "base.yaml").read_text())
        del content["data"]["scenes"]
        content["data"] |= {"name": "folder", "classes": "camvid", "root": str(tmp_path)}
        content["trainer"]["max_steps"] = 1
        (tmp_path / "base.yaml").write_text(yaml.safe_dump(content))
        (tmp_path / "variants.yaml").write_text(VARIANTS)
        for split in ("train", "val"):
            for kind, mode in (("images", "RGB"), ("labels", "L")):
                path = tmp_path / kind / split / "a.png"
                path.parent.mkdir(parents=True)
                Image.new(mode, (96, 80), 1 if mode == "L" else (1, 2, 3)).save(path)
        assert study(tmp_path, "out", "--jobs", "2", "--noise") == 0
        runs = read(tmp_path / "out" / "study.json")["runs"].values()
        (trained_on,) = {run["trained_on"] for run in runs}
        assert trained_on is not None
        assert {name for run in runs for name in run["tests"]} == {"clean"}
        Image.new("L", (96, 80), 2).save(tmp_path / "labels" / "train" / "a.png")
        assert study(tmp_path, "out", "--noise") == 2
        said = capsys.readouterr().err
        assert "plain/0: it was trained on other images or targets than there are now" in said

    @pytest.mark.parametrize("part", ["train", "test"])
    def test_files_that_change_meanwhile_fail_the_run(self, part, folder, tmp_path):
        digests = {"train": None, "test": None, part: "of other files"}
        with pytest.raises(StudyError, match=f"expected the images and targets of {part} that"):
            train_and_test(
                ["--config", str(folder / "base.yaml")],
                str(tmp_path),
                {"clean": []},
                steps=3,
                anew=False,
                inputs={"trained_on": digests["train"], "files": {}},
                tested_on={"clean": digests["test"]},
            )

    def test_what_is_no_study_is_left_alone(self, folder, capsys):
        mine = folder / "mine"
        mine.mkdir()
        (mine / "thesis.tex").write_text("mine")
        assert study(folder, "mine") == 2
        assert "expected a folder of a study, got one with thesis.tex" in capsys.readouterr().err
        (mine / "thesis.tex").rename(mine / "table.md")
        assert study(folder, "mine") == 2
        assert "table.md: exists already" in capsys.readouterr().err
        (mine / "study.json").write_text("{}")
        assert study(folder, "mine") == 2
        assert "expected what dealias study writes" in capsys.readouterr().err
        assert (mine / "table.md").read_text() == "mine"


def lives(folder):
    """Whether a process works in a folder: whether what it has locked can't be locked."""
    for file in folder.rglob(".*.dealias-lock"):
        with file.open("rb") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            except FileNotFoundError:
                continue
    return False
