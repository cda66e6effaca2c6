"""What is refused before anything is trained."""

import pytest
import timm
import torch
import yaml
from PIL import Image

from dealias.cli import main
from dealias.labels import load_class_set
from dealias.study import Study, read_variants
from dealias.study.conditions import plan_conditions
from dealias.study.figures import choose_tests
from dealias.study.fingerprints import digest_options
from dealias.study.options import differences, relevant
from dealias.study.plans import plan_variants, unequal_lengths
from dealias.study.variants import StudyError, command_line
from dealias.text import FileError, told_conditions
from runs import CONFIG

FILTERED = {"model": {"network": {"dealias": {"mixing": False}}}}


@pytest.fixture
def plan(tmp_path):
    """Plans of variants of the tiny configuration, by what they change."""
    (tmp_path / "base.yaml").write_text(CONFIG)

    def make(*changes):
        content = {"plain": {}} | {f"v{index}": change for index, change in enumerate(changes)}
        file = tmp_path / "variants.yaml"
        file.write_text(yaml.safe_dump(content, sort_keys=False))
        return plan_variants(asked(tmp_path), read_variants(file), {})

    return make


def asked(folder, **options):
    files = {"config": str(folder / "base.yaml"), "variants": folder / "variants.yaml"}
    return Study(**files, seeds=[0, 1], output=folder / "out", **options)


def study(tmp_path, *more):
    (tmp_path / "base.yaml").write_text(CONFIG)
    (tmp_path / "variants.yaml").write_text("plain: {}\nfiltered: {data: {limit: 2}}\n")
    paths = {"config": "base.yaml", "variants": "variants.yaml", "output": "out"}
    options = [part for name, path in paths.items() for part in (f"--{name}", str(tmp_path / path))]
    return main(["study", *options, *more])


class TestVariants:
    def test_names_titles_and_options(self, tmp_path):
        path = tmp_path / "variants.yaml"
        path.write_text("plain:\nother: {title: Other one, data: {batch_size: 2}}\n")
        plain, other = read_variants(path)
        assert (plain.name, plain.title, plain.changes) == ("plain", "plain", {})
        assert (other.name, other.title) == ("other", "Other one")
        assert other.changes == {"data": {"batch_size": 2}}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("plain: {}", "expected variants, 2 at least, got 1"),
            ("[plain, other]", "expected a mapping of names of variants"),
            ("plain: {}\n../other: {}", "expected names of folders.*'../other'"),
            ("plain: {}\n.other: {}", "expected names of folders"),
            ("plain: {}\n1: {}", "expected names of folders.*got 1"),
            ("plain: {}\nPLAIN: {}", "PLAIN: there is another output of this name"),
            ("plain: {}\nstudy.json: {}", "study.json: there is another output"),
            ("plain: {}\nother: [a]", "other: expected a mapping of options"),
            ("plain: {}\nother: {seed_everything: 3}", "other: .*got 'seed_everything'"),
            ("plain: {}\nother: {data: 3}", "other: data: expected options, got 3"),
            ("plain: {}\nother: {title: [a]}", "other: title: expected text"),
            ("plain: {}\nplain: {}", "given twice"),
            (
                "plain: {title: One}\nother: {title: ' One'}",
                "other: title: expected another than that of plain, got 'One'",
            ),
            ("plain: {}\nother: {title: plain}", "other: title: expected another than that"),
        ],
    )
    def test_what_is_no_file_of_variants_is_refused(self, text, message, tmp_path):
        path = tmp_path / "variants.yaml"
        path.write_text(text)
        with pytest.raises(FileError, match=message):
            read_variants(path)

    def test_small_numbers_stay_numbers(self):
        name, value = command_line({"model": {"optimization": {"lr": 1e-5}}})
        assert name == "--model.optimization.lr"
        assert yaml.safe_load(value) == 1e-5


