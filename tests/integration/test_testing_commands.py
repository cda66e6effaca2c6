"""test and predict, as a person runs them."""

import json
import math
import re
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.modules.module import register_module_forward_pre_hook

from dealias.cli import main
from dealias.data import write_scenes
from dealias.engine.shifts import ShiftTest
from dealias.evaluation import read_counts
from dealias.labels import load_class_set
from dealias.models import SegmentationModel
from dealias.outputs import MANIFEST
from processes import in_two
from runs import command, failure, state_of


def test_a_test_draws_its_page_with_the_aliasing_behind_the_errors(trained, config, tmp_path):
    page, checkpoint = tmp_path / "page", ["--ckpt_path", str(trained / "last.ckpt")]
    run = tmp_path / "run"
    assert command("test", config, run, *checkpoint, "--report", str(page)) == 0
    html = (page / "index.html").read_text(encoding="utf-8")
    assert "Errors against aliasing" in html
    assert len(list((page / "assets" / "images").iterdir())) == 3
    result = json.loads((run / "test" / "result.json").read_text())
    assert (run / "test" / result["report"]).resolve() == page.resolve()
    found = result["errors_against_aliasing"]
    assert found["site"] == "backbone.maxpool"
    wrong = result["per_image"]
    for kind in ("false_response", "merging_mistake", "displacement", "interior"):
        pixels = sum(image["error_pixels"][kind] for image in wrong)
        assert found["groups"][kind]["pixels"] == pixels


def test_results_go_where_they_are_asked_for(trained, config, tmp_path, capsys):
    checkpoint = ["--ckpt_path", str(trained / "last.ckpt")]
    for noise in ("0", "20"):
        where = ["--results", str(tmp_path / f"noise_{noise}"), "--noise", noise]
        assert command("test", config, tmp_path / "run", *checkpoint, *where) == 0
    clean, noisy = (
        json.loads((tmp_path / name / "result.json").read_text())
        for name in ("noise_0", "noise_20")
    )
    assert clean["metrics"] != noisy["metrics"]
    assert noisy["noise"] == 20
    assert not (tmp_path / "run" / "test").exists()
    again = ["--results", str(tmp_path / "noise_0")]
    said = failure(capsys, "test", config, tmp_path / "run", *checkpoint, *again)
    assert "noise_0/result.json: exists already; --overwrite replaces it" in said
    for name, option in (("results", again), ("report", ["--report", str(tmp_path / "page")])):
        for other in ("fit", "validate", "predict"):
            said = failure(capsys, other, config, tmp_path / "run", *option)
            assert said == f"dealias {other}: error: --{name}: is for dealias test\n"
    said = failure(capsys, "predict", config, tmp_path / "run", "--label_maps", "true")
    assert said == "dealias predict: error: --label_maps: is for dealias test\n"


def test_test_equals_predict_and_evaluate(trained, config, tmp_path, capsys):
    folder = tmp_path / "scenes"
    names = write_scenes(folder, 3, size=(64, 96), seed=0)
    data = ["--data.name", "folder", "--data.root", str(folder), "--data.classes", "scenes"]
    data += ["--data.splits.test", ".", "--data.predict_images", str(folder / "images")]
    checkpoint = ["--ckpt_path", str(trained / "last.ckpt")]
    run = tmp_path / "run"
    assert command("test", config, run, *data, *checkpoint) == 0
    assert command("predict", config, run, *data, *checkpoint) == 0
    predictions = run / "predictions"
    assert sorted(path.stem for path in predictions.glob("*.png")) == names
    arguments = [
        "--predictions",
        predictions,
        "--targets",
        folder / "labels",
        "--classes",
        "scenes",
    ]
    output = ["--output", tmp_path / "result.json", "--counts", tmp_path / "counts.npz"]
    assert main(["evaluate", *map(str, [*arguments, *output])]) == 0
    found, expected = (
        json.loads(path.read_bytes())
        for path in (run / "test" / "result.json", tmp_path / "result.json")
    )
    for key in ("metrics", "classes", "error_shares", "mIoU_gain", "images"):
        assert found[key] == expected[key], key
    assert found["metrics"]["mIoU"] > 0
    mine, theirs = (
        np.load(path) for path in (run / "test" / "counts.npz", tmp_path / "counts.npz")
    )
    assert np.array_equal(mine["confusion"], theirs["confusion"])


