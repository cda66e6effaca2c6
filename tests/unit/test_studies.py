import json
import math
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from studies import _training, camvid, camvid_dark, noise
from studies._summary import UNDEFINED, difference_cell, mean_cell, summarise

SEEDS = (3, 5, 8)
KINDS = ("box", "mask", "boundary")


def found_of(**values):
    """Figures "x" of each variant by seed."""
    return {
        (name, seed): {"x": value}
        for name, row in values.items()
        for seed, value in zip(SEEDS, row, strict=True)
    }


def result_of(mask, classes=(0.25, None)):
    """As ``dealias test`` writes it for instances."""
    figures = {"AP": mask, "AP50": 2 * mask, "AP75": None}
    return {
        "images": 101,
        "instances": 679,
        "errors": {"F1": 0.4},
        "environment": {"torch": "2.6"},
        "metrics": dict.fromkeys(KINDS, figures) | {"box": {"AP": 0.5, "AP50": 0.75}},
        "classes": [
            {"name": name, "instances": 4, "box": 0.0, "mask": value, "boundary": None}
            for name, value in zip(("Car", "SignSymbol"), classes, strict=True)
        ],
    }


def write_result(folder, content):
    (folder / "test").mkdir(parents=True)
    (folder / "test" / "result.json").write_text(json.dumps(content))


@pytest.fixture
def study(tmp_path):
    folders = {"results": tmp_path / "results", "runs": tmp_path / "runs"}
    variants = {name: camvid_dark.STUDY.variants[name] for name in ("baseline", "daf_freqmix")}
    return replace(camvid_dark.STUDY, variants=variants, **folders)


@pytest.fixture
def trained(monkeypatch):
    """Commands that would have run; a test leaves its result."""
    commands = []

    def run(command, *, check, env):
        assert (check, env["OMP_NUM_THREADS"]) == (True, "1")
        commands.append(command[2:])
        if command[3] == "test":
            folder = Path(command[command.index("--output") + 1])
            write_result(folder, result_of(0.1))

    monkeypatch.setattr(_training.subprocess, "run", run)
    monkeypatch.setattr(_training, "hardware", dict)
    monkeypatch.setattr(_training, "commit", lambda: "1234567")
    return commands


class TestSummary:
    def test_three_seeds_by_hand(self):
        found = found_of(plain=(1.0, 2.0, 3.0), other=(2.0, 4.0, 6.0))
        summary = summarise(found, ["plain", "other"], SEEDS)
        assert summary["plain"]["x"] == {"mean": 2, "std": 1}
        row = summary["other"]["x"]
        assert (row["mean"], row["std"]) == (4, 2)
        assert (row["difference"], row["difference_std"]) == (2, 1)
        t = 2 / (1 / math.sqrt(3))  # and with two degrees of freedom p is in closed form
        assert row["p"] == pytest.approx(1 - t / math.sqrt(2 + t**2))
        assert mean_cell(row) == "4.00 ± 2.00"
        assert difference_cell(row) == "+2.00 ± 1.00 (0.07)"

    def test_seeds_are_paired(self):
        found = found_of(plain=(1.0, 5.0, 9.0), other=(2.0, 6.5, 9.5))
        assert summarise(found, ["plain", "other"], SEEDS)["other"]["x"]["difference_std"] == 0.5
        found = found_of(plain=(5.0, 9.0, 1.0), other=(2.0, 6.5, 9.5))
        assert summarise(found, ["plain", "other"], SEEDS)["other"]["x"]["difference_std"] > 5

    def test_what_one_seed_leaves_undefined_is_undefined(self):
        found = found_of(plain=(1.0, 2.0, 3.0), other=(2.0, None, 6.0))
        rows = summarise(found, ["plain", "other"], SEEDS)
        assert rows["plain"]["x"] == {"mean": 2, "std": 1}
        assert set(rows["other"]["x"].values()) == {None}
        assert mean_cell(rows["other"]["x"]) == difference_cell(rows["other"]["x"]) == UNDEFINED
        against = summarise(found, ["other", "plain"], SEEDS)["plain"]["x"]
        assert (against["mean"], against["difference"]) == (2, None)

    def test_differences_that_are_all_the_same_have_no_p(self):
        found = found_of(plain=(1.0, 2.0, 3.0), other=(1.0, 2.0, 3.0))
        row = summarise(found, ["plain", "other"], SEEDS)["other"]["x"]
        assert (row["difference"], row["p"]) == (0, None)
        assert difference_cell(row) == f"+0.00 ± 0.00 ({UNDEFINED})"
        found = found_of(plain=(0.1, 0.2, 0.3), other=(0.2, 0.3, 0.4))  # the same but for rounding
        assert summarise(found, ["plain", "other"], SEEDS)["other"]["x"]["p"] is None