class TestPlans:
    def test_options_are_those_of_the_base_and_the_variant(self, plan):
        task, (plain, other) = plan(FILTERED | {"data": {"augmentation": {"noise": [0, 30]}}})
        assert task == "segmentation"
        assert plain.steps == 6
        assert other.options["model.network.dealias.mixing"] is False
        assert other.options["data.augmentation.noise"] == [0, 30]
        assert plain.options["data.augmentation.noise"] is None

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"model": {"network": {"dealais": {}}}}, "v1: model.network.dealais: no such option"),
            ({"data": {"augmentation": {"nois": [0, 3]}}}, r"v1: .*data\.augmentation\.nois"),
            ({"trainer": {"max_step": 3}}, "v1: .*max_step"),
            ({"data": {"limit": 2}}, "v1: data.limit: expected None as in plain, got 2"),
            ({"data": {"scenes": {"val": 2}}}, "v1: data.scenes.val: expected 3 as in plain"),
            ({"model": {"band_width": 3}}, "v1: model.band_width: expected 15 as in plain, got 3"),
            (FILTERED, "v1: has the same options as v0"),
            ({"data": {"workers": 2}}, "v1: has the same options as plain"),
            ({"trainer": {"max_steps": -1}}, "v1: trainer.max_steps: expected steps"),
            ({"trainer": {"max_time": "00:01:00:00"}}, "v1: expected a training that ends at"),
        ],
    )
    def test_what_cannot_be_compared_is_refused(self, changes, message, plan):
        with pytest.raises(StudyError, match=message):
            plan(FILTERED, changes)

    def test_unequal_trainings_get_a_warning(self, plan):
        _, plans = plan({"data": {"batch_size": 3}})
        (warning,) = unequal_lengths(plans)
        assert warning.startswith("v0: data.batch_size is 3, in plain 2")

    def test_paths_are_relative_to_the_file_of_variants(self, plan, tmp_path):
        with pytest.raises(StudyError, match=f"v0: .*{tmp_path}/none.pth"):
            plan({"model": {"network": {"backbone_weights": "./none.pth"}}})