def test_intervals_and_groups_are_options(trained, config, tmp_path, capsys):
    checkpoint = ["--ckpt_path", str(trained / "last.ckpt")]
    options = ["--interval", "--groups", "(.)$"]
    assert command("test", config, tmp_path / "run", *checkpoint, *options) == 0
    assert "no intervals: expected at least 10 groups, got 3" in capsys.readouterr().out
    result = json.loads((tmp_path / "run" / "test" / "result.json").read_text())
    assert [row["group"] for row in result["per_image"]] == ["0", "1", "2"]
    for option in (["--interval"], ["--groups", "x"]):
        said = failure(capsys, "validate", config, tmp_path / "run", *checkpoint, *option)
        assert said == f"dealias validate: error: {option[0]}: is for dealias test of label maps\n"
    said = failure(capsys, "test", config, tmp_path / "other", *checkpoint, "--groups", "(")
    assert "no such file, and no regular expression" in said


def test_objects_and_band_widths_are_options(trained, config, tmp_path, capsys):
    checkpoint = ["--ckpt_path", str(trained / "last.ckpt")]
    options = ["--objects", "--band_widths", "3,15"]
    assert command("test", config, tmp_path / "run", *checkpoint, *options) == 0
    assert "vanished and false objects by share of the image" in capsys.readouterr().out
    result = json.loads((tmp_path / "run" / "test" / "result.json").read_text())
    assert result["widths"]["metrics"]["BIoU"][1] == result["metrics"]["BIoU"]
    assert result["objects"]["total"]["objects"] > 0
    merged = read_counts(tmp_path / "run" / "test" / "counts.npz").to_dict()
    assert merged["objects"] == result["objects"]
    assert merged["widths"] == result["widths"]
    said = failure(capsys, "fit", config, tmp_path / "run", *options)
    assert said == "dealias fit: error: --objects: is for dealias test of label maps\n"
    said = failure(capsys, "test", config, tmp_path / "x", *checkpoint, "--band_widths", "4")
    assert said == "dealias test: error: band_width: expected an odd positive integer, got 4\n"


def test_two_processes_count_what_one_counts(trained, config, tmp_path):
    checkpoint = ["--ckpt_path", str(trained / "last.ckpt")]
    assert command("test", config, tmp_path / "one", *checkpoint) == 0
    arguments = ["test", "--config", config, "--output", tmp_path / "two", *checkpoint]
    code, said, errors = in_two(*arguments)
    assert code == 0, errors
    one, both = (np.load(tmp_path / name / "test" / "counts.npz") for name in ("one", "two"))
    assert sorted(one) == sorted(both)
    for name in one:
        assert np.array_equal(one[name], both[name]), name
    assert said.count("3 images") == 1


def test_windows_scales_and_flips_are_options(trained, config, tmp_path):
    checkpoint = ["--ckpt_path", str(trained / "last.ckpt")]
    options = ["--model.inference.window", "[32, 48]", "--model.inference.flip", "true"]
    options += ["--model.inference.scales", "[0.75, 1.0]"]
    assert command("test", config, tmp_path, *checkpoint, *options) == 0


def test_predictions_are_whole_or_as_they_were(trained, config, tmp_path, capsys):
    folder, run = tmp_path / "images", tmp_path / "run"
    folder.mkdir()
    for name in "ab":
        Image.new("RGB", (96, 64)).save(folder / f"{name}.png")
    options = ["--ckpt_path", str(trained / "last.ckpt"), "--data.predict_images", str(folder)]
    assert command("predict", config, run, *options) == 0
    before = {path: path.read_bytes() for path in run.rglob("*.png")}
    assert [path.name for path in sorted(before)] == ["a.png", "b.png"]
    (folder / "b.png").write_bytes(b"no image")
    for place, kept in ((run, before), (tmp_path / "other", {})):
        assert "b.png" in failure(capsys, "predict", config, place, *options, "--overwrite")
        found = {path: path.read_bytes() for path in place.rglob("*.*") if path.name != MANIFEST}
        assert found == kept
    assert not (tmp_path / "other").exists()
    (folder / "b.png").unlink()
    assert command("predict", config, run, *options, "--overwrite") == 0
    assert [path.name for path in run.rglob("*.png")] == ["a.png"]