class TestRuns:
    def test_only_what_has_no_result_is_trained(self, study, trained):
        for name in study.variants:
            for seed in (0, 1):
                if (name, seed) != ("daf_freqmix", 1):
                    write_result(study.runs / f"{name}_{seed}", result_of(0.2 + 0.1 * seed))
        _training.main(study, None, ["--seeds", "0", "1", "--jobs", "1"])
        folder = str(study.runs / "daf_freqmix_1")
        common = ["--config", "camvid_dark/mask_rcnn_lite_dealiased", "--seed_everything", "1"]
        common += ["--output", folder, "--data.workers", "0"]
        common += ["--trainer.enable_progress_bar", "false"]
        overwrite = ["--overwrite", "true"]
        assert trained == [
            ["dealias", "fit", *common, "--trainer.limit_val_batches", "0", *overwrite],
            ["dealias", "test", *common, "--ckpt_path", "last", *overwrite],
        ]
        trained.clear()
        _training.main(study, None, ["--seeds", "0", "1"])
        assert not trained

    def test_a_run_that_fails_stops_the_study(self, study, monkeypatch):
        def fail(command, **_):
            raise subprocess.CalledProcessError(1, command)

        monkeypatch.setattr(_training.subprocess, "run", fail)
        with pytest.raises(subprocess.CalledProcessError):
            _training.main(study, None, [])
        assert not study.results.exists()

    @pytest.mark.parametrize("seeds", [["1"], ["1", "2", "1"]])
    def test_seeds_without_a_deviation_are_refused(self, study, trained, seeds, capsys):
        with pytest.raises(SystemExit):
            _training.main(study, None, ["--seeds", *seeds])
        assert "--seeds: expected two at least" in capsys.readouterr().err
        assert not trained


class TestTables:
    def test_of_instances(self, study, trained):
        values = {"baseline": (0.10, 0.20, 0.30), "daf_freqmix": (0.12, 0.24, 0.36)}
        for name, masks in values.items():
            for seed, mask in zip((0, 1, 2), masks, strict=True):
                write_result(study.runs / f"{name}_{seed}", result_of(mask, (mask, None)))
        _training.main(study, None, [])
        assert not trained
        lines = (study.results / "table.md").read_text("utf-8").splitlines()
        head = "| | mask AP ↑ | mask AP50 ↑ | mask AP75 ↑ | box AP ↑ | box AP50 ↑ | boundary AP ↑ |"
        assert lines[:4] == [
            "Mean and standard deviation over seeds 0, 1, 2, in percent:",
            "",
            head,
            "|---|---:|---:|---:|---:|---:|---:|",
        ]
        assert lines[4] == (
            f"| baseline | 20.00 ± 10.00 | 40.00 ± 20.00 | {UNDEFINED} "
            "| 50.00 ± 0.00 | 75.00 ± 0.00 | 20.00 ± 10.00 |"
        )
        assert lines[7:13] == [
            "By class, mask AP:",
            "",
            "| | Car | SignSymbol |",
            "|---|---:|---:|",
            f"| baseline | 20.00 ± 10.00 | {UNDEFINED} |",
            f"| DAF + FreqMix | 24.00 ± 12.00 | {UNDEFINED} |",
        ]
        assert lines[14] == "Paired difference to the baseline, and p of the t-test over seeds:"
        assert lines[18].startswith(
            f"| DAF + FreqMix | +4.00 ± 2.00 (0.07) | +8.00 ± 4.00 (0.07) | {UNDEFINED} "
            f"| +0.00 ± 0.00 ({UNDEFINED}) |"
        )
        assert lines[20] == "Every run:"
        assert lines[25] == (
            f"| DAF + FreqMix, seed 0 | 12.00 | 24.00 | {UNDEFINED} | 50.00 | 75.00 | 12.00 |"
        )
        assert len(lines) == 30

    @pytest.mark.usefixtures("trained")
    def test_everything_is_kept(self, study):
        _training.main(study, None, ["--seeds", "0", "1"])
        text = (study.results / "results.json").read_text("utf-8")
        content = json.loads(text, parse_constant=pytest.fail)  # NaN is no JSON
        assert content["metrics"]["daf_freqmix_1"] == {
            "mask AP": 10,
            "mask AP50": 20,
            "mask AP75": None,
            "box AP": 50,
            "box AP50": 75,
            "boundary AP": 10,
        }
        assert content["classes"]["baseline_0"] == {"Car": 25, "SignSymbol": None}
        assert content["class_summary"]["baseline"]["Car"] == {"mean": 25, "std": 0}
        assert content["tests"]["baseline_1"] == {
            "images": 101,
            "instances": 679,
            "errors": {"F1": 0.4},
            "environment": {"torch": "2.6"},
        }
        fit, test = content["commands"]["baseline"]
        start = "dealias {} --config camvid_dark/mask_rcnn_lite --seed_everything SEED --output DIR"
        assert fit.startswith(start.format("fit"))
        assert test.startswith(start.format("test"))
        assert content["hardware"] == {"threads": 1}
        assert content["commit"] == "1234567"

    def test_the_published_tables_come_from_the_published_runs(self, tmp_path, trained):
        """What results/camvid holds is read back as runs, and must come out as it was."""
        published = camvid.RESULTS
        content = json.loads((published / "results.json").read_text("utf-8"))
        for run, metrics in content["metrics"].items():
            fractions = {name: value / 100 for name, value in metrics.items()}
            write_result(tmp_path / "runs" / run, {"metrics": fractions} | content["tests"][run])
        study = replace(camvid.STUDY, results=tmp_path)
        seeds = sorted({run.rpartition("_")[2] for run in content["metrics"]})
        _training.main(study, None, ["--runs", str(tmp_path / "runs"), "--seeds", *seeds])
        assert not trained
        table = (tmp_path / "table.md").read_text("utf-8")
        assert table == (published / "table.md").read_text("utf-8")
        found = json.loads((tmp_path / "results.json").read_text("utf-8"))
        assert found["commands"] == content["commands"]
        assert list(found) == list(content)


