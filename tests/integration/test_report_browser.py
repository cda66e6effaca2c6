"""The pages as a browser shows them; without Chromium these tests skip."""

import importlib.resources
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from browsing import Watched, data_of, opened_image, stage_picture, until
from dealias.cli import main
from dealias.evaluation import Evaluation, Options, evaluate_maps
from dealias.metrics.functional import ERROR_KINDS, OBJECT_RECALL, error_map
from dealias.report import Example, ReportWriter, page_examples
from dealias.report.folder import file_key
from helpers import random_maps
from reports import (
    CLASSES,
    HOSTILE_CLASS,
    HOSTILE_FILE,
    evaluated,
    instance_evaluation,
    object_maps,
    write_folders,
    write_instance_page,
)

PAGES = ("single", "comparison", "probed", "instances", "long", "objects")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A report of 30 images, a comparison, and a report of a test with aliasing scores."""
    folder = tmp_path_factory.mktemp("pages")
    write_folders(folder, count=30, size=(32, 48))
    for side in ("a", "b"):
        more = ["--images", folder / "images", "--objects"] if side == "a" else []
        evaluated(
            folder,
            side,
            "--band-widths",
            "3,9,27",
            *more,
            *(["--report", folder / "single"] if more else []),
        )
    files = [str(folder / "a.json"), str(folder / "b.json")]
    comparison = ["--trust", "--report", str(folder / "comparison")]
    assert main(["compare", *files, "--workers", "0", *comparison]) == 0
    maps = random_maps(0, 32, 48, classes=5)
    options = Options(CLASSES, "paper", 15)
    with ReportWriter(folder / "probed", CLASSES) as writer:
        scores = np.random.default_rng(0).random((32, 48))
        unstable = np.full((32, 48), np.nan, np.float32)
        unstable[4:20, 8:30] = 0.25
        labels = (m.numpy() for m in maps)
        writer.add(Example("one", *labels, aliasing=scores, unstable=unstable))
        result = evaluate_maps("one", *maps, options).to_dict()
        writer.finish(result | {"shifts": shifts_of("one")}, probe=PROBE)
    write_instance_page(folder / "instances", instance_evaluation(), probe=PROBE)
    long = [Example(name, *long_maps(size)[::-1], gradient(size)) for name, size in LONG.items()]
    write_object_page(folder / "long", long)
    write_object_page(folder / "objects", [Example("one", *object_maps()[:2])])
    return folder


def write_object_page(folder, examples):
    options = Options(CLASSES, "paper", 15, object_recall=OBJECT_RECALL)
    with ReportWriter(folder, CLASSES, object_recall=OBJECT_RECALL) as writer:
        total = Evaluation.empty(options.settings)
        for example in examples:
            writer.add(example)
            maps = (torch.from_numpy(labels) for labels in (example.preds, example.target))
            total.absorb(evaluate_maps(example.name, *maps, options))
        writer.finish(total.to_dict())


def shifts_of(name):
    """What a test under shifts finds of one image."""
    agreement = {
        "agreement": 0.75,
        "agreement_preds_band": 0.5,
        "agreement_target_band": None,
    }
    finding = {"AUROC": 0.6, "rank_correlation": 0.25}
    return {
        "shifts": 4,
        "largest": 8,
        "seed": 0,
        "mASSC": 0.75,
        **agreement,
        "classes": [{"name": name, **agreement} for name in CLASSES.names],
        "per_image": [{"name": name, **agreement}],
        "errors_against_instability": {"boundary": finding, "all": finding},
    }


# Longer than a WebP may be, and than a canvas of Chromium's: 16,383 and 65,535 pixels.
LONG = {"wide": (40, 20_000), "tall": (66_000, 8)}


def long_maps(size):
    """Road in the target; predictions change class every 1000 pixels, along the longer side."""
    along = np.indices(size).max(0) // 1000 % 5
    return np.zeros(size, np.uint8), along.astype(np.uint8)


def gradient(size):
    """Black where the longer side begins, white where it ends."""
    gray = (255 * np.indices(size).max(0) // max(size)).astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=2)


PROBE = {
    "sites": [
        {
            "name": "<s>layer2</s>",
            "kernel": [3, 3],
            "stride": [2, 2],
            "in_channels": 64,
            "out_channels": 128,
            "esr": 0.707,
            "nyquist": 0.354,
            "cutoff": 0.354,
            "aliasing_score": 0.08,
            "aliasing_score_std": 0.01,
            "orthogonality": 0.07,
            "spectrum": [0.5, 0.2, 0.1, 0.05, 0.02, 0.01],
        }
    ],
    "settings": {"images": 3, "model": "<s>net</s>"},
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_from_disk(open_page, name):
    watched = open_page(name)
    policy = watched.page.locator("meta[http-equiv=Content-Security-Policy]")
    assert "default-src 'none'" in policy.get_attribute("content")
    picture = watched.page.locator(".card img").first
    picture.scroll_into_view_if_needed()
    until(watched.page, "document.querySelector('.card img').naturalWidth > 0")
    assert picture.get_attribute("alt")
    opened_image(watched)


def test_the_policy_stops_what_is_not_of_the_page(browser, pages):
    watched = Watched(browser, pages / "single")
    watched.page.evaluate("document.body.append(Object.assign(new Image(), {src: 'https://a.b/'}))")
    watched.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<p onclick=x()>y')")
    watched.page.wait_for_timeout(200)
    assert any("Content Security Policy" in error for error in watched.errors)
    watched.context.close()


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("single", "light"),
        ("single", "dark"),
        ("comparison", "light"),
        ("probed", "dark"),
        ("instances", "light"),
        ("instances", "dark"),
        ("objects", "light"),
        ("objects", "dark"),
    ],
)
def test_axe_finds_nothing_serious(open_page, name, scheme):
    axe = pytest.importorskip("axe_playwright_python", reason="axe is not installed")
    script = (importlib.resources.files(axe) / "axe.min.js").read_text("utf-8")
    watched = open_page(name, color_scheme=scheme)
    serious = _serious(watched.page, script)
    opened_image(watched)
    watched.page.locator("details.keys summary").click()
    serious += _serious(watched.page, script)
    assert serious == []


def _serious(page, script):
    page.evaluate(script)
    found = page.evaluate("axe.run({preload: false})")
    assert len(found["passes"]) > 10
    return [
        (violation["id"], node["target"], node.get("failureSummary"))
        for violation in found["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]


def test_a_heading_sorts_the_classes(open_page):
    page = open_page("single").page
    table = page.locator("#classes table")
    button = table.get_by_role("button", name="FErr")
    values = "cells => cells.map(cell => Number(cell.dataset.value))"
    cells = table.locator("tbody tr td:nth-child(6)")
    button.click()
    down = cells.evaluate_all(values)
    assert down == sorted(down, reverse=True)
    assert table.locator("[aria-sort=descending]").count() == 1
    button.press("Enter")
    assert cells.evaluate_all(values) == down[::-1]
    assert len(set(down)) > 1


def test_the_gallery_sorts_filters_and_turns_pages(open_page, pages):
    result = json.loads((pages / "a.json").read_text())
    rows = sorted(result["per_image"], key=lambda row: row["mIoU"])
    watched = open_page("single")
    page = watched.page
    assert watched.names() == [row["name"] for row in rows[:24]]
    page.get_by_role("button", name="Next page").click()
    assert watched.names() == [row["name"] for row in rows[24:]]
    assert "page=2" in page.url
    page.locator("#gallery-sort").select_option("name")
    assert watched.names() == sorted(row["name"] for row in rows)[:24]
    page.locator("#gallery-order").click()
    assert watched.names() == sorted((row["name"] for row in rows), reverse=True)[:24]
    page.locator("#gallery-find").fill("IMAGE_1")
    assert len(watched.names()) == 10
    assert "10 of 30 images" in page.locator("#gallery-found").inner_text()
    page.locator("#gallery-clear").click()
    assert page.evaluate("location.hash") in ("", "#")
    page.locator("#gallery-kind").select_option("interior")
    page.locator("#gallery-class").select_option(HOSTILE_CLASS)
    assert watched.state() == {"kind": "interior", "class": HOSTILE_CLASS, "sort": "wrong"}
    page.locator("#gallery-clear").click()
    page.locator("#pairs a").first.click()
    assert watched.state()["kind"] == "displacement"
    counts = page.locator(".card .count").all_inner_texts()
    numbers = [int(text.split()[0].replace(",", "")) for text in counts]
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[0] > numbers[-1] > 0


def test_a_number_of_objects_leads_to_their_images(open_page, pages):
    result = json.loads((pages / "a.json").read_text())
    index = next(i for i, row in enumerate(result["objects"]["classes"]) if row["split"])
    label = result["objects"]["classes"][index]["name"]
    counts = {
        row["name"]: row["objects"].get(label, {"split": 0})["split"] for row in result["per_image"]
    }
    watched = open_page("single")
    page = watched.page
    links = page.locator("#objects tbody").first.locator("[data-filter-fate=split]")
    links.and_(page.locator(f"[data-filter-class={json.dumps(label)}]")).click()
    assert watched.state() == {"fate": "split", "class": label, "sort": "objects"}
    shown = [counts[name] for name in watched.names()]
    assert shown == sorted((n for n in counts.values() if n), reverse=True)[:24]
    assert page.locator(".card-scores").first.inner_text().endswith(f", {shown[0]} split")
    page.locator("#gallery-fate").select_option("")
    assert watched.state() == {"class": label}
    row = result["objects"]["classes"][index]
    by_size = page.locator("#objects table").nth(1).get_by_role("row", name=label)
    assert by_size.inner_text().endswith(f"{row['vanished']:,} of {row['objects']:,}")


def test_a_cell_of_the_confusion_matrix_leads_to_its_images(open_page):
    watched = open_page("single")
    page = watched.page
    assert page.locator("#figures h2").inner_text().startswith("Boundaries cost ")
    cell = page.locator("#confusions tbody a").first
    pair = {"class": cell.get_attribute("data-filter-class")}
    pair["as"] = cell.get_attribute("data-filter-as")
    assert pair["class"] != pair["as"]
    cell.click()
    assert watched.state() == {**pair, "sort": "wrong"}
    assert page.locator("#gallery-as").input_value() == pair["as"]
    counts = page.locator(".card .count").all_inner_texts()
    numbers = [int(text.split()[0].replace(",", "")) for text in counts]
    assert numbers == sorted(numbers, reverse=True)
    page.locator("#gallery-clear").click()
    button = page.locator("#confusions thead").get_by_role("button").nth(1)
    button.click()
    values = "cells => cells.map(cell => Number(cell.dataset.value))"
    column = page.locator("#confusions tbody td:nth-child(2)").evaluate_all(values)
    assert column == sorted(column, reverse=True)


@pytest.mark.parametrize(("name", "lines"), [("single", 6), ("comparison", 12)])
def test_curves_against_the_width_are_drawn(open_page, pages, name, lines):
    result = json.loads((pages / "a.json").read_text())
    page = open_page(name).page
    assert page.locator("#widths .curve").count() == lines
    boxes = [curve.bounding_box() for curve in page.locator("#widths .curve").all()]
    assert all(box["width"] > 100 for box in boxes)
    first = page.locator("#widths tbody tr").first.inner_text()
    assert first.startswith("3 px")
    assert f"{100 * result['widths']['metrics']['BIoU'][0]:.2f}" in first


def test_keys_move_through_images_layers_and_modes(open_page):
    watched = open_page("single")
    first, second = watched.names()[:2]
    page = opened_image(watched)
    assert page.locator("#viewer-name").inner_text() == first
    page.keyboard.press("ArrowRight")
    until(page, "name => document.querySelector('#viewer-name').innerText === name", second)
    page.keyboard.press("p")
    assert watched.state()["image"] == first
    page.wait_for_selector("[data-name=on-prediction]")
    box = page.locator("[data-name=on-prediction]")
    assert not box.is_checked()
    page.keyboard.press("3")
    assert page.locator("[data-name=on-prediction]").is_checked()
    assert "prediction" in watched.state()["on"]
    for mode in ("slider", "panes", "overlay"):
        page.keyboard.press("m")
        assert watched.state()["mode"] == mode
    page.keyboard.press("+")
    page.keyboard.press("Shift+ArrowRight")
    assert "Prediction:" in page.locator("#viewer-readout").inner_text()
    until(page, "location.hash.includes('zoom=')")
    page.keyboard.press("0")
    until(page, "!location.hash.includes('zoom=')")
    page.keyboard.press("Escape")
    assert not page.locator("#viewer").is_visible()
    assert "image" not in watched.state()
    page.go_back()
    page.wait_for_selector("#viewer[open]")


def test_opacities_are_dragged(open_page):
    watched = open_page("single", "#image=image_03&on=image,prediction,errors")
    page = opened_image(watched, "image_03")
    for name, least, most in (("prediction", 75, 90), ("errors", 10, 25)):
        box = page.locator(f"[data-name=opacity-{name}]").bounding_box()
        middle = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + box["width"] / 2, middle)
        page.mouse.down()
        for step in range(5):
            share = 0.5 + step / 4 * ((least + most) / 200 - 0.5)
            page.mouse.move(box["x"] + share * box["width"], middle)
        page.mouse.up()
        found = dict(part.split(":") for part in watched.state()["opacity"].split(","))
        assert least <= int(found[name]) <= most
        assert page.locator(f"[data-name=opacity-{name}]").input_value() == found[name]
    assert 75 <= int(found["prediction"]) <= 90  # as dragged before


@pytest.mark.parametrize("leave", ["close", "next"])
def test_the_view_of_one_image_is_not_that_of_the_next(open_page, leave):
    watched = open_page("single", "#image=image_03&mode=slider")
    page = opened_image(watched, "image_03")
    page.evaluate(
        """leave => {
            for (const name of ["in", leave]) document.querySelector(`#viewer-${name}`).click();
            return new Promise(done => setTimeout(done, 300)); // after the address was written
        }""",
        leave,
    )
    assert not {"zoom", "at"} & watched.state().keys()
    if leave == "next":
        assert watched.state()["image"] != "image_03"
        until(page, "document.querySelector('#viewer-zoom').innerText === 'fit'")


def test_the_divider_outlives_its_image_but_not_the_viewer(open_page):
    watched = open_page("single", "#image=image_03&mode=slider")
    page = opened_image(watched, "image_03")
    move = """leave => {
        const divider = document.querySelector("#viewer-split");
        divider.value = 30;
        divider.dispatchEvent(new Event("input"));
        document.querySelector(`#viewer-${leave}`).click();
        return new Promise(done => setTimeout(done, 300)); // after the address was written
    }"""
    page.evaluate(move, "next")
    assert watched.state()["split"] == "30"
    page.evaluate(move, "close")
    assert "split" not in watched.state()


def test_the_viewer_is_left_and_entered_by_keyboard_alone(open_page):
    watched = open_page("single")
    page = watched.page
    page.locator("a.card").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#viewer[open]")
    assert page.evaluate("document.activeElement.id") == "viewer-stage"
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('#viewer').contains(document.activeElement)")
    page.keyboard.press("Escape")
    page.wait_for_selector("#viewer:not([open])", state="attached")
    assert page.evaluate("document.activeElement.classList.contains('card')")


def test_the_slider_moves_and_is_in_the_address(open_page):
    watched = open_page("single")
    page = opened_image(watched)
    page.locator("input[value=slider]").check()
    page.locator("#viewer-left").select_option("target")
    page.locator("#viewer-right").select_option("image")
    before = stage_picture(page)
    stage = page.locator("#viewer-stage").bounding_box()
    middle = stage["y"] + stage["height"] / 2
    page.mouse.move(stage["x"] + stage["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(stage["x"] + stage["width"] / 4, middle, steps=4)
    page.mouse.up()
    until(page, "location.hash.includes('split=25')")
    after = stage_picture(page)
    width = after.shape[1]
    differ = (before != after).any(axis=(0, 2))
    assert differ[int(0.27 * width) : int(0.47 * width)].mean() > 0.9
    assert not differ[: int(0.22 * width)].any()
    assert not differ[int(0.53 * width) :].any()
    page.keyboard.press("Escape")
    page.locator("a.card").first.click()
    page.wait_for_selector("#viewer-layers li", state="attached")
    page.keyboard.press("]")
    assert watched.state()["split"] == "55"


def test_an_address_opens_the_same_pixels(open_page, pages):
    fragment = "#image=image_03&mode=panes&panes=target,prediction&zoom=40&at=10.5,7.5&only=car"
    watched = open_page("single", fragment)
    page = opened_image(watched, "image_03")
    assert page.locator("#viewer-name").inner_text() == "image_03"
    place = page.evaluate("dealias.gallery.order().findIndex(row => row.name === 'image_03')") + 1
    assert page.locator("#viewer-place").inner_text() == f"{place} of 30"
    assert page.locator("#viewer-stage figcaption").all_inner_texts() == ["Target", "Prediction"]
    assert page.locator("#viewer-zoom").inner_text() == "4000 %"
    pressed = page.locator("#viewer-classes [aria-pressed=true]")
    assert pressed.inner_text() == "car"
    box = page.locator("#viewer-stage canvas").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    told = page.locator("#viewer-readout").inner_text()
    assert "x 10, y 7" in told
    for part, title in (("targets", "Target"), ("a", "Prediction")):
        label = np.asarray(Image.open(pages / part / "image_03.png"))[7, 10]
        name = "void" if label == 255 else CLASSES.names[label]
        assert f"{title}: {name}" in told.replace("\n", "")


@pytest.mark.parametrize("fragment", ["#image=nothing", "#page=-1&sort=x&kind=y", "#%%%", "#a=1&a"])
def test_an_address_that_means_nothing_shows_the_page(open_page, fragment):
    watched = open_page("single", fragment)
    assert len(watched.names()) == 24
    assert not watched.page.locator("#viewer").is_visible()


def test_names_are_text(open_page):
    watched = open_page("single", "#find=onerror")
    assert watched.names() == [HOSTILE_FILE]
    page = watched.page
    assert page.locator("#classes th", has_text=HOSTILE_CLASS).count() == 1
    assert page.locator("body b").count() == 0
    page = opened_image(watched)
    assert page.locator("#viewer-name").inner_text() == HOSTILE_FILE
    assert page.locator("#viewer-classes").get_by_text(HOSTILE_CLASS).count() == 1
    assert page.locator("body b, body img[onerror]").count() == 0


def test_dark_and_light_are_those_asked_for(open_page):
    ground = "getComputedStyle(document.body).backgroundColor"
    light = open_page("single", color_scheme="light").page
    dark = open_page("single", color_scheme="dark").page
    assert light.evaluate(ground) != dark.evaluate(ground)
    light.locator("#theme").select_option("dark")
    assert light.evaluate(ground) == dark.evaluate(ground)
    light.reload()
    assert light.evaluate(ground) == dark.evaluate(ground)


def test_tables_are_whole_on_a_wide_screen(open_page):
    """With intervals beside the figures of each class."""
    page = open_page("single", viewport={"width": 1400, "height": 900}).page
    assert page.locator("#classes .from-to").count() > 0
    widths = page.evaluate(
        "[...document.querySelectorAll('.scroll')].map((e) => [e.scrollWidth, e.clientWidth])"
    )
    assert all(inner <= outer for inner, outer in widths), widths


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_wider_than_a_phone(open_page, name):
    phone = {"width": 390, "height": 844}
    watched = open_page(name, viewport=phone, has_touch=True, is_mobile=True)
    assert watched.width() == 390
    opened_image(watched)
    assert watched.width() == 390
    stage = watched.page.locator("#viewer-stage").bounding_box()
    assert stage["width"] == 390
    assert stage["height"] > 300


def test_a_comparison_shows_what_was_mended_and_broken(open_page, pages):
    watched = open_page("comparison")
    page = watched.page
    scores = page.locator(".card-scores strong").all_inner_texts()
    gains = [float(text.replace("\u2212", "-")) for text in scores]
    assert gains == sorted(gains)
    page.locator("#gallery-sort").select_option("gain")
    assert page.locator(".card-scores strong").first.inner_text().startswith("+")
    name = watched.names()[0]
    page = opened_image(watched)
    titles = page.locator("#viewer-layers label").all_inner_texts()
    assert [title.split(maxsplit=1)[1] for title in titles] == [
        "Photograph",
        "Target",
        "Prediction of A",
        "Prediction of B",
        "Errors of A",
        "Errors of B",
        "Mended and broken",
    ]
    target, first, second = (
        np.asarray(Image.open(pages / part / f"{name}.png")) for part in ("targets", "a", "b")
    )
    mended = (first != target) & (second == target) & (target != 255)
    y, x = (int(values[0]) for values in np.nonzero(mended))
    page.goto(f"{watched.address}#image={name}&zoom=30&at={x + 0.5},{y + 0.5}")
    opened_image(watched, name)
    box = page.locator("#viewer-stage canvas").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert "mended: only a is wrong" in page.locator("#viewer-readout").inner_text()


def test_aliasing_is_a_layer_with_its_score(open_page):
    page = opened_image(open_page("probed"))
    titles = page.locator("#viewer-layers label").all_inner_texts()
    assert "Aliasing" in [title.split(maxsplit=1)[1] for title in titles]
    box = page.locator("#viewer-stage canvas").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert "Aliasing: 0." in page.locator("#viewer-readout").inner_text().replace("\n", "")


def pair_pixels(pages, kind, target, prediction):
    """By image, where a kind of error is of one target class taken for one other."""
    mark = [one.key for one in ERROR_KINDS].index(kind) + 1
    wanted = [CLASSES.names.index(name) for name in (target, prediction)]
    found = {}
    for path in (pages / "targets").iterdir():
        labels = [np.asarray(Image.open(pages / part / path.name)) for part in ("targets", "a")]
        marks = error_map(*map(torch.tensor, labels[::-1]), num_classes=5, band_width=15).numpy()
        found[path.stem] = (marks == mark) & (labels[0] == wanted[0]) & (labels[1] == wanted[1])
    return {name: pixels for name, pixels in found.items() if pixels.any()}


def test_a_pair_leads_to_its_own_errors_alone(open_page, pages):
    result = json.loads((pages / "a.json").read_text())
    kind, pair = min(
        ((kind, pair) for kind, pairs in result["costly_pairs"].items() for pair in pairs),
        key=lambda one: one[1]["pixels"],
    )
    expected = pair_pixels(pages, kind, pair["target"], pair["prediction"])
    assert 0 < len(expected) < 30
    assert sum(pixels.sum() for pixels in expected.values()) == pair["pixels"]
    watched = open_page("single")
    link = watched.page.locator(
        f"#pairs a[data-filter-kind={kind}]",
        has_text=f"{pair['target']} as {pair['prediction']}",
    )
    state = {"kind": kind, "class": pair["target"], "as": pair["prediction"], "sort": "wrong"}
    address = link.get_attribute("href")
    link.click()
    assert watched.state() == state
    for one in (watched, open_page("single", address)):
        assert one.state() == state
        counts = one.page.locator(".card .count").all_inner_texts()
        cards = dict(zip(one.names(), counts, strict=True))
        most = sorted((int(pixels.sum()) for pixels in expected.values()), reverse=True)[:24]
        assert [int(text.split()[0].replace(",", "")) for text in counts] == most
        assert all(int(text.split()[0]) == expected[name].sum() for name, text in cards.items())
        assert one.page.locator("#gallery-as").input_value() == pair["prediction"]
        card = one.page.locator("a.card").first.get_attribute("href")
        opened = opened_image(one)
        assert opened.evaluate("location.hash") == card
        assert one.state()["taken"] == pair["prediction"]
        toggle = opened.locator("[data-name=pair]")
        assert toggle.inner_text() == f"{pair['target']} as {pair['prediction']}"
        name = opened.locator("#viewer-name").inner_text()
        painted = painted_errors(one, name, state)
        void = np.asarray(Image.open(pages / "targets" / f"{name}.png")) == 255
        assert (painted[~void] == expected[name][~void]).all()
        toggle.click()
        assert not {"only", "taken"} & one.state().keys()
        assert opened.locator("[data-name=pair]").count() == 0


def painted_errors(watched, name, state):
    """Where the layer of errors has any colour, as the viewer paints it for a pair."""
    data = data_of(watched)
    row = next(row for row in data["rows"] if row[0] == name)
    only, taken = (CLASSES.names.index(state[key]) for key in ("class", "as"))
    alpha = watched.page.evaluate(
        """async ([data, key, only, taken, kind]) => {
          const maps = await dealias.maps.load(key);
          const layer = data.layers.find((one) => one.key === "errors");
          const settings = { only, taken, kinds: new Set([kind]) };
          const { width, height } = maps;
          const context = dealias.element("canvas", { width, height }).getContext("2d");
          dealias.layers.paint(layer, data, maps, settings).draw(context);
          const pixels = context.getImageData(0, 0, width, height).data;
          return [...pixels].filter((_, i) => i % 4 === 3);
        }""",
        [data, row[1], only, taken, state["kind"]],
    )
    return np.array(alpha).reshape(32, 48) > 0


def test_classes_of_instances_lead_to_as_many_errors_as_they_say(open_page):
    watched = open_page("instances")
    links = watched.page.locator("#classes tbody a").all()
    assert len(links) >= 15
    for link in links:
        link.evaluate("link => link.click()")
        counts = watched.page.locator(".card .count").all_inner_texts()
        shown = sum(int(text.split()[0].replace(",", "")) for text in counts)
        assert shown == int(link.inner_text())


@pytest.mark.parametrize("name", LONG)
def test_images_longer_than_a_picture_may_be_are_shown_to_the_end(open_page, pages, name):
    height, width = LONG[name]
    for place in (10, max(LONG[name]) - 10):
        y, x = (place, 4) if height > width else (20, place)
        address = f"#image={name}&zoom=40&at={x + 0.5},{y + 0.5}"
        _, prediction = long_maps(LONG[name])
        color = CLASSES.colors()[prediction[y, x]]
        page = opened_image(
            open_page("long", f"{address}&on=prediction&opacity=prediction:100"), name
        )
        assert np.abs(middle_pixel(page) - color.astype(int)).max() <= 1
        page.locator("#viewer-stage canvas").hover()
        assert f"x {x}, y {y}" in page.locator("#viewer-readout").inner_text()
        page = opened_image(open_page("long", f"{address}&on=image"), name)
        assert np.abs(middle_pixel(page) - 255 * place // max(LONG[name])).max() <= 6


@pytest.mark.parametrize("name", LONG)
def test_false_objects_of_long_images_are_outlined_to_the_end(open_page, name):
    height, width = LONG[name]
    last = 1000 * ((max(LONG[name]) - 1) // 1000)  # where the last predicted object begins
    shades = []
    for place in (last, last + 0.5):
        at = f"4,{place}" if height > width else f"{place},20"
        address = f"#image={name}&zoom=40&at={at}&on=objects"
        page = opened_image(open_page("long", address), name)
        shades.append(middle_pixel(page).min())
    assert shades[0] > 180  # half of a pixel may be beside the line
    assert shades[1] < 100


# Okabe and Ito's colours are the errors'.
OUTLINES = {1: (232, 40, 40), 2: (240, 228, 66), 4: (70, 110, 255), 8: (255, 255, 255)}


def outlined_edges(watched, only=None):
    """For each mark, the sides of pixels that have its colour: bool, across and down."""
    data = data_of(watched)
    colors = watched.page.evaluate(
        """async ([data, key, only]) => {
          const maps = await dealias.maps.load(key);
          const layer = data.layers.find((one) => one.key === "objects");
          const { width, height } = { width: 20 * maps.width + 20, height: 20 * maps.height + 20 };
          const context = dealias.element("canvas", { width, height }).getContext("2d");
          context.translate(10, 10);
          context.scale(20, 20);
          dealias.layers.paint(layer, data, maps, { only, taken: null }).draw(context, 1 / 20, 1);
          return [...context.getImageData(0, 0, width, height).data];
        }""",
        [data, data["rows"][0][1], only],
    )
    height, width = 8, 16
    pixels = np.array(colors).reshape(20 * height + 20, 20 * width + 20, 4)[..., :3]
    found = {}
    for mark, color in OUTLINES.items():
        has = np.abs(pixels - color).max(2) <= 2
        # The middle of a side is longer than a gap between dashes.
        across = [
            [has[20 * y + 9 : 20 * y + 11, 20 * x + 14 : 20 * x + 26].any() for x in range(width)]
            for y in range(height + 1)
        ]
        down = [
            [
                has[20 * y + 14 : 20 * y + 26, 20 * x + 9 : 20 * x + 11].any()
                for x in range(width + 1)
            ]
            for y in range(height)
        ]
        found[mark] = np.array(across), np.array(down)
    return found


def test_objects_are_outlined_where_they_are(open_page):
    watched = open_page("objects")
    *_, marks = object_maps()
    padded = np.pad(marks, 1)
    found = outlined_edges(watched)
    for mark in OUTLINES:
        inside = padded == mark
        across, down = found[mark]
        assert (across == (inside[1:] != inside[:-1])[:, 1:-1]).all()
        assert (down == (inside[:, 1:] != inside[:, :-1])[1:-1]).all()
        assert across.sum() + down.sum() == {1: 10, 2: 16, 4: 18, 8: 10}[mark]
    of_cars = outlined_edges(watched, only=2)
    assert {mark for mark, sides in of_cars.items() if sides[0].any()} == {1}


def test_the_layer_of_objects_is_switched_on_and_tells_of_a_pixel(open_page):
    watched = open_page("objects", "#image=one&zoom=30&at=1.5,1.5")
    page = opened_image(watched, "one")
    viewer = page.get_by_role("dialog")
    box = viewer.get_by_role("checkbox", name="Objects")
    assert not box.is_checked()
    key = viewer.locator("ul.key li").all_inner_texts()
    assert [text.strip() for text in key] == ["vanished", "merged", "split", "false, predicted"]
    before = stage_picture(page)
    box.check()
    assert "objects" in watched.state()["on"]
    assert (stage_picture(page) != before).any()
    page.locator("#viewer-stage canvas").hover()
    assert "Objects: vanished" in page.locator("#viewer-readout").inner_text().replace("\n", " ")
    other = opened_image(open_page("probed"))
    assert other.get_by_role("checkbox", name="Objects").count() == 0


def middle_pixel(page):
    page.mouse.move(0, 0)
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))")
    box = page.locator("#viewer-stage canvas").first.bounding_box()
    place = {"x": box["x"] + box["width"] / 2 - 8, "y": box["y"] + box["height"] / 2 - 8}
    shot = Image.open(io.BytesIO(page.screenshot(clip=place | {"width": 16, "height": 16})))
    return np.asarray(shot.convert("RGB"))[8, 8].astype(int)


def test_long_images_come_back_from_their_page(pages):
    examples = page_examples(pages / "long")
    for name, size in LONG.items():
        example = examples.load(name)
        assert (example.preds == long_maps(size)[1]).all()
        assert example.image.shape == (*size, 3)
        assert np.abs(example.image.astype(int) - gradient(size)).max() <= 8
        for kind, longest in (("images", 16383), ("thumbs", 1440)):
            (path,) = (pages / "long/assets" / kind).glob(f"{file_key(name)}.webp")
            with Image.open(path) as picture:
                assert max(picture.size) <= longest


def test_the_least_stable_image_opens_with_what_is_unstable(open_page):
    page = open_page("probed").page
    section = page.locator("#shifts")
    said = section.inner_text()
    assert "75.00 %" in said
    assert "25.00 % unstable" in said
    assert "50.00 % unstable" in said  # in the bands of the prediction
    picture = section.locator("img")
    picture.scroll_into_view_if_needed()
    until(page, "document.querySelector('#shifts img').naturalWidth === 48")
    section.get_by_role("link", name="one").click()
    viewer = page.get_by_role("dialog")
    layer = viewer.get_by_role("checkbox", name="Unstable")
    layer.wait_for()
    assert layer.is_checked()
    assert not viewer.get_by_role("checkbox", name="Errors").is_checked()