def test_corrupt_images_are_named_and_skipped_when_asked(trained, config, tmp_path, capsys):
    folder = tmp_path / "scenes"
    names = write_scenes(folder, 3, size=(64, 96))
    bad = folder / "images" / f"{names[1]}.png"
    bad.write_bytes(bad.read_bytes()[:100])
    data = ["--data.name", "folder", "--data.root", str(folder), "--data.classes", "scenes"]
    data += [f"--data.splits.{part}=." for part in ("train", "val", "test")]
    said = failure(capsys, "fit", config, tmp_path / "run", *data)
    assert f"{names[1]}.png" in said
    skip = ["--data.skip_bad", "true", "--overwrite", "true"]
    assert command("fit", config, tmp_path / "run", *data, *skip) == 1
    assert f"{names[1]}.png" in capsys.readouterr().out
    checkpoint = ["--ckpt_path", str(trained / "last.ckpt")]
    said = failure(capsys, "test", config, tmp_path / "test", *data, *checkpoint)
    assert f"{names[1]}.png" in said
    assert command("test", config, tmp_path / "test", *data, *checkpoint, *skip) == 1
    said = capsys.readouterr().out
    assert "2 images" in said
    assert f"{names[1]}.png" in said


def test_noise_on_tested_images_is_the_same_every_time_and_harms(trained, config, tmp_path):
    found = []
    for index, sigma in enumerate(("0", "60", "60")):
        run = tmp_path / str(index)
        checkpoint = ["--ckpt_path", str(trained / "last.ckpt")]
        assert command("test", config, run, *checkpoint, "--noise", sigma) == 0
        result = json.loads((run / "test" / "result.json").read_bytes())
        assert result.get("noise", 0) == float(sigma)
        found.append(result["metrics"])
    assert found[1] == found[2]
    assert found[0] != found[1]


def test_images_are_tested_in_the_dark(trained, config, tmp_path):
    found = {}
    for name, more in {"bright": [], "dark": ["--data.dark.output", "srgb"]}.items():
        run = tmp_path / name
        options = ["--ckpt_path", str(trained / "last.ckpt"), *more]
        page = tmp_path / f"page_{name}"
        assert command("test", config, run, *options, "--report", str(page)) == 0
        found[name] = json.loads((run / "test" / "result.json").read_bytes())
        html = (page / "index.html").read_text("utf-8")
        assert (f"of {name} in the dark (exposure ratio 10 to 100, srgb)" in html) == bool(more)
    assert "dark" not in found["bright"]
    assert found["dark"]["dark"] == {"least": 10, "most": 100, "output": "srgb"}
    assert found["dark"]["metrics"] != found["bright"]["metrics"]


def test_noise_is_not_negative(trained, config, tmp_path, capsys):
    options = ["--ckpt_path", str(trained / "last.ckpt"), "--noise", "-1"]
    assert command("test", config, tmp_path / "run", *options) == 2
    assert " noise: expected a number from 0 on" in capsys.readouterr().err


SHIFTS = ["--data.scenes.size", "[96, 128]", "--shifts", "3", "--largest_shift", "12"]


AGREEMENT = ("agreement", "agreement_preds_band", "agreement_target_band")


def shifts_of(run):
    return json.loads((run / "test" / "result.json").read_text())["shifts"]