def measured_under_noise(variant, run, *rows):
    """What is measured of a run at sigma 0, 20 and so on: mIoU, and the score behind any filter."""
    return [
        {
            "variant": variant,
            "run": run,
            "sigma": 20 * index,
            "metrics": dict.fromkeys(noise.METRICS, miou),
            "aliasing": {"before": {"layer2": 0.3}, "entering": {"layer2": score}},
        }
        for index, (miou, score) in enumerate(rows)
    ]


class TestNoise:
    @pytest.fixture
    def measured(self):
        return [
            *measured_under_noise("plain", "plain_0", (0.5, 0.1), (0.3, 0.3)),
            *measured_under_noise("plain", "plain_1", (0.6, 0.2), (0.3, 0.4)),
            *measured_under_noise("other", "other_0", (0.5, 0.0), (0.4, 0.0)),
            *measured_under_noise("other", "other_1", (0.4, 0.0), (0.3, 0.0)),
        ]

    def test_share_left_by_hand(self, measured):
        summary = noise.curves(measured, noise.share_left(measured))
        assert list(summary) == ["plain", "other"]
        assert summary["plain"]["20"]["mean"] == pytest.approx((60 + 50) / 2)
        row = summary["other"]["20"]  # 80 and 75, against 60 and 50
        assert row["difference"] == pytest.approx(22.5)
        assert row["difference_std"] == pytest.approx(math.sqrt(2) * 2.5)

    def test_tables(self, measured):
        lines = noise.tables(measured).splitlines()
        at = lines.index("**mIoU**")
        assert lines[at + 2 : at + 9] == [
            "| | 0 | 20 |",
            "|---|---:|---:|",
            "| plain | 55.00 ± 7.07 | 30.00 ± 0.00 |",
            "| other | 45.00 ± 7.07 | 35.00 ± 7.07 |",
            "",
            "| | 0 | 20 |",
            "|---|---:|---:|",
        ]
        assert lines[at + 9] == "| other | -10.00 ± 14.14 (0.50) | +5.00 ± 7.07 (0.50) |"
        at = lines.index("**Aliasing score at layer2, of what enters the step**")
        assert lines[at + 4 : at + 6] == [
            "| plain | 15.00 ± 7.07 | 35.00 ± 7.07 |",
            "| other | 0.00 ± 0.00 | 0.00 ± 0.00 |",
        ]

    def test_the_published_table_is_of_the_published_numbers(self):
        folder = camvid.RESULTS.parent / "noise"
        measured = json.loads((folder / "noise.json").read_text("utf-8"))["measured"]
        assert (folder / "noise.md").read_text("utf-8") == noise.tables(measured)

    def test_only_what_is_missing_is_measured(self, monkeypatch, tmp_path):
        asked = []

        def measure(checkpoint, sigma, data):
            asked.append((checkpoint.parent.name, sigma, data.noise))
            return {"metrics": {"mIoU": 0.5}, "sigma": sigma}

        monkeypatch.setattr(noise, "measure", measure)
        path = tmp_path / "noise.json"

        def study(*runs, commit, limit=None):
            monkeypatch.setattr(noise, "commit", lambda: commit)
            options = {"name": "camvid", "limit": limit}
            return noise.study({"plain": runs}, path, sigmas=(0, 20), options=options)

        study(Path("plain_0"), commit="a")
        measured = study(Path("plain_0"), Path("plain_1"), commit="b")
        assert asked == [(f"plain_{n}", sigma, sigma) for n in (0, 1) for sigma in (0, 20)]
        content = json.loads(path.read_text("utf-8"))
        assert content["measured"] == measured
        where = [content["measured_on"][one["on"]]["commit"] for one in measured]
        assert where == ["a", "a", "b", "b"]
        with pytest.raises(ValueError, match=r"holds what was measured with .*'limit': 'None'"):
            study(commit="b", limit=26)

    @pytest.mark.parametrize(
        ("groups", "message"),
        [
            (["plain=a"], "equally many folders"),
            (["plain=a,b", "other=c"], "equally many folders"),
            (["plain=a/0,b/0"], "folders of other names"),
        ],
    )
    def test_runs_that_cannot_be_compared_are_refused(self, groups, message, monkeypatch, capsys):
        monkeypatch.setattr("sys.argv", ["noise", *groups])
        with pytest.raises(SystemExit):
            noise.main()
        assert message in capsys.readouterr().err
