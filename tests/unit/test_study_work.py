"""What is done anew, what is kept, and what is written when a study stops."""

import json
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
import yaml

from dealias.evaluation import digest_file
from dealias.files import OutputError, write_json
from dealias.study import Study, StudyError, Variant, run_study
from dealias.study.begun import read_begun, write_begun
from dealias.study.figures import CLEAN
from dealias.study.folders import check_folders
from dealias.study.plans import Plan
from dealias.study.records import add_run, empty_records, write_records
from dealias.study.training import trained_steps
from dealias.study.work import Work
from dealias.text import FileError

PLANS = [
    Plan(Variant(name, name, {}), ("--config", "b.yaml"), {"lr": lr}, {}, 6, on_gpu=False)
    for name, lr in (("plain", 0.1), ("other", 0.2))
]
METRICS = dict.fromkeys(("mIoU", "BIoU", "BAcc", "FErr", "MErr", "DErr"), 0.5)


@pytest.fixture
def study(tmp_path):
    return Study(
        config="b.yaml", variants=tmp_path, seeds=(0, 1), output=tmp_path, shifts=0, cost=False
    )


@pytest.fixture
def work(study):
    """A study of two variants whose first run is done, clean and under noise."""
    tests = study.tests("segmentation")
    folder = study.output / "plain" / "0"
    folder.mkdir(parents=True)
    torch.save({"state_dict": {}, "global_step": 6}, folder / "last.ckpt")
    (folder / "config.yaml").write_text(yaml.safe_dump({"lr": 0.1, "seed_everything": 0}))
    records = empty_records("segmentation")
    row = {"images": 3, "figures": METRICS, "environment": {"torch": "2.6"}}
    found = {
        "tests": {test.name: row | {"settings": test.settings} for test in tests},
        "hardware": {"cores": 2},
        "commit": None,
        "checkpoint": digest_file(folder / "last.ckpt"),
    }
    add_run(records, PLANS[0], 0, found)
    write_records(records, study.output / "study.json", {})
    return Work(study, PLANS, tests, records, study.output / "study.json")


def lacking(work):
    return {job.name: list(job.task["tests"]) for job in work.jobs()}


class TestJobs:
    def test_one_more_test_is_of_the_same_checkpoint(self, work):
        del work.records["runs"]["plain/0"]["tests"]["noise_20"]
        assert lacking(work)["plain/0"] == ["noise_20"]

    def test_a_checkpoint_that_was_replaced_is_tested_anew(self, work):
        del work.records["runs"]["plain/0"]["tests"]["noise_20"]
        path = work.study.output / "plain" / "0" / "last.ckpt"
        torch.save({"state_dict": {"a": torch.ones(1)}, "global_step": 6}, path)
        assert lacking(work)["plain/0"] == ["clean", "noise_20"]

    @pytest.mark.parametrize("steps", [None, 3])
    def test_what_is_trained_further_is_tested_anew(self, steps, work):
        del work.records["runs"]["plain/0"]["tests"]["noise_20"]
        path = work.study.output / "plain" / "0" / "last.ckpt"
        if steps is None:
            path.unlink()
        else:
            torch.save({"state_dict": {}, "global_step": steps}, path)
            work.records["runs"]["plain/0"].pop("checkpoint")
        assert lacking(work)["plain/0"] == ["clean", "noise_20"]

    def test_a_run_of_weights_that_changed_is_refused_or_trained_anew(self, work):
        work.records["runs"]["plain/0"]["files"] = {"model.network.backbone_weights": "earlier"}
        message = "plain/0: model.network.backbone_weights: the file holds something else now"
        with pytest.raises(StudyError, match=message):
            work.jobs()
        work.study = replace(work.study, overwrite=True)
        job = next(job for job in work.jobs() if job.name == "plain/0")
        assert job.task["anew"]

    def test_a_training_from_another_file_of_this_name_is_not_taken(self, work):
        names = [work.study.output / folder / "weights.pth" for folder in "ab"]
        for name in names:
            name.parent.mkdir()
            name.write_text(str(name))
        options = {"lr": 0.1, "weights": "weights.pth"}
        plain = replace(PLANS[0], options=options, files={"weights": digest_file(names[1])})
        work.plans["plain"] = plain
        work.records = empty_records("segmentation")
        config = {"lr": 0.1, "seed_everything": 0, "weights": str(names[1])}
        path = work.study.output / "plain" / "0" / "config.yaml"
        path.write_text(yaml.safe_dump(config))
        work.jobs()
        path.write_text(yaml.safe_dump(config | {"weights": str(names[0])}))
        with pytest.raises(StudyError, match=r"plain/0: weights .*/a/weights\.pth', which differs"):
            work.jobs()

    @pytest.mark.parametrize("inputs", [{"trained_on": "earlier"}, {"files": {"w": "earlier"}}])
    def test_a_training_begun_on_other_files_does_not_go_on(self, inputs, work):
        work.records["runs"].clear()
        run = work.study.output / "plain" / "0"
        torch.save({"state_dict": {}, "global_step": 3}, run / "last.ckpt")
        write_json(PLANS[0].inputs | inputs | {"replaced": None}, run / "begun.json")
        with pytest.raises(StudyError, match=r"plain/0: (it was trained on other images|w: the)"):
            work.jobs()
        work.study = replace(work.study, overwrite=True)
        job = next(job for job in work.jobs() if job.name == "plain/0")
        assert job.task["anew"]

    def test_a_checkpoint_that_was_to_be_replaced_is_not_taken(self, work):
        work.records["runs"].clear()
        run = work.study.output / "plain" / "0"
        write_begun(run, PLANS[0].inputs)  # and it was killed before its first step
        with pytest.raises(StudyError, match=r"plain/0: last\.ckpt is of the training that one"):
            work.jobs()
        torch.save({"state_dict": {}, "global_step": 1}, run / "last.ckpt")
        assert "plain/0" in lacking(work)

    def test_figures_go_before_a_training_that_replaces_them_starts(self, work, monkeypatch):
        del work.records["runs"]["plain/0"]["tests"]["noise_20"]
        (work.study.output / "plain" / "0" / "last.ckpt").unlink()
        job = work.jobs()[0]
        monkeypatch.setattr("dealias.study.runs._start", stop)
        with pytest.raises(KeyboardInterrupt):
            work.train([job], print, no_progress)
        assert json.loads(work.file.read_text())["runs"] == {}