def test_shifts_are_compared(trained, config, tmp_path, capsys):
    checkpoint = ["--ckpt_path", str(trained / "last.ckpt")]
    assert command("test", config, tmp_path / "run", *checkpoint, *SHIFTS) == 0
    said = capsys.readouterr().out
    found = shifts_of(tmp_path / "run")
    assert f"shift agreement: {100 * found['agreement']:.2f} % of all pixels" in said
    assert 0 < found["agreement_preds_band"] < found["agreement"] < 1
    assert len(found["per_image"]) == 3
    shares = [row["agreement"] for row in found["per_image"]]
    assert sum(shares) / 3 == pytest.approx(found["agreement"], abs=0.05)
    assert [row["name"] for row in found["classes"]] == list(load_class_set("scenes").names)
    for where in ("boundary", "all"):
        assert 0 <= found["errors_against_instability"][where]["AUROC"] <= 1
    plain = tmp_path / "plain"
    assert command("test", config, plain, *checkpoint, *SHIFTS[:2]) == 0
    without = json.loads((plain / "test" / "result.json").read_text())
    with_shifts = json.loads((tmp_path / "run" / "test" / "result.json").read_text())
    assert without["metrics"] == with_shifts["metrics"]
    assert "shifts" not in without


def test_the_seed_of_shifts_is_an_option(trained, config, tmp_path):
    checkpoint = ["--ckpt_path", str(trained / "last.ckpt")]
    found = {}
    for name, seed in (("one", 3), ("again", 3), ("other", 4)):
        options = [*checkpoint, *SHIFTS, "--shift_seed", str(seed)]
        assert command("test", config, tmp_path / name, *options) == 0
        found[name] = shifts_of(tmp_path / name)
        assert found[name].pop("seed") == seed
    assert found["one"] == found["again"]
    assert found["one"]["mASSC"] != found["other"]["mASSC"]


def test_a_late_image_too_small_for_shifts_loses_no_figures(
    trained, config, tmp_path, monkeypatch, capsys
):
    add = ShiftTest._add

    def failing(self, part, task, batch):
        if len(part.images) == 2:
            raise ValueError("too small")
        add(self, part, task, batch)

    monkeypatch.setattr(ShiftTest, "_add", failing)
    options = ["--ckpt_path", str(trained / "last.ckpt"), *SHIFTS, "--report", str(tmp_path / "r")]
    assert command("test", config, tmp_path / "run", *options) == 2
    assert "too small" in capsys.readouterr().err
    result = json.loads((tmp_path / "run" / "test" / "result.json").read_text())
    assert len(result["per_image"]) == 3
    assert "shifts" not in result


def test_scores_that_are_no_numbers_are_no_label(trained, config, tmp_path, capsys):
    state = state_of(trained / "last.ckpt")
    state["state_dict"]["network.decode_head.classifier.1.bias"][1] = math.nan
    torch.save(state, tmp_path / "nan.ckpt")
    options = ["--ckpt_path", str(tmp_path / "nan.ckpt")]
    assert command("test", config, tmp_path / "run", *options) == 2
    assert "scores: expected numbers from the network, got NaN" in capsys.readouterr().err
    assert not (tmp_path / "run" / "test" / "result.json").exists()


@pytest.mark.parametrize("precision", ["bf16-true", "64"])
def test_weights_are_float32(precision, trained, config, tmp_path, capsys):
    options = ["--ckpt_path", str(trained / "last.ckpt"), "--trainer.precision", precision]
    said = failure(capsys, "test", config, tmp_path / "run", *options)
    assert "trainer.precision: expected 32-true, 16-mixed or bf16-mixed, got" in said


def test_mixed_precision_in_channels_last_memory(config, tmp_path):
    """Figures and shifts are near those of float32, and the page works."""
    mixed = ["--trainer.precision", "bf16-mixed", "--model.channels_last", "true"]
    assert command("fit", config, tmp_path / "run", *mixed, "--trainer.max_steps", "3") == 0
    found = []
    for options in ([], [*mixed, "--report", str(tmp_path / "page")]):
        options += ["--ckpt_path", "last", "--results", str(tmp_path / str(len(found)))]
        assert command("test", config, tmp_path / "run", *SHIFTS, *options) == 0
        found.append(json.loads((tmp_path / str(len(found)) / "result.json").read_text()))
    first, second = (result["shifts"]["agreement"] for result in found)
    assert first == pytest.approx(second, abs=0.02)
    assert (tmp_path / "page" / "index.html").is_file()


