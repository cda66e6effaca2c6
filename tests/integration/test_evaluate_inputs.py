"""``dealias evaluate`` on files as other tools save them: the right figures, or a refusal."""

import json

import numpy as np
import pytest
from PIL import Image

from dealias.cli import main
from dealias.evaluation import ERROR_COLORS
from dealias.labels import load_class_set
from helpers import random_maps

CAMVID = load_class_set("camvid")


@pytest.fixture
def folders(tmp_path):
    for name in ("predictions", "targets", "images"):
        (tmp_path / name).mkdir()
    return tmp_path


def maps(seed=0, height=40, width=56):
    """A prediction and its target of CamVid, with void."""
    preds, target = (maps.numpy() for maps in random_maps(seed, height, width, classes=11))
    return preds, np.minimum(target, 11)


def save(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)


def evaluate(folder, *options, classes="camvid"):
    output = folder / "result.json"
    arguments = ["--predictions", folder / "predictions", "--targets", folder / "targets"]
    arguments += ["--classes", classes, "--output", output, "--overwrite", *options]
    code = main(["evaluate", *map(str, arguments)])
    return code, json.loads(output.read_text()) if code == 0 else None


def plain_result(folder, preds, target):
    save(folder / "predictions/a.png", preds)
    save(folder / "targets/a.png", target)
    code, result = evaluate(folder)
    assert code == 0
    for path in (*(folder / "predictions").iterdir(), *(folder / "targets").iterdir()):
        path.unlink()
    return result


@pytest.mark.parametrize("orientation", [3, 6])
@pytest.mark.parametrize("side", ["predictions", "targets"])
def test_label_maps_that_ask_to_be_turned(folders, orientation, side):
    preds, target = maps()
    expected = plain_result(folders, preds, target)
    for name, pixels in (("predictions", preds), ("targets", target)):
        options = {"tiffinfo": {274: orientation}} if name == side else {}
        save(folders / name / "a.tif", pixels, **options)
    code, result = evaluate(folders)
    assert code == 0
    assert result["metrics"] == expected["metrics"]


@pytest.mark.parametrize("side", ["predictions", "targets"])
def test_quantised_colours_give_the_figures_of_labels(folders, side):
    preds, target = maps()
    expected = plain_result(folders, preds, target)
    colors = np.vstack([CAMVID.palette, CAMVID.void_color]).astype(np.uint8)
    for name, labels in (("predictions", preds), ("targets", target)):
        image = Image.fromarray(labels)
        if name == side:
            image = Image.fromarray(colors[labels]).quantize(len(np.unique(labels)))
            assert not np.array_equal(np.array(image), labels)
        image.save(folders / name / "a.png")
    code, result = evaluate(folders)
    assert code == 0
    assert result["metrics"] == expected["metrics"]


def test_masks_of_0_and_255_are_pointed_out(folders, capsys):
    target = np.zeros((40, 60), np.uint8)
    target[10:30, 15:45] = 1
    preds = np.roll(target, (3, 2), (0, 1))
    save(folders / "predictions/a.png", preds)
    save(folders / "targets/a.png", target * 255)
    classes = folders / "lesions.yaml"
    classes.write_text("names: [background, lesion]\n")
    code, result = evaluate(folders, "--report", folders / "page", classes=classes)
    assert code == 0
    assert result["void_pixels"] == 600
    [warning] = result["warnings"]
    assert f"warning: {warning}" in capsys.readouterr().out
    assert f'<p class="notice">{warning}</p>' in (folders / "page/index.html").read_text()
    # As it says:
    classes.write_text(f"names: [background, lesion]\n{warning[warning.index('label_map') :]}")
    classes.write_text(classes.read_text().replace(" to the class set", "\n"))
    code, result = evaluate(folders, classes=classes)
    assert code == 0
    assert result["warnings"] == []
    both, either = (preds & target).sum(), (preds | target).sum()
    assert result["classes"][1]["IoU"] == both / either
    # Predictions stored so too need to be mapped; the message says how.
    save(folders / "predictions/a.png", preds * 255)
    classes.write_text("names: [background, lesion]\n")
    assert evaluate(folders, classes=classes)[0] == 2
    error = capsys.readouterr().err
    assert "add label_map: {0: 0, 255: 1} to the class set and --map-predictions" in error
    classes.write_text("names: [background, lesion]\nlabel_map: {0: 0, 255: 1}\n")
    code, result = evaluate(folders, "--map-predictions", classes=classes)
    assert code == 0
    assert result["classes"][1]["IoU"] == both / either


