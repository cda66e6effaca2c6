import json
from dataclasses import replace

import pytest

from dealias.study.figures import choose_tests, read_figures
from dealias.study.plans import Plan
from dealias.study.plot import draw_study
from dealias.study.records import (
    add_run,
    conflicts,
    drop,
    empty_records,
    figures_of,
    missing_tests,
    read_records,
    write_records,
)
from dealias.study.statistics import summarise
from dealias.study.tables import UNDEFINED, notes_of, report
from dealias.study.variants import Variant
from dealias.text import FileError

SEEDS = (0, 1, 2)
TESTS = choose_tests(5, 32, [20])


def plan_of(name, title=None, **options):
    variant = Variant(name, title or name, {})
    return Plan(variant, ("--config", "base.yaml"), {"lr": 0.1} | options, {}, 6, on_gpu=False)


PLANS = [plan_of("plain"), plan_of("other", "Other | one", rate=2)]


def run_of(miou, images=7, tests=TESTS):
    figures = {"mIoU": miou, "FErr": 1 - miou, "agreement, target bands": miou / 2}
    found = {"images": images, "figures": figures}
    return {
        "tests": {
            test.name: found | {"settings": test.settings, "tested_on": test.tested_on}
            for test in tests
        },
        "environment": {"torch": "2.6"},
        "hardware": {"cores": 2, "gpu": None},
        "commit": "abc",
    }


def cost_of(**changes):
    row = {"step": 1.0, "prediction": 1.0, "bytes": 1} | changes
    return {"variants": {"plain": row}, "device": "cpu", "rounds": 9}


@pytest.fixture
def records():
    records = empty_records("segmentation")
    for plan, values in zip(PLANS, ((0.5, 0.6, 0.7), (0.52, 0.64, 0.76)), strict=True):
        for seed, value in zip(SEEDS, values, strict=True):
            add_run(records, plan, seed, run_of(value))
    return records


class TestFigures:
    def test_of_instances(self):
        kinds = {"mask": {"AP": 0.1, "AP50": 0.2, "AP75": None}, "box": {"AP": 0.5, "AP50": 0.75}}
        result = {"metrics": kinds | {"boundary": {"AP": 0.3}}}
        assert read_figures("instance", result) == {
            "mask AP": 0.1,
            "mask AP50": 0.2,
            "mask AP75": None,
            "box AP": 0.5,
            "box AP50": 0.75,
            "boundary AP": 0.3,
        }

    def test_agreement_is_left_out_where_there_were_no_shifts(self):
        metrics = dict.fromkeys(("mIoU", "BIoU", "BAcc", "FErr", "MErr", "DErr"), 0.5)
        assert read_figures("segmentation", {"metrics": metrics}) == metrics
        shifts = {"agreement": 0.9, "agreement_target_band": 0.8, "agreement_preds_band": 0.7}
        found = read_figures("segmentation", {"metrics": metrics, "shifts": shifts})
        assert list(found.values())[6:] == [0.9, 0.8, 0.7]
        with pytest.raises(KeyError):
            read_figures("segmentation", {"metrics": {"mIoU": 0.5}})