def write_photographs(folder, *names, size=(96, 128)):
    folder.mkdir()
    random = np.random.default_rng(0)
    for name in names:
        pixels = random.integers(0, 255, (*size, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return ["--data.predict_images", str(folder)]


@contextmanager
def counted_pixels():
    """Counts the pixels of images that pass through networks."""
    seen = []

    def count(module, given):
        if isinstance(module, SegmentationModel):
            seen.append(given[0][:, 0].numel())

    handle = register_module_forward_pre_hook(count)
    try:
        yield seen
    finally:
        handle.remove()


@pytest.mark.parametrize("name", ["test", "predict"])
def test_shifts_cost_a_pass_each_and_one(name, trained, config, tmp_path):
    """Beside the prediction itself, no more pixels than so many images have."""
    options = ["--ckpt_path", str(trained / "last.ckpt"), *SHIFTS[:2]]
    maps = ["--unstable_maps", str(tmp_path / "maps")]
    if name == "predict":
        options += write_photographs(tmp_path / "images", *"abc")
    with counted_pixels() as plain:
        assert command(name, config, tmp_path / "plain", *options) == 0
    options += [*SHIFTS[2:], *(maps if name == "predict" else [])]
    with counted_pixels() as shifted:
        assert command(name, config, tmp_path / "shifted", *options) == 0
    image, shifts = 96 * 128, 3
    assert plain == [image] * 3
    assert len(shifted) == 3 * (1 + shifts + 1)
    assert 0 < sum(shifted) - sum(plain) <= 3 * (shifts + 1) * image


def test_the_page_shows_what_is_unstable(trained, config, tmp_path):
    page, checkpoint = tmp_path / "page", ["--ckpt_path", str(trained / "last.ckpt")]
    options = [*checkpoint, *SHIFTS, "--report", str(page)]
    assert command("test", config, tmp_path / "run", *options) == 0
    html = (page / "index.html").read_text(encoding="utf-8")
    found = shifts_of(tmp_path / "run")
    assert "Unstable under small shifts" in html
    assert f"{100 * found['agreement_preds_band']:.2f} %" in html
    worst = min(found["per_image"], key=lambda row: row["agreement"])["name"]
    assert html.index(f">{worst}</span>") > html.index("Least stable images")
    for key in AGREEMENT:
        assert f"{100 * (1 - found[key]):.2f} %</strong> unstable" in html
    pictures = re.findall(r'<img src="(assets/unstable/[^"]+)"', html)
    assert len(pictures) == 3
    assert all((page / name).is_file() for name in pictures)
    finding = found["errors_against_instability"]
    for where in ("boundary", "all"):
        shown = f"{finding[where]['rank_correlation']:.3f}".replace("-", "\N{MINUS SIGN}")
        assert f"<td>{shown}</td>" in html
    for path in (page / "assets" / "maps").iterdir():
        assert '"unstable":1' in path.read_text()


@pytest.mark.slow
def test_shifts_are_the_same_in_two_processes(trained, config, tmp_path):
    checkpoint = ["--ckpt_path", str(trained / "last.ckpt")]
    workers = ["--data.workers", "2"]
    assert command("test", config, tmp_path / "one", *checkpoint, *SHIFTS, *workers) == 0
    arguments = ["test", "--config", config, "--output", tmp_path / "two", *checkpoint, *SHIFTS]
    code, _, errors = in_two(*arguments)
    assert code == 0, errors
    assert shifts_of(tmp_path / "one") == shifts_of(tmp_path / "two")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--shifts", "0"], "--shifts: expected at least 1, got 0"),
        (["--shifts", "2"], r"scene_\d+: offsets: expected an image of at least 160 x 160 pixels"),
        (["--shifts", "2", "--largest_shift", "0"], "--largest_shift: expected at least 1, got 0"),
        (["--shifts", "2", "--shift_seed", "-1"], "--shift_seed: expected at least 0, got -1"),
    ],
)
def test_shifts_that_can_not_be(options, message, trained, config, tmp_path, capsys):
    checkpoint = ["--ckpt_path", str(trained / "last.ckpt")]
    said = failure(capsys, "test", config, tmp_path / "run", *checkpoint, *options)
    assert re.search(message, said), said
    assert said.count("\n") == 1
    images = write_photographs(tmp_path / "images", "scene_1", size=(64, 96))
    maps = ["--unstable_maps", str(tmp_path / "maps")]
    said = failure(
        capsys, "predict", config, tmp_path / "run", *checkpoint, *options, *images, *maps
    )
    assert re.search(message, said), said
    assert said.count("\n") == 1
    assert not (tmp_path / "maps").exists()