def job_with_results(work, miou):
    """The job of the second run, whose tests have left results."""
    job = next(job for job in work.jobs() if job.name == "plain/1")
    for name in job.task["tests"]:
        path = work.study.output / "plain" / "1" / "tests" / name / "result.json"
        path.parent.mkdir(parents=True)
        metrics = METRICS | {"mIoU": miou}
        path.write_text(json.dumps({"metrics": metrics, "images": 3, "environment": {}}))
    return job


@pytest.mark.parametrize("value", [1.5, float("nan"), "high"])
def test_a_result_that_is_no_figure_fails_its_run_alone(value, work):
    problem = work._take(job_with_results(work, value))
    assert str(work.study.output / "plain" / "1" / "tests" / CLEAN) in problem
    assert set(work.records["runs"]) == {"plain/0"}


@pytest.mark.parametrize("begun", [True, False])
def test_what_a_run_was_trained_on_is_kept_if_a_study_began_it(begun, work):
    work.records["runs"].clear()
    work.plans["plain"] = replace(PLANS[0], trained_on="abc")
    job, run = job_with_results(work, 0.5), work.study.output / "plain" / "1"
    torch.save({"state_dict": {}, "global_step": 6}, run / "last.ckpt")
    if begun:
        write_begun(run, job.task["inputs"])
    assert work._take(job) is None
    assert work.records["runs"]["plain/1"].get("trained_on") == ("abc" if begun else None)


def test_what_is_no_record_of_a_beginning_is_refused(tmp_path):
    (tmp_path / "begun.json").write_text("[]")
    with pytest.raises(FileError, match=r"begun\.json: expected what dealias study writes"):
        read_begun(tmp_path)


class TestFolders:
    def test_those_of_variants_that_were_renamed_are_of_the_study(self, tmp_path):
        output = tmp_path / "out"
        for name in ("plain", "earlier", "stopped"):
            (output / name).mkdir(parents=True)
        write_begun(output / "stopped" / "0", PLANS[0].inputs)  # of which no run was done
        check_folders(output, tmp_path / "results", PLANS, ["earlier"], overwrite=False)
        with pytest.raises(OutputError, match="got one with earlier, which is none of the"):
            check_folders(output, tmp_path / "results", PLANS, [], overwrite=False)

    def test_study_json_elsewhere_names_them(self, work, monkeypatch):
        results = work.study.output / "results"
        results.mkdir()
        renamed = [replace(PLANS[0], variant=Variant("new", "new", {})), PLANS[1]]
        monkeypatch.setattr("dealias.study.study.read_variants", lambda _: None)
        monkeypatch.setattr(
            "dealias.study.study.plan_variants", lambda *_: ("segmentation", renamed)
        )
        work.file.rename(results / "study.json")
        study = replace(
            work.study, output=work.study.output / "runs", results=results, summarise=True
        )
        (study.output / "plain" / "0").mkdir(parents=True)
        run_study(study, tell=print, progress=no_progress)
        assert "missing: new/0, other/0" in (results / "table.md").read_text()


def test_a_torn_checkpoint_says_what_to_do(tmp_path):
    (tmp_path / "last.ckpt").write_bytes(b"torn")
    with pytest.raises(
        StudyError, match=r"last\.ckpt: .*without this file, the run is trained anew"
    ):
        trained_steps(tmp_path)


class TestStopped:
    @pytest.fixture(autouse=True)
    def _planned(self, monkeypatch):
        plans = ("segmentation", PLANS)
        monkeypatch.setattr("dealias.study.study.read_variants", lambda _: None)
        monkeypatch.setattr("dealias.study.study.plan_variants", lambda *_: plans)
        monkeypatch.setattr("dealias.study.runs._start", stop)

    @pytest.mark.usefixtures("work")
    def test_an_interrupted_study_has_its_table(self, study):
        with pytest.raises(KeyboardInterrupt):
            run_study(study, tell=print, progress=no_progress)
        text = (study.output / "table.md").read_text("utf-8")
        assert "**Note:** the study was stopped before its end" in text
        assert "missing: other/0, plain/1, other/1" in text
        assert "(1 of 2 seeds)" in text

    @pytest.mark.usefixtures("work")
    def test_what_is_done_is_summed_up_without_training(self, study):
        summed = replace(study, summarise=True)
        found = run_study(summed, tell=print, progress=no_progress)
        assert found.notes[0] == "Clean images: missing: other/0, plain/1, other/1"
        assert (study.output / "table.md").exists()

    def test_what_was_measured_otherwise_or_not_at_all_is_not_summed_up(self, study, work):
        with pytest.raises(StudyError, match="plain/0/clean: shifts None, now 3"):
            run_study(
                replace(study, summarise=True, shifts=3),
                tell=print,
                progress=no_progress,
            )
        work.file.unlink()
        with pytest.raises(StudyError, match=r"study\.json: no such file: there is nothing"):
            run_study(replace(study, summarise=True), tell=print, progress=no_progress)


def stop(*_):
    raise KeyboardInterrupt


def no_progress(_):
    return nullcontext(lambda: None)