class TestRecords:
    def test_what_is_written_is_read(self, records, tmp_path):
        path = tmp_path / "study.json"
        write_records(records, path, {"summary": {}})
        assert read_records(path, "segmentation") == records
        with pytest.raises(FileError, match="expected a study of the task instance"):
            read_records(path, "instance")

    @pytest.mark.parametrize(
        "change",
        [
            lambda content: content.update(study=2),
            lambda content: content["runs"].update(x=content["runs"]["plain/0"]),
            lambda content: content["variants"].pop("other"),
            lambda content: content["runs"]["plain/0"].pop("tests"),
            lambda content: content["runs"]["plain/0"].update(files=["a"]),
            lambda content: content["runs"]["plain/0"]["tests"]["clean"]["figures"].update(mIoU=5),
            lambda content: content.update(cost=cost_of(step=-1)),
            lambda content: content.update(cost=cost_of(bytes=None)),
            lambda content: content["runs"]["plain/0"]["tests"]["clean"].pop("hardware"),
            lambda content: content.update(runs=[1]),
        ],
    )
    def test_what_is_no_study_is_refused(self, records, change, tmp_path):
        path = tmp_path / "study.json"
        write_records(records, path, {})
        content = json.loads(path.read_bytes())
        change(content)
        path.write_text(json.dumps(content))
        with pytest.raises(FileError, match="expected what dealias study writes"):
            read_records(path, "segmentation")

    def test_other_options_conflict_and_go(self, records):
        assert conflicts(records, PLANS, SEEDS, TESTS) == {}
        changed = [PLANS[0], plan_of("other", rate=3)]
        found = conflicts(records, changed, SEEDS, TESTS)
        assert found == {"other": ["rate 2, now 3"]}
        records["cost"] = cost_of()
        drop(records, list(found))
        assert set(records["runs"]) == {"plain/0", "plain/1", "plain/2"}
        assert records["cost"] is None

    def test_a_test_of_other_settings_goes_alone(self, records):
        tests = choose_tests(3, 32, [20])
        found = conflicts(records, PLANS, [1], tests)
        assert found == {
            "plain/1/clean": ["shifts 5, now 3"],
            "other/1/clean": ["shifts 5, now 3"],
        }
        records["cost"] = cost_of()
        drop(records, list(found))
        assert records["cost"] == cost_of()  # the network is the same
        assert [test.name for test in missing_tests(records, "plain/1", tests)] == ["clean"]
        assert missing_tests(records, "plain/0", TESTS) == []

    def test_one_more_noise_is_all_that_is_missing(self, records):
        tests = choose_tests(5, 32, [20, 30])
        assert conflicts(records, PLANS, SEEDS, tests) == {}
        assert [test.name for test in missing_tests(records, "plain/1", tests)] == ["noise_30"]

    def test_other_images_conflict_test_by_test(self, records):
        now = [replace(TESTS[0], tested_on="changed"), TESTS[1]]
        found = conflicts(records, PLANS, [1], now)
        assert list(found) == ["plain/1/clean", "other/1/clean"]
        assert "other images or targets" in found["plain/1/clean"][0]

    def test_conditions_of_other_options_conflict(self, records):
        first, other = (
            replace(TESTS[0], name="dark", changes=("--data.a", output), options={"a": output})
            for output in ("srgb", "raw")
        )
        add_run(records, PLANS[0], 0, run_of(0.5, tests=[first]))
        assert conflicts(records, PLANS, SEEDS, [*TESTS, first]) == {}
        assert conflicts(records, PLANS, SEEDS, [*TESTS, other]) == {
            "plain/0/dark": ["options {'a': 'srgb'}, now {'a': 'raw'}"]
        }

    def test_other_weights_of_one_name_conflict_and_the_run_goes(self, records):
        now = [PLANS[0], replace(PLANS[1], files={"model.network.weights": "abc"})]
        found = conflicts(records, now, [1], TESTS)
        expected = ["model.network.weights: the file holds something else now"]
        assert found == {"other/1": expected}
        records["cost"] = cost_of()
        drop(records, list(found))
        assert records["cost"] is None  # a file of the network may have changed
        assert set(records["runs"]) == {
            f"{name}/{seed}" for name in ("plain", "other") for seed in SEEDS
        } - {"other/1"}

    def test_a_run_that_was_trained_on_other_images_conflicts_and_goes(self, records):
        now = [PLANS[0], replace(PLANS[1], trained_on="changed")]
        found = conflicts(records, now, [1], TESTS)
        expected = ["it was trained on other images or targets than there are now"]
        assert found == {"other/1": expected}
        drop(records, list(found))
        assert "other/1" not in records["runs"]
        add_run(records, now[1], 1, run_of(0.5))
        assert conflicts(records, now, [1], TESTS) == {}

    def test_what_a_training_that_was_taken_saw_is_not_known(self, records):
        plans = [replace(PLANS[0], trained_on="now"), PLANS[1]]
        del records["runs"]["plain/0"]
        add_run(records, plans[0], 0, run_of(0.5), begun_here=False)
        assert conflicts(records, plans, [0], TESTS) == {}
        (note,) = notes_of(records, plans, SEEDS, TESTS)
        assert note == "of some runs, study.json does not say which images they were trained on"

    def test_figures_of_another_checkpoint_go(self, records):
        one = choose_tests(5, 32, [20, 30])[2:]
        add_run(records, PLANS[0], 0, run_of(0.5) | {"checkpoint": "first"})
        add_run(records, PLANS[0], 0, run_of(0.5, tests=one) | {"checkpoint": "first"})
        assert set(records["runs"]["plain/0"]["tests"]) == {"clean", "noise_20", "noise_30"}
        add_run(records, PLANS[0], 0, run_of(0.5, tests=one) | {"checkpoint": "second"})
        assert set(records["runs"]["plain/0"]["tests"]) == {"noise_30"}

    def test_records_of_earlier_versions_are_read(self, records, tmp_path):
        for run in records["runs"].values():
            for test in run["tests"].values():
                made = {key: test.pop(key) for key in ("hardware", "environment", "commit")}
                del test["tested_on"]
            run |= made
            del run["files"], run["trained_on"]
        write_records(records, tmp_path / "study.json", {})
        read = read_records(tmp_path / "study.json", "segmentation")
        assert (
            conflicts(
                read,
                [replace(plan, trained_on="y", files={"a": "b"}) for plan in PLANS],
                SEEDS,
                [replace(test, tested_on="x") for test in TESTS],
            )
            == {}
        )
        assert notes_of(read, PLANS, SEEDS, TESTS) == [
            "of some tests, study.json does not say which images they were on",
            "of some runs, study.json does not say which images they were trained on",
        ]
        assert "Made with torch 2.6. Commit abc." in report(read, PLANS, SEEDS, TESTS, [])

    def test_strengths_that_differ_little_are_tests_of_their_own(self):
        tests = choose_tests(None, 32, [20, 20.00001, 1e-7])
        assert [test.name for test in tests] == [
            "clean",
            "noise_20",
            "noise_20.00001",
            "noise_1e-07",
        ]
        assert tests[2].arguments == ["--noise", "20.00001"]