def test_shifts_of_a_single_pixel(trained, config, tmp_path, capsys):
    folder = tmp_path / "scenes"
    for part, mode in (("images", "RGB"), ("labels", "L")):
        (folder / part).mkdir(parents=True)
        Image.new(mode, (1, 1)).save(folder / part / "dot.png")
    options = ["--ckpt_path", str(trained / "last.ckpt"), "--shifts", "2", "--largest_shift", "1"]
    data = ["--data.name", "folder", "--data.root", str(folder), "--data.classes", "scenes"]
    data += ["--data.splits.test", "."]
    images = ["--data.predict_images", str(folder / "images")]
    maps = ["--unstable_maps", str(tmp_path / "maps")]
    for name, more in (("test", data), ("predict", [*images, *maps])):
        said = failure(capsys, name, config, tmp_path / "run", *options, *more)
        assert "dot: offsets: expected an image of at least 66 x 66 pixels" in said
        assert "got 1 x 1" in said
        assert said.count("\n") == 1


def test_options_of_shifts_are_for_their_commands(trained, config, capsys):
    assert "--shifts: is for dealias test" in failure(
        capsys, "validate", config, trained, "--shifts", "2"
    )
    assert "--unstable_maps: is for dealias predict" in failure(
        capsys, "test", config, trained, "--unstable_maps", "maps"
    )


def test_maps_of_what_is_unstable_need_no_labels(trained, config, tmp_path):
    maps = tmp_path / "maps"
    images = write_photographs(tmp_path / "images", *"ab")
    options = ["--ckpt_path", str(trained / "last.ckpt"), *images]
    options += ["--unstable_maps", str(maps), *SHIFTS[2:]]
    assert command("predict", config, tmp_path / "run", *options) == 0
    for name in "ab":
        found = np.asarray(Image.open(maps / f"{name}.png"))
        assert found.shape == (96, 128)
        known = found[found < 65535]
        assert 0 < known.size < found.size
        assert 0 < known.mean() < 65534
        share = np.where(found == 65535, np.nan, found / 65534)  # as docs/files.md says
        shares = share[np.isfinite(share)]
        assert np.abs(shares[:, None] - [0, 1 / 3, 1 / 2, 2 / 3, 1]).min(1).max() < 1e-4
        inside = np.isfinite(share)[28:-28, 28:-28]  # largest shift and border
        assert inside.sum() == shares.size
    assert command("predict", config, tmp_path / "other", *options) == 2
    assert command("predict", config, tmp_path / "other", *options, "--overwrite") == 0


def test_agreement_is_compared(trained, config, tmp_path, capsys):
    checkpoint = ["--ckpt_path", str(trained / "last.ckpt")]
    results = []
    for name, more in (("a", SHIFTS), ("b", [*SHIFTS, "--noise", "40"]), ("c", SHIFTS[:2])):
        more = [*more, "--report", str(tmp_path / name / "test" / "page")]
        assert command("test", config, tmp_path / name, *checkpoint, *more) == 0
        results.append(str(tmp_path / name / "test" / "result.json"))
    capsys.readouterr()
    assert main(["compare", *results[:2], "--report", str(tmp_path / "page")]) == 0
    assert "agreement preds band" in capsys.readouterr().out
    assert "In the predicted bands" in (tmp_path / "page" / "index.html").read_text()
    for path in (tmp_path / "page" / "assets" / "maps").iterdir():
        assert '"unstable_a":1,"unstable_b":1' in path.read_text()
    assert main(["compare", results[0], results[2]]) == 0
    said = capsys.readouterr().out
    assert "agreement preds band" not in said
    assert "was tested under shifts." in said
