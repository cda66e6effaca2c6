import json
import math
from pathlib import Path

import pytest
from scipy import stats
from studies import noise, together

from dealias.metrics.functional import MEAN_FIGURES
from dealias.study import read_variants, summarise

ROOT = Path(noise.__file__).parents[1]
RESULTS = ROOT / "results"


@pytest.mark.parametrize("name", ["camvid", "camvid_dark"])
def test_the_published_differences_are_of_the_published_runs(name):
    content = json.loads((RESULTS / name / "results.json").read_text("utf-8"))
    found = {}
    for run, figures in content["metrics"].items():
        variant, _, seed = run.rpartition("_")
        found[variant, int(seed)] = figures
    variants = list(content["summary"])
    seeds = sorted({seed for variant, seed in found if variant == variants[1]})
    summary = summarise(found, variants, seeds)
    for variant, rows in content["summary"].items():
        for figure, row in rows.items():
            for key, value in row.items():
                assert summary[variant][figure][key] == pytest.approx(value, rel=1e-9)
    assert variants == [v.name for v in read_variants(ROOT / "studies" / name / "variants.yaml")]


def measured_under_noise(variant, run, *rows):
    """What is measured of a run at sigma 0, 20 and so on: mIoU, and the score behind any filter."""
    return [
        {
            "variant": variant,
            "run": run,
            "sigma": 20 * index,
            "metrics": dict.fromkeys(MEAN_FIGURES, miou),
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
        folder = RESULTS / "noise"
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


class TestTogether:
    def study(self, **figures):
        """A study.json of a plain network and of one with filters, by seed."""
        return {
            "runs": {
                f"{name}/{seed}": {
                    "variant": name,
                    "seed": seed,
                    "tests": {"clean": {"figures": {"mIoU": value, "FErr": value}}},
                }
                for name, values in figures.items()
                for seed, value in enumerate(values)
            }
        }

    def test_differences_are_in_points_and_of_common_seeds(self):
        study = self.study(baseline=[0.5, 0.6, 0.7], daf_after=[0.51, 0.58])
        found = together.differences_of(study, "daf_after", "clean")
        assert found["mIoU"] == pytest.approx([1, -2])
        with pytest.raises(ValueError, match="daf: expected at least two seeds"):
            together.differences_of(study, "daf", "clean")

    def test_one_study_is_the_paired_test(self):
        values = [0.3, 1.2, -0.4, 0.9]
        found = together.pool([values])
        expected = stats.ttest_1samp(values, 0)
        assert found["p"] == pytest.approx(expected.pvalue)
        assert (found["low"], found["high"]) == pytest.approx(expected.confidence_interval())

    def test_two_studies_are_the_test_of_welch(self):
        """The sum of two means is zero if one is the negative of the other."""
        first, second = [0.3, 1.2, -0.4, 0.9], [2.0, -1.5, 3.0]
        found = together.pool([first, second])
        expected = stats.ttest_ind(first, [-value for value in second], equal_var=False)
        assert found["p"] == pytest.approx(expected.pvalue)
        limits = [limit / 2 for limit in expected.confidence_interval()]
        assert (found["low"], found["high"]) == pytest.approx(limits)

    def test_fewer_errors_are_better(self):
        study = self.study(baseline=[0.5, 0.6], daf_after=[0.6, 0.8])
        differences = together.differences_of(study, "daf_after", "clean")
        found = together.together({"one": differences, "two": differences})
        assert (found["mIoU"]["better"], found["FErr"]["better"]) == (4, 0)
        assert found["mIoU"]["runs"] == 4

    def test_the_published_table_is_of_the_published_runs(self):
        folder = RESULTS / "filters"
        published = json.loads((folder / "daf_after_clean.json").read_text("utf-8"))
        studies = {}
        for name in published["mIoU"]["studies"]:
            content = json.loads((RESULTS / name / "study.json").read_text("utf-8"))
            studies[name] = together.differences_of(content, "daf_after", "clean")
        found = together.together(studies)
        for figure, row in published.items():
            assert found[figure]["difference"] == pytest.approx(row["difference"])
            assert found[figure]["p"] == pytest.approx(row["p"], rel=1e-6)
        assert (folder / "daf_after_clean.md").read_text("utf-8") == together.table(found)
