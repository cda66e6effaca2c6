"""Pictures of instances, and the page of a test."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from dealias.engine.instances import Prediction
from dealias.evaluation.instances.outlines import (
    INSTANCE_COLORS,
    detection_outlines,
    draw_outlines,
    match_outlines,
)
from dealias.files import OutputError
from dealias.instance import (
    Detections,
    InstanceEvaluation,
    InstanceExample,
    InstanceReportWriter,
    InstanceTask,
    encode_masks,
    match_instances,
)
from dealias.report.instances.aliasing import ScoredInstance, missed_against_aliasing
from instances import SIZE, image_of, random_case, square
from reports import (
    HOSTILE_CLASS,
    HOSTILE_FILE,
    instance_evaluation,
    script_arguments,
    unpacked,
    write_instance_page,
)


class TestPictures:
    def test_lines_lie_inside_the_mask(self):
        mask = torch.zeros(1, 7, 8, dtype=torch.bool)
        mask[0, 1:6, 2:7] = True
        red = (255, 0, 0)
        drawn = draw_outlines(np.zeros((7, 8, 3), np.uint8), [(encode_masks(mask)[0], red)])
        marked = (drawn == red).all(2)
        expected = mask[0].numpy().copy()
        expected[2:5, 3:6] = False
        assert np.array_equal(marked, expected)
        wide = [(encode_masks(mask)[0], red)]
        thick = draw_outlines(np.zeros((7, 8, 3), np.uint8), wide, width=2)
        assert int((thick == red).all(2).sum()) == 24  # all but the pixel in the middle

    def test_the_border_of_the_image_ends_a_mask(self):
        mask = torch.ones(1, 4, 4, dtype=torch.bool)
        drawn = draw_outlines(np.zeros((4, 4, 3), np.uint8), [(encode_masks(mask)[0], (9, 9, 9))])
        assert int((drawn == 9).all(2).sum()) == 12

    def test_detections_are_drawn_from_the_threshold_on_the_surest_on_top(self):
        masks = torch.cat([square(left, 0, 10) for left in (0, 20, 40)])
        found = Detections(
            torch.zeros(3, 4),
            torch.tensor([1, 2, 2]),
            torch.tensor([0.75, 0.25, 0.5]),
            encode_masks(masks),
        )
        colors = np.array([[1, 1, 1], [2, 2, 2]], np.uint8)
        drawn = detection_outlines(found, colors, 0.5)
        assert [mask for mask, _ in drawn] == [found.masks[2], found.masks[0]]
        assert [int(color[0]) for _, color in drawn] == [2, 1]

    def test_kinds_have_their_colours_from_the_threshold_on(self):
        for image, detections in zip(*random_case(1), strict=True):
            matches = match_instances(image, detections)
            everything = match_outlines(image, detections, matches, 0)
            colors = [color for _, color in everything]
            kinds = [kind for kind in matches.kinds if kind != "ignored"]
            missed = sum(
                finder < 0 and not one.crowd
                for one, finder in zip(image.instances, matches.finders, strict=True)
            )
            assert len(colors) == len(kinds) + missed
            assert colors.count(INSTANCE_COLORS["background"]) == kinds.count("background")
            above = match_outlines(image, detections, matches, 1.1)
            real = sum(not one.crowd for one in image.instances)
            assert [color for _, color in above] == [INSTANCE_COLORS["missed"]] * real


def test_missed_against_aliasing_by_hand():
    entries = [("a", 0.1, 0.9), ("b", 0.3, 0.8), ("b", 0.3, -1), ("c", 0.5, 0.2), ("b", 0.2, 0.1)]
    scored = [ScoredInstance(*entry) for entry in entries]
    found = missed_against_aliasing(scored, 0.5)
    # Pairs of missed and found: 0.3, 0.5 and 0.2, each against 0.1 and 0.3; two in one image.
    assert found["higher_share"] == pytest.approx((1 + 0.5 + 1 + 1 + 1 + 0) / 6)
    assert found["within_images"] == pytest.approx((0.5 + 0) / 2)
    assert found["found"] == {"mean": pytest.approx(0.2), "instances": 2}
    assert found["missed"] == {"mean": pytest.approx(1 / 3), "instances": 3}
    assert missed_against_aliasing(scored, 0.1)["missed"]["instances"] == 1
    assert missed_against_aliasing(scored[:1] + scored[2:3], 0.5)["within_images"] is None
    assert missed_against_aliasing(scored[:1], 0.5)["higher_share"] is None


def test_missed_instances_of_many_images():
    hit = [ScoredInstance(f"{k}", 0.2, 0.9) for k in range(500)]
    missed = [ScoredInstance(f"{k}", 0.3 if k % 4 else 0.1, -1) for k in range(600)]
    found = missed_against_aliasing([*hit, *missed], 0.5)
    assert (found["within_images"], found["missed"]["instances"]) == (0.75, 600)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    evaluation = instance_evaluation()
    more = write_instance_page(folder / "page", evaluation, output=folder / "result.json", site="s")
    return folder / "page", evaluation, more


class TestPage:
    def test_counts_are_those_of_the_result(self, written):
        page, evaluation, more = written
        (data,) = script_arguments("dealias.start", (page / "assets" / "data.js").read_text())
        result = evaluation.to_dict()
        keys = [kind["key"] for kind in data["kinds"]]
        totals = np.sum([row[6] for row in data["rows"]], axis=0)
        assert len(data["rows"]) == result["images"]
        for key, total in zip(keys, totals, strict=True):
            expected = result["errors"]["kinds"].get(key, {}).get("count")
            assert total == (result["errors"]["found"] if key == "found" else expected), key
        by_class = np.zeros((3, len(keys)), int)
        for row in data["rows"]:
            for index, *counts in np.reshape(row[7], (-1, 1 + len(keys))).tolist():
                by_class[index] += counts
        for row, counts in zip(result["classes"], by_class.tolist(), strict=True):
            assert [row["counts"][key] for key in keys] == counts
        assert more["report"] == "page"
        assert more["errors_against_aliasing"]["site"] == "s"

    def test_figures_and_names_are_text(self, written):
        page, evaluation, _ = written
        text = (page / "index.html").read_text("utf-8")
        value = evaluation.average_precision()["boundary"].scores["AP"]
        assert f"{100 * value:.2f}" in text
        assert HOSTILE_CLASS not in text
        assert HOSTILE_FILE not in text

    def test_every_image_has_its_files(self, written):
        page, evaluation, _ = written
        (data,) = script_arguments("dealias.start", (page / "assets" / "data.js").read_text())
        for name, key, height, width, layers, *_ in data["rows"]:
            assert (height, width) == SIZE
            assert set(layers) == {"image", "original", "aliasing"}
            for folder in ("images", "originals", "thumbs"):
                with Image.open(page / "assets" / folder / f"{key}.webp") as picture:
                    assert picture.size == SIZE[::-1]
            script = (page / "assets" / "maps" / f"{key}.js").read_text()
            _, content = script_arguments("dealias.maps.receive", script)
            assert unpacked(content)["aliasing"].shape == SIZE
            (pair,) = [pair for pair in evaluation.found if pair[0].name == name]
            assert len(content["targets"]) == len(pair[0].instances)
            assert len(content["detections"]) == len(pair[1])

    def test_the_same_again_in_parts(self, written, tmp_path):
        """Two processes draw every other image; one of them writes the page."""
        page, evaluation, more = written
        parts = []
        first = InstanceReportWriter(tmp_path / "page")
        first.begin()
        for start in (0, 1):
            writer = InstanceReportWriter(tmp_path / "page")
            rng = np.random.default_rng(0)
            for number, (image, detections) in enumerate(evaluation.found):
                pictures = rng.integers(0, 256, (2, *image.size, 3), dtype=np.uint8)
                scores = rng.random(image.size)
                if number % 2 == start:
                    seen, original = pictures
                    writer.add(
                        InstanceExample(image, detections, seen, original=original, aliasing=scores)
                    )
            parts.append(writer.part)
        for part in parts:
            first.part.absorb(part)
        again = first.finish(evaluation, output=tmp_path / "result.json", site="s")
        assert again == more
        for path in sorted(page.rglob("*")):
            if path.is_file():
                assert path.read_bytes() == (tmp_path / path.relative_to(page.parent)).read_bytes()

    def test_without_original_and_scores(self, tmp_path):
        evaluation = InstanceEvaluation(("car", "person", "sign"))
        image = image_of(1, torch.zeros(0, *SIZE, dtype=torch.bool), [])
        detections = random_case(0)[1][0]
        evaluation.absorb(image, detections)
        with InstanceReportWriter(str(tmp_path / "page")) as writer:
            writer.add(InstanceExample(image, detections, np.zeros((*SIZE, 3), np.uint8)))
            assert set(writer.finish(evaluation)) == {"report"}
        assert "Missed where" not in (tmp_path / "page" / "index.html").read_text()

    def test_the_aliasing_of_an_instance_is_that_in_its_box(self, tmp_path):
        masks = torch.cat([square(10, 20, 8), square(50, 60, 10), square(0, 0, 9)])
        image = image_of(1, masks, [1, 2, 1], crowd=[False, False, True])
        scores = torch.tensor([0.7])
        detections = Detections(
            torch.zeros(1, 4), torch.tensor([2]), scores, encode_masks(masks[1:2])
        )
        aliasing = np.add.outer(np.arange(SIZE[0]) / 1000, np.arange(SIZE[1]) / 2000)
        aliasing[60:65, 50:60] = np.nan
        writer = InstanceReportWriter(tmp_path / "page")
        writer.begin()
        writer.add(
            InstanceExample(image, detections, np.zeros((*SIZE, 3), np.uint8), aliasing=aliasing)
        )
        (missed, right) = writer.part.scored
        assert missed.image == "1.png"
        assert missed.aliasing == pytest.approx(0.0235 + 0.01350 / 2)
        assert right.aliasing == pytest.approx(0.067 + 0.0545 / 2)
        assert (missed.found, right.found) == (-1, pytest.approx(0.7))

    def test_images_that_were_not_drawn_are_left_out(self, tmp_path):
        evaluation = instance_evaluation()
        image, detections = evaluation.found[4]
        with InstanceReportWriter(tmp_path / "page") as writer:
            writer.add(InstanceExample(image, detections, np.zeros((*SIZE, 3), np.uint8)))
            writer.finish(evaluation)
        text = (tmp_path / "page" / "assets" / "data.js").read_text()
        (data,) = script_arguments("dealias.start", text)
        assert [row[0] for row in data["rows"]] == [image.name]

    def test_an_error_leaves_nothing(self, tmp_path):
        image, detections = (part[0] for part in random_case(0))
        with (
            pytest.raises(ValueError, match=r"images: expected \(120, 160\).*got \(3, 3\)"),
            InstanceReportWriter(tmp_path / "page") as writer,
        ):
            writer.add(InstanceExample(image, detections, np.zeros((3, 3, 3), np.uint8)))
        assert not (tmp_path / "page" / "assets.part").exists()
        with (
            pytest.raises(ValueError, match=r"aliasing: expected \(120, 160\)"),
            InstanceReportWriter(tmp_path / "page") as writer,
        ):
            writer.add(
                InstanceExample(
                    image, detections, np.zeros((*SIZE, 3), np.uint8), aliasing=np.zeros((3, 3))
                )
            )

    def test_a_folder_of_something_else_is_left_alone(self, tmp_path):
        (tmp_path / "assets").mkdir()
        with pytest.raises(OutputError, match="holds assets, which dealias did not write"):
            InstanceReportWriter(tmp_path).begin()


def test_outlines_lie_where_they_belong_on_images_longer_than_a_webp(tmp_path):
    masks = torch.zeros(1, 40, 20_000, dtype=torch.bool)
    masks[0, 5:35, 19_000:19_900] = True
    image = replace(image_of(1, masks, [1]), size=(40, 20_000))
    evaluation = InstanceEvaluation(("car",))
    evaluation.absorb(image, Detections.none())
    with InstanceReportWriter(tmp_path) as writer:
        writer.add(InstanceExample(image, Detections.none(), np.zeros((40, 20_000, 3), np.uint8)))
        writer.finish(evaluation)
    (path,) = (tmp_path / "assets" / "thumbs").iterdir()
    with Image.open(path) as picture:
        assert picture.size == (360, 1)
        drawn = np.asarray(picture.convert("L"))[0] > 20
    assert drawn[343:357].any()  # 360 * 19,000 / 20,000 is 342
    assert not drawn[:335].any()


def test_scores_of_the_padding_are_cut_off():
    """Networks see images padded to sides that they can divide."""
    task = InstanceTask({"name": "mask_rcnn", "backbone": "test_resnet"}, ["car"])
    image = torch.zeros(3, 33, 44, dtype=torch.uint8)
    (padded, _) = task.stack([image])
    assert padded.shape[-2:] == (64, 64)
    beyond = torch.ones(1, 64, 64)
    beyond[:, :33, :44] = 0
    record = replace(image_of(1, torch.zeros(0, 66, 88), []), size=(66, 88))
    found = Prediction(record, Detections.none())
    scores = task.example({"image": [image]}, found, lambda *_: beyond).aliasing
    assert scores.shape == (66, 88)
    assert scores.max() == 0


def test_results_have_the_errors():
    result = instance_evaluation().to_dict()
    text = json.dumps(result, allow_nan=False)
    assert set(json.loads(text)["errors"]["kinds"]) == {
        "missed",
        "localisation",
        "classification",
        "both",
        "duplicate",
        "background",
    }