class TestDifferences:
    def test_by_name(self):
        first, second = {"a": [1, 2], "b": 1}, {"a": (1, 2), "b": 2}
        assert differences(first, second, {}) == ["b 1, now 2"]

    def test_an_option_that_is_newer_than_a_run_has_its_default(self):
        assert differences({}, {"noise": None}, {"noise": None}) == []
        assert differences({}, {"noise": [0, 3]}, {"noise": None}) == ["noise None, now [0, 3]"]

    def test_null_is_not_nothing(self):
        assert len(differences({}, {"model.network.dealias.filter": None}, {})) == 1

    def test_where_files_lie_and_how_many_read_them_does_not_matter(self):
        here = {"data": {"root": "/a", "classes": "/a/mine.yaml", "workers": 0, "limit": 3}}
        there = {"data": {"root": "/b", "classes": "/b/mine.yaml", "workers": 8, "limit": 3}}
        assert relevant(here) == relevant(there) == {"data.classes": "mine.yaml", "data.limit": 3}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seeds", "1"], "seeds: expected two at least, for a deviation, each once, got [0]"),
        (["--seeds", "3", "4", "3"], "seeds: expected two at least, for a deviation, each once"),
        (["--noise", "0"], "noise: expected numbers over 0"),
        (["--overwrite", "--summarise"], "summarise: expected no overwrite"),
        (["--baseline", "plane"], "baseline: expected one of plain, filtered, got 'plane'"),
        (["--noise", "5", "5"], "noise: expected numbers over 0, each once"),
        (["--jobs", "0"], "jobs: expected at least 1, got 0"),
        (["--shifts", "-1"], "shifts: expected a number from 0 on"),
        ([], "filtered: data.limit: expected None as in plain, got 2"),
    ],
)
def test_a_command_that_cannot_be_a_study_is_one_line(options, message, tmp_path, capsys):
    assert study(tmp_path, *options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("dealias study: error: ")
    assert message in line
    assert not (tmp_path / "out").exists()


def test_shifts_are_for_label_maps(tmp_path):
    given = {"config": "", "variants": tmp_path, "seeds": (0, 1), "output": tmp_path}
    assert Study(**given).tests("instance")[0].shifts is None
    with pytest.raises(ValueError, match="shifts: expected 0 for the task instance"):
        Study(**given, shifts=5).tests("instance")


class TestInputs:
    """Files of one name may hold something else."""

    @pytest.fixture
    def folders(self, tmp_path):
        text = yaml.safe_load(CONFIG)
        text["data"] |= {"name": "folder", "classes": "camvid", "limit": None}
        del text["data"]["scenes"]
        for root in ("here", "there"):
            for kind, mode in (("images", "RGB"), ("labels", "L")):
                for split in ("train", "val"):
                    folder = tmp_path / root / kind / split
                    folder.mkdir(parents=True)
                    for name in ("a", "b"):
                        Image.new(mode, (96, 80), 3 if mode == "L" else (1, 2, 3)).save(
                            folder / f"{name}.png"
                        )
        text["data"]["root"] = str(tmp_path / "here")
        (tmp_path / "base.yaml").write_text(yaml.safe_dump(text))
        return tmp_path

    def plans(self, folders, change):
        file = folders / "variants.yaml"
        file.write_text(yaml.safe_dump({"plain": {}, "v0": change}, sort_keys=False))
        return plan_variants(asked(folders), read_variants(file), {})[1]

    def test_variants_of_other_folders_of_images_are_refused(self, folders):
        change = FILTERED | {"data": {"root": str(folders / "there")}}
        with pytest.raises(StudyError, match=r"v0: data\.root: expected .*here"):
            self.plans(folders, change)

    def test_weights_of_one_name_are_other_weights(self, folders):
        weights = {}
        for root in ("here", "there"):
            path = folders / root / "backbone.pth"
            torch.save(timm.create_model("test_resnet").state_dict(), path)
            weights[root] = {"model": {"network": {"backbone_weights": str(path)}}}
        base = yaml.safe_load((folders / "base.yaml").read_text())
        base["model"]["network"] |= weights["here"]["model"]["network"]
        (folders / "base.yaml").write_text(yaml.safe_dump(base))
        plain, other = self.plans(folders, weights["there"])
        assert plain.options == other.options
        assert plain.files != other.files
        assert list(plain.files) == ["model.network.backbone_weights"]

    def test_a_changed_image_shows_in_the_digest_and_another_place_does_not(self, folders):
        before = self.plans(folders, FILTERED)[0].tested_on
        base = folders / "base.yaml"
        base.write_text(base.read_text().replace("here", "there"))
        assert self.plans(folders, FILTERED)[0].tested_on == before
        Image.new("L", (96, 80), 4).save(folders / "there" / "labels" / "val" / "b.png")
        assert self.plans(folders, FILTERED)[0].tested_on != before

    def test_so_does_a_change_of_what_is_trained_on(self, folders):
        before = self.plans(folders, FILTERED)[0]
        base = folders / "base.yaml"
        base.write_text(base.read_text().replace("here", "there"))
        assert self.plans(folders, FILTERED)[0].inputs == before.inputs
        labels, images = (folders / "there" / kind / "train" for kind in ("labels", "images"))
        Image.new("L", (96, 80), 4).save(labels / "b.png")
        changed = self.plans(folders, FILTERED)[0]
        Image.new("L", (96, 80), 3).save(labels / "b.png")
        for folder in (labels, images):
            (folder / "c.png").write_bytes((folder / "b.png").read_bytes())
        longer = self.plans(folders, FILTERED)[0]
        assert len({before.trained_on, changed.trained_on, longer.trained_on}) == 3
        assert before.tested_on == changed.tested_on == longer.tested_on


class TestConditions:
    """Tests of each run beside the clean one and those under noise."""

    OTHERS = choose_tests(5, 32, [20])

    @pytest.fixture
    def conditions(self, plan, tmp_path):
        task, (baseline, _) = plan(FILTERED)

        def make(text):
            file = tmp_path / "conditions.yaml"
            file.write_text(text)
            return plan_conditions(
                asked(tmp_path, conditions=file), baseline, task, self.OTHERS, {}
            )

        return make

    def test_the_same_images_in_another_way(self, conditions):
        dark, few = conditions(
            "dark: {title: In the dark, data: {dark: {ratio: [50, 50], output: srgb}}}\n"
            "few: {data: {limit: 2, workers: 0}}"
        )
        assert (dark.name, dark.title, few.title) == ("dark", "In the dark", "few")
        assert dark.arguments == ["--data.dark.ratio", "[50, 50]", "--data.dark.output", "srgb"]
        assert dark.settings == {
            "shifts": None,
            "noise": 0.0,
            "options": {"data.dark.ratio": [50, 50], "data.dark.output": "srgb"},
        }
        assert few.settings["options"] == {"data.limit": 2}

    def test_other_images(self, tmp_path, conditions):
        for kind, mode in (("images", "RGB"), ("labels", "L")):
            folder = tmp_path / "night" / kind / "val"
            folder.mkdir(parents=True)
            Image.new(mode, (96, 80), 3 if mode == "L" else (1, 2, 3)).save(folder / "a.png")
        text = "night: {data: {name: folder, root: night, classes: CLASSES}}"
        (night,) = conditions(text.replace("CLASSES", "scenes"))
        assert str(tmp_path / "night") in night.arguments
        assert night.tested_on is not None
        with pytest.raises(StudyError, match="night: expected the classes that the networks are"):
            conditions(text.replace("CLASSES", "camvid"))
        kept = []
        for label in (3, 4):
            names = load_class_set("scenes").names
            mapped = {label: 0, **{k: k for k in range(5, len(names))}}
            mine = {"names": list(names), "label_map": mapped}
            (tmp_path / "mine.yaml").write_text(yaml.safe_dump(mine))
            (night,) = conditions(text.replace("CLASSES", "mine.yaml"))
            kept.append(night.settings)
        assert kept[0] != kept[1]
        assert kept[0]["options"].keys() == kept[1]["options"].keys()

    def test_of_a_base_in_the_dark(self, plan, tmp_path):
        """Its own test is not called clean, and a condition is to differ from it."""
        task, (baseline, _) = plan(FILTERED)
        assert baseline.conditions == {}
        base = yaml.safe_load((tmp_path / "base.yaml").read_text())
        base["data"]["dark"] = {"ratio": [5, 7], "output": "srgb"}
        (tmp_path / "base.yaml").write_text(yaml.safe_dump(base))
        study = asked(tmp_path, conditions=tmp_path / "conditions.yaml")
        variants = read_variants(study.variants)
        task, (baseline, _) = plan_variants(study, variants, {})
        told = told_conditions(baseline.conditions)
        assert [test.title for test in study.tests(task, told)] == [
            "Images in the dark (exposure ratio 5 to 7, srgb)",
            "Under noise of sigma 20 of 255, in the dark (exposure ratio 5 to 7, srgb)",
        ]
        for same in ("{}", "{output: srgb}", "{ratio: [5, 7]}"):
            study.conditions.write_text(f"darker: {{data: {{dark: {same}}}}}")
            with pytest.raises(StudyError, match="darker: expected options of data that differ"):
                plan_conditions(study, baseline, task, self.OTHERS, {})
        study.conditions.write_text("bright: {data: {dark: null}}")
        (bright,) = plan_conditions(study, baseline, task, self.OTHERS, {})
        assert bright.settings["options"] == {"data.dark": None}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{}", "expected tests, 1 at least, got 0"),
            ("dark: {}", "dark: expected options of data that differ, got none"),
            ("same: {data: {workers: 1}}", "same: expected options of data that differ, got none"),
            ("a: {data: {seed: 3}}", "a: data.seed: is an option of training, not of tests"),
            ("dark: {model: {band_width: 3}}", "dark: expected options of data or a title, got"),
            ("Clean: {data: {limit: 2}}", "Clean: there is another test of this name"),
            ("noise_20: {data: {limit: 2}}", "noise_20: there is another test of this name"),
            ("a: {title: Clean images, data: {limit: 2}}", "a: there is another test of this name"),
            ("a: {data: {batch_size: 2}}", "a: data.batch_size: is an option of training"),
            ("a: {data: {skip_empty: true}}", "a: data.skip_empty: is an option of training"),
            ("a: {data: {dark: {keep_bright: true}}}", "a: data.dark.keep_bright: is an option of"),
            ("same: {data: {root: here}}", "same: expected options of data that differ, got none"),
            ("same: {data: {limit: null}}", "same: expected options of data that differ, got none"),
            ("a: {data: {augmentation: {flip: 0}}}", "a: data.augmentation.flip: is an option of"),
            ("a: {data: {limits: 2}}", "a: .*limits"),
            ("a: {data: {dark: {ratio: [5, 2]}}}", "(?s)a: .*ratio: expected a number from 1 on"),
            ("a: {data: {noise: 3}}", "a: .*noise"),
        ],
    )
    def test_what_is_none_is_refused(self, conditions, text, message):
        with pytest.raises((StudyError, FileError), match=message):
            conditions(text)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("ckpt_path: other.ckpt", "ckpt_path: expected none in the base of a study.*'other.ckpt'"),
        ("shift_seed: 3", "shift_seed: expected none in the base of a study.* got 3"),
        ("label_maps: true", "label_maps: expected none"),
        ("output: runs/mine", "output: expected none"),
    ],
)
def test_what_a_study_decides_is_refused_in_the_base(option, message, tmp_path):
    (tmp_path / "base.yaml").write_text(f"{CONFIG}\n{option}\n")
    (tmp_path / "variants.yaml").write_text(yaml.safe_dump({"plain": {}, "v0": FILTERED}))
    file = tmp_path / "variants.yaml"
    with pytest.raises(StudyError, match=message):
        plan_variants(asked(tmp_path), read_variants(file), {})


def test_a_ramp_is_for_variants_with_filters_and_checked_before_training(plan):
    ramped = {"model": {"network": {"dealias": {"strength": 0}}}, "filter_ramp": 0.5}
    _, (plain, other) = plan(ramped)
    assert (plain.options["filter_ramp"], other.options["filter_ramp"]) == (None, 0.5)
    with pytest.raises(StudyError, match="v0: filter_ramp: expected filters whose strength"):
        plan({"model": {"network": {"dealias": None}}, "filter_ramp": 0.5})


def test_a_folder_called_as_a_type_of_network_holds_no_files_of_it(tmp_path, monkeypatch):
    pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "segformer").mkdir()
    (tmp_path / "segformer/config.json").touch()
    key = "model.network.name"
    assert digest_options({key: "hf:segformer"}, {}) == {}
    assert [*digest_options({key: "hf:./segformer"}, {})] == [key]