def test_warnings_outlive_shards(folders, tmp_path):
    for index in range(2):
        save(folders / f"predictions/{index}.png", np.zeros((8, 8), np.uint8))
        save(folders / f"targets/{index}.png", np.eye(8, dtype=np.uint8) * 255)
    classes = folders / "two.yaml"
    classes.write_text("names: [background, lesion]\n")
    parts = []
    for index in (1, 2):
        parts.append(folders / f"part{index}.npz")
        options = ("--shard", f"{index}/2", "--counts", parts[-1])
        assert evaluate(folders, *options, classes=classes)[0] == 0
    merged = folders / "merged.json"
    assert main(["merge", *map(str, parts), "--output", str(merged)]) == 0
    found = json.loads(merged.read_text())
    assert found["void_pixels"] == 16
    assert found["warnings"] == evaluate(folders, classes=classes)[1]["warnings"] != []


def test_deep_photographs_keep_their_shades_in_error_maps(folders):
    preds, target = np.zeros((2, 10, 10), np.uint8)
    save(folders / "predictions/a.png", preds)
    save(folders / "targets/a.png", target)
    shades = np.repeat(np.array([[0, 12_593, 27_499, 39_936, 54_784]], np.uint16), 2, 1)
    save(folders / "images/a.png", np.repeat(shades, 10, 0))
    options = ("--error-maps", folders / "maps", "--images", folders / "images")
    assert evaluate(folders, *options)[0] == 0
    drawn = np.array(Image.open(folders / "maps/a.png"))
    expected = (np.array([0, 49, 107, 156, 214]) * 0.35).astype(int)
    assert drawn[0, ::2, 0].tolist() == expected.tolist()


def test_photographs_to_be_turned_are_refused_where_the_label_map_is(folders, capsys):
    labels = np.zeros((40, 24), np.uint8)
    save(folders / "predictions/a.png", labels)
    save(folders / "targets/a.png", labels)
    exif = Image.Exif()
    exif[274] = 6
    save(folders / "images/a.jpg", np.zeros((24, 40, 3), np.uint8), exif=exif)
    options = ("--error-maps", folders / "maps", "--images", folders / "images")
    assert evaluate(folders, *options)[0] == 2
    assert "a.jpg: expected pixels stored upright" in capsys.readouterr().err
    assert evaluate(folders, *options, "--skip-bad")[0] == 1


def test_error_maps_of_long_images(folders):
    labels = np.zeros((3, 20_000), np.uint8)
    save(folders / "targets/a.png", labels)
    labels[:, 10_000:] = 1
    save(folders / "predictions/a.png", labels)
    assert evaluate(folders, "--error-maps", folders / "maps")[0] == 0
    drawn = np.array(Image.open(folders / "maps/a.png"))
    assert drawn.shape == (3, 20_000, 3)
    # The band of 15 pixels, on both sides of the edge, holds false responses; beyond is interior.
    assert tuple(drawn[1, 10_002]) == ERROR_COLORS["false_response"]
    assert tuple(drawn[1, 19_999]) == ERROR_COLORS["interior"]


def test_large_tiles_are_read_when_allowed(folders, monkeypatch, capsys):
    preds, target = maps()
    expected = plain_result(folders, preds, target)
    monkeypatch.setenv("DEALIAS_MAX_PIXELS", "1")  # to be as it was afterwards
    monkeypatch.delenv("DEALIAS_MAX_PIXELS")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000)
    save(folders / "predictions/a.png", preds)
    np.save(folders / "targets/a.npy", target)
    assert evaluate(folders)[0] == 2
    assert "--max-pixels allows larger ones" in capsys.readouterr().err
    for workers in (0, 1):
        code, result = evaluate(folders, "--max-pixels", 3_000, "--workers", workers)
        assert code == 0
        assert result["metrics"] == expected["metrics"]
    assert evaluate(folders, "--max-pixels", 0)[0] == 2
    assert "max_pixels: expected at least 1, got 0" in capsys.readouterr().err
