"""The page of instances as a browser shows it; without Chromium these tests skip."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from browsing import data_of, opened_image, stage_picture, until
from dealias.instance import decode_masks
from dealias.report.instances.writer import count_kinds
from reports import instance_evaluation, write_instance_page


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    write_instance_page(folder / "instances", instance_evaluation())
    write_instance_page(folder / "boxes", boxes_alone())
    return folder


def boxes_alone():
    """The detections without their masks, and the first of them between pixels."""
    evaluation = instance_evaluation()
    for number, (image, detections) in enumerate(evaluation.found):
        boxes = detections.boxes.clone()
        boxes[:1] += torch.tensor([0.25, 0.25, -0.25, 0.25])
        evaluation.found[number] = image, replace(detections, boxes=boxes, masks=None)
    return evaluation


def test_outlines_enclose_the_pixels_of_the_masks(open_page):
    """Run lengths, shapes and their outlines are those of COCO's decoder."""
    watched = open_page("instances")
    evaluation = instance_evaluation()
    script = """async ([key, list]) => {
        const maps = await dealias.maps.load(key);
        const context = document.createElement("canvas").getContext("2d");
        const within = ({ path }) => {
            const bits = [];
            for (let y = 0; y < maps.height; y++) {
                for (let x = 0; x < maps.width; x++) {
                    bits.push(context.isPointInPath(path, x + 0.5, y + 0.5, "evenodd") ? 1 : 0);
                }
            }
            return bits.join("");
        };
        return dealias.outlines.instances(maps)[list].map(within);
    }"""
    image, detections = next(pair for pair in evaluation.found if len(pair[1]) > 5)
    key = next(row[1] for row in data_of(watched)["rows"] if row[0] == image.name)
    for name, masks in (
        ("targets", [instance.mask for instance in image.instances]),
        ("detections", detections.masks),
    ):
        expected = decode_masks(masks, *image.size).numpy().reshape(len(masks), -1)
        found = watched.page.evaluate(script, [key, name])
        assert found == ["".join(map(str, row)) for row in expected.tolist()]


def test_a_pixel_tells_the_instances_there(open_page):
    watched = open_page("instances")
    evaluation = instance_evaluation()
    threshold = evaluation.errors().threshold
    image, detections, matches = next(m for m in evaluation.matched() if "found" in m[2].kinds)
    finder = matches.kinds.index("found")
    mask = decode_masks(detections.masks, *image.size)[finder]
    y, x = (int(values[len(values) // 2]) for values in np.nonzero(mask.numpy()))
    address = f"{watched.address}#image={image.name}&score=0&zoom=30&at={x + 0.5},{y + 0.5}"
    watched.page.goto(address)
    page = opened_image(watched, image.name)
    box = page.locator("#viewer-stage canvas").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    told = page.locator("#viewer-readout").inner_text().replace("\n", "")
    name = evaluation.classes[int(detections.labels[finder]) - 1]
    score, overlap = float(detections.scores[finder]), matches.overlaps[finder]
    assert f"Detection: {name} {score:.2f}, found, IoU {overlap:.2f}" in told
    assert threshold > 0


def test_boxes_alone_are_outlined(open_page):
    watched = open_page("boxes")
    evaluation = boxes_alone()
    image, detections, matches = max(evaluation.matched(), key=lambda one: len(one[1]))
    key = next(row[1] for row in data_of(watched)["rows"] if row[0] == image.name)
    script = """async (key) => {
        const maps = await dealias.maps.load(key);
        const box = ({ left, top, width, height }) => [left, top, left + width, top + height];
        return Object.values(dealias.outlines.instances(maps)).map((list) => list.map(box));
    }"""
    targets, found = watched.page.evaluate(script, key)
    assert targets == [pytest.approx(one.box) for one in image.instances]
    assert found == [pytest.approx(box) for box in detections.boxes.tolist()]
    index = max(range(len(detections)), key=lambda i: detections.boxes[i, 2:].sum())
    left, top, right, bottom = detections.boxes[index].tolist()
    x, y = (left + right) // 2, (top + bottom) // 2
    address = f"{watched.address}#image={image.name}&score=0&zoom=30&at={x + 0.5},{y + 0.5}"
    watched.page.goto(address)
    page = opened_image(watched, image.name)
    box = page.locator("#viewer-stage canvas").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    told = page.locator("#viewer-readout").inner_text().replace("\n", "")
    name = evaluation.classes[int(detections.labels[index]) - 1]
    title = next(k["title"] for k in data_of(watched)["kinds"] if k["key"] == matches.kinds[index])
    assert f"Detection: {name} {float(detections.scores[index]):.2f}, {title.lower()}" in told


def test_the_lowest_score_changes_what_counts(open_page):
    watched = open_page("instances")
    evaluation = instance_evaluation()
    image, detections, matches = max(evaluation.matched(), key=lambda one: len(one[1]))
    names = [kind["key"] for kind in data_of(watched)["kinds"]]
    for score in (None, 0, 60, 100):
        fragment = "" if score is None else f"&score={score}"
        watched.page.goto(f"{watched.address}#image={image.name}{fragment}")
        page = opened_image(watched, image.name)
        threshold = evaluation.errors().threshold if score is None else score / 100
        counts = count_kinds(image, detections, matches, threshold)
        expected = [sum(own.get(name, 0) for own in counts.values()) for name in names]
        until(
            page,
            "expected => [...document.querySelectorAll('#viewer-kinds .count')]"
            ".map(one => one.innerText).join() === expected",
            ",".join(map(str, expected)),
        )
        by_kind = dict(zip(names, expected, strict=True))
        false = sum(count for name, count in by_kind.items() if name not in ("found", "missed"))
        told = f"{by_kind['found']} of {by_kind['found'] + by_kind['missed']} found, {false} false"
        assert page.locator("#viewer-scores").inner_text() == told
    slider = page.locator("#viewer-score")
    slider.fill("30")
    assert watched.state()["score"] == "30"
    assert slider.get_attribute("aria-valuetext") == "0.300"
    slider.fill(str(round(100 * evaluation.errors().threshold)))
    assert "score" not in watched.state()  # the page's own


def test_kinds_of_instances_can_be_hidden(open_page):
    watched = open_page("instances")
    page = opened_image(watched)
    before = stage_picture(page)
    for button in page.locator("#viewer-kinds button").all():
        button.click()
    assert watched.state()["kinds"] == ""
    assert (before != stage_picture(page)).any()
    page.keyboard.press("2")
    assert "original" in watched.state()["on"]


def test_a_number_leads_to_its_images(open_page):
    watched = open_page("instances")
    link = watched.page.locator("#classes td a").filter(has_not_text="0").first
    count = int(link.inner_text())
    link.click()
    state = watched.state()
    assert (state["kind"], state["class"]) == ("missed", "car")
    counts = watched.page.locator(".card .count").all_inner_texts()
    assert sum(int(text.split()[0]) for text in counts) == count


def test_what_is_right_is_not_called_an_error(open_page):
    watched = open_page("instances", "#kind=found")
    counts = watched.page.locator(".card .count").all_inner_texts()
    found = sum(int(text.removesuffix(" found")) for text in counts)
    assert found == instance_evaluation().to_dict()["errors"]["found"] > 0