class TestReport:
    def test_means_differences_and_runs(self, records):
        lines = report(records, PLANS, SEEDS, TESTS, []).splitlines()
        assert "| | mIoU ↑ | FErr ↓ | agreement, target bands ↑ |" in lines
        assert "| plain | 60.00 ± 10.00 | 40.00 ± 10.00 | 30.00 ± 5.00 |" in lines
        start = r"| Other \| one | +4.00 [-0.97, +8.97], p 0.07 | -4.00 [-8.97, +0.97], p 0.07 |"
        assert any(line.startswith(start) for line in lines)
        assert r"| Other \| one, seed 2 | 76.00 | 24.00 | 38.00 |" in lines
        assert "Made with torch 2.6. Commit abc. On: cores 2." in lines
        command = "dealias fit --config base.yaml --seed_everything SEED --output OUTPUT/other/SEED"
        assert any(line.startswith(command) for line in lines)

    def test_what_does_not_compare_is_said(self, records):
        assert notes_of(records, PLANS, SEEDS, TESTS) == []
        del records["runs"]["other/1"]
        add_run(records, PLANS[1], 2, run_of(0.5, images=6) | {"commit": "def"})
        notes = notes_of(records, PLANS, SEEDS, TESTS)
        assert "Clean images: missing: other/1" in notes
        assert any("other numbers of images: 7 in" in note and "6 in" in note for note in notes)
        assert "the commit of tests differs; study.json has that of each" in notes

    def test_one_more_test_on_another_machine_is_said(self, records):
        tests = choose_tests(5, 32, [20, 30])
        later = run_of(0.5, tests=tests[2:]) | {"hardware": {"cores": 8, "gpu": "H"}}
        add_run(records, PLANS[0], 0, later)
        run = records["runs"]["plain/0"]["tests"]
        assert [run[test.name]["hardware"]["cores"] for test in tests] == [2, 2, 8]
        notes = notes_of(records, PLANS, SEEDS, tests)
        assert "the hardware of tests differs; study.json has that of each" in notes

    def test_cells_of_fewer_seeds_say_so(self, records):
        del records["runs"]["other/1"]
        text = report(records, PLANS, SEEDS, TESTS, [])
        assert "| plain | 60.00 ± 10.00 | 40.00" in text
        assert r"| Other \| one | 64.00 ± 16.97 (2 of 3 seeds) | 36.00" in text
        assert "p 0.30 (2 of 3 seeds)" in text

    def test_what_was_not_measured_of_the_cost_is_a_dash(self, records):
        row = {"step": 2.0, "prediction": 1.0, "bytes": 2**21}
        records["cost"] = {"variants": {"plain": row}, "device": "cpu", "rounds": 9}
        text = report(records, PLANS, SEEDS, TESTS, [])
        assert "| plain | 1.00 | 1.00 | 1.00 | 2 |" in text
        dashes = f"| {' | '.join([UNDEFINED] * 3)} |"
        assert rf"| Other \| one {dashes} {UNDEFINED} |" in text
        assert notes_of(records, PLANS, SEEDS, TESTS) == ["cost: not measured: other"]
        records["cost"]["variants"] = {"other": row}
        assert rf"| Other \| one {dashes} 2 |" in report(records, PLANS, SEEDS, TESTS, [])

    def test_points_are_drawn_where_there_are_some(self, records, tmp_path):
        path = tmp_path / "figure.png"
        names = [plan.variant.name for plan in PLANS]
        summary = summarise(figures_of(records, TESTS[0]), names, SEEDS)
        titles = {name: f"${name}_$" for name in names}  # which is no formula
        assert draw_study("segmentation", summary, titles, path)
        assert path.read_bytes().startswith(b"\x89PNG")
        path.unlink()
        assert not draw_study("segmentation", summarise({}, names, SEEDS), titles, path)
        assert not path.exists()
