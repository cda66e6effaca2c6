import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from dealias.evaluation import (
    ERROR_COLORS,
    Evaluation,
    GroupError,
    Options,
    digest_labels,
    evaluate_maps,
    read_groups,
)
from dealias.files import OutputError
from dealias.report import (
    AliasingErrors,
    Example,
    ReportPart,
    ReportWriter,
    ResultFileError,
    class_table,
    compare_results,
    escape_latex,
    escape_markdown,
    figures,
    mean_table,
    page_examples,
    read_probe,
    read_result,
    write_figures,
)
from dealias.report.comparison_page import change_map, draw_changes
from dealias.report.drawing import counting_of
from dealias.report.folder import PageFolder
from dealias.report.rendering import DASH, MINUS
from dealias.report.sections import probe_section
from helpers import random_maps
from reports import CLASSES, HOSTILE_CLASS

FORMATS = ("pdf", "svg", "png")


def maps_of(seed, size=(40, 56)):
    return random_maps(seed, *size, classes=5)


def result_of(*seeds):
    options = Options(CLASSES, "paper", 15)
    found = [evaluate_maps(f"image_{seed}", *maps_of(seed), options) for seed in seeds]
    total = found[0]
    for other in found[1:]:
        total.absorb(other)
    return total.to_dict()


def other_result_of(*seeds, flipped=None):
    """The same images with other predictions, or some of them."""
    options = Options(CLASSES, "paper", 15)
    total = Evaluation.empty(options.settings)
    for seed in seeds:
        prediction, target = maps_of(seed)
        preds = prediction.flip(1) if flipped is None or seed in flipped else prediction
        total.absorb(evaluate_maps(f"image_{seed}", preds, target, options))
    return total.to_dict()


FEW = "Differences have no intervals: expected at least 10 images, got 2."
LIES = [
    ("images", 3, "per_image: expected 3 rows, got 2"),
    ("images", -1, r"images: expected an integer in \[0,"),
    ("band_width", 4, "band_width: expected an odd number"),
    ("band_width", -1, "band_width: expected an integer in"),
    ("band_width", 15.5, "band_width: expected an integer, got 15.5"),
    ("band_width", 10**18 + 1, "band_width: expected an integer in"),
    ("ignore_index", 2**63, "ignore_index: expected an integer in"),
    ("protocol", "mine", "protocol: expected one of exact, paper, got 'mine'"),
    ("protocol", {}, "protocol: expected text, got {}"),
    ("class_set", "a" * 100_000, "class_set: expected at most 10,000 characters"),
    ("metrics.mIoU", 1e300, r"metrics.mIoU: expected a number in \[-1e-06"),
    ("metrics.mIoU", "10" + "0" * 400, "metrics.mIoU: expected a number"),
    ("metrics.BIoU", [[[[[]]]]], "metrics.BIoU: expected a number"),
    ("metrics.edge_false_rate", "x", "edge_false_rate: expected a number"),
    ("classes", [], "classes: expected at least one"),
    ("classes.1.pixels", -5, r"classes\[1\].pixels: expected an integer in"),
    ("classes.1.name", "road", "classes: expected a row each, got several of 'road'"),
    ("classes.1.IoU_gain.interior", -3, r"classes\[1\].IoU_gain.interior: expected a number in"),
    ("error_shares.interior", 7, "error_shares.interior: expected a number in"),
    ("mIoU_gain.interior", -1.5, "mIoU_gain.interior: expected a number in"),
    ("costly_pairs.interior", [{"target": 1}], r"costly_pairs.interior\[0\].target: expected text"),
    ("per_image.1.name", "image_0", "per_image: expected a row each, got several of 'image_0'"),
    ("per_image.1.mIoU", -0.5, r"per_image\[1\].mIoU: expected a number in"),
    ("per_image.1.error_pixels.interior", 1.5, "error_pixels.interior: expected an integer"),
    ("per_image.1.digests.target", "a" * 200, "digests.target: expected a digest"),
    ("per_image.1.digests", [], "digests: expected a mapping"),
    ("per_image.1.margins", "1 2 3", r"margins: expected margins, rows of 13 integers"),
    ("per_image.1.margins", [1], r"per_image\[1\].margins: expected text"),
    ("per_image.0.margins", "0" + 4 * " 2" + 8 * " 1", "image_0: margins: expected no more"),
    ("per_image.0.margins", "9" + 12 * " 1", "per_image: image_0: margins: expected classes"),
    ("per_image.0.margins", "", "per_image: expected margins that give the figures"),
    ("per_image.1.group", 3, r"per_image\[1\].group: expected text"),
    ("intervals.units", -1, "intervals.units: expected an integer"),
    ("intervals.metrics.mIoU", [0.5, 7], r"intervals.metrics.mIoU\[1\]: expected a number"),
    ("fine_grained.mIoU_I", 3, "fine_grained.mIoU_I: expected a number"),
    ("skipped", [1], r"skipped\[0\]: expected text"),
    ("dark", {"least": 1, "output": "raw"}, "dark: lacks 'most'"),
    (
        "dark",
        {"least": 1, "most": 2, "output": "srgb)\n# Best"},
        "dark.output: expected one of raw",
    ),
    ("noise", "much", "noise: expected a number, got 'much'"),
    ("report", 5, "report: expected text"),
    ("errors_against_aliasing", [], "errors_against_aliasing: expected a mapping"),
    ("errors_against_aliasing.edges", [0, 0.5, 0.5], "edges: expected two or more that rise"),
    ("errors_against_aliasing.edges", [], "edges: expected two or more that rise"),
    ("errors_against_aliasing.edges", [0, 2], r"edges\[1\]: expected a number in"),
    ("errors_against_aliasing.groups.interior.histogram", [1], "interior: expected 1 columns"),
    ("errors_against_aliasing.groups.interior.pixels", 5, "interior: .* with 5 pixels, got 1 with"),
    ("errors_against_aliasing.groups.interior.histogram", [-1], r"histogram\[0\]: expected"),
    ("errors_against_aliasing.groups.interior.quantiles", {"50": 1}, "quantiles: lacks '10'"),
    ("errors_against_aliasing.rank_correlation", 3, "rank_correlation: expected a number in"),
]
PROBE = {
    "sites": [
        {
            "name": "layer2.0",
            "kind": "convolution",
            "kernel": [3, 3],
            "stride": [2, 2],
            "in_channels": 64,
            "out_channels": 128,
            "esr": 0.7,
            "nyquist": [0.25, 0.3],
            "cutoff": 0.25,
            "aliasing_score": 0.1,
            "aliasing_score_std": None,
            "orthogonality": 0.05,
            "spectrum": [0.9, 0.1],
        }
    ],
    "settings": {"model": "resnet18", "images": 2},
    "maps": {"folder": "maps", "site": "layer2.0"},
}
PROBE_LIES = [
    ("sites", {}, "sites: expected a list"),
    ("sites.0.name", 5, r"sites\[0\].name: expected text"),
    ("sites.0.cutoff", [1, "a"], r"sites\[0\].cutoff\[1\]: expected a number"),
    ("sites.0.cutoff", {}, "cutoff: expected a list"),
    ("sites.0.kernel", 1e300, "kernel: expected a"),
    ("sites.0.aliasing_score", 2, "aliasing_score: expected a number in"),
    ("sites.0.spectrum", [-1], r"spectrum\[0\]: expected a number in"),
    ("sites.0.spectrum", "1", "spectrum: expected a list"),
    ("sites.0.in_channels", -1, "in_channels: expected an integer in"),
    ("settings.images", None, "settings.images: expected an integer"),
    ("settings.model", {}, "settings.model: expected text"),
    ("maps", [], "maps: expected a mapping"),
    ("maps.folder", 5, "maps.folder: expected text"),
    ("maps.folder", "/etc", "--trust reads the maps it names"),
    ("maps.folder", "\0", "--trust reads the maps it names"),
    ("maps.folder", "../" * 3000, "--trust reads the maps it names"),
]


def put(content, place, value):
    """A copy in which a value stands at a place such as "classes.1.name"."""
    content = copy.deepcopy(content)
    *path, last = [int(part) if part.isdecimal() else part for part in place.split(".")]
    inner = content
    for part in path:
        inner = inner[part]
    inner[last] = value
    return content


def put_groups(content, other):
    """A copy with the groups of the images of another result."""
    content = copy.deepcopy(content)
    for row, grouped in zip(content["per_image"], other["per_image"], strict=True):
        row["group"] = grouped["group"]
    return content


class TestResultFile:
    def test_digests_depend_on_labels_and_size_alone(self):
        labels = np.arange(12).reshape(3, 4)
        kinds = [labels.astype(kind) for kind in (np.uint8, np.uint16, np.int32)]
        assert {digest_labels(other) for other in kinds} == {digest_labels(labels)}
        assert digest_labels(np.asfortranarray(labels)) == digest_labels(labels)
        others = (labels.reshape(4, 3), labels + 300, labels - 300, np.flip(labels))
        assert len({digest_labels(other) for other in (labels, *others)}) == 5

    def test_what_is_written_is_read(self, tmp_path):
        result = json.loads(json.dumps(result_of(0, 1)))
        (tmp_path / "r.json").write_text(json.dumps(result))
        assert read_result(tmp_path / "r.json") == result

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda r: r.pop("metrics"), "lacks 'metrics'"),
            (lambda r: r["metrics"].update(mIoU="x"), "metrics.mIoU: expected a number, got 'x'"),
            (lambda r: r["metrics"].update(mIoU=True), "metrics.mIoU: expected a number, got True"),
            (lambda r: r["classes"][1].pop("name"), r"classes\[1\]: lacks 'name'"),
            (lambda r: r.update(per_image={}), "per_image: expected a list, got {}"),
            (lambda r: r.update(band_width=1e999), "Infinity is no JSON"),
            (lambda r: r.update(errors_against_aliasing={}), "aliasing: lacks 'edges'"),
        ],
    )
    def test_another_file_is_refused(self, tmp_path, change, message):
        result = result_of(0)
        change(result)
        (tmp_path / "r.json").write_text(json.dumps(result))
        with pytest.raises(ResultFileError, match=message):
            read_result(tmp_path / "r.json")

    @pytest.mark.parametrize(("place", "value", "message"), LIES)
    def test_what_can_not_be_is_refused(self, tmp_path, place, value, message):
        result = json.loads(json.dumps(result_of(0, 1)))
        result["errors_against_aliasing"] = AliasingErrors.empty().to_dict()
        (tmp_path / "r.json").write_text(json.dumps(put(result, place, value)))
        with pytest.raises(ResultFileError, match=rf"r\.json: expected .*{message}") as caught:
            read_result(tmp_path / "r.json")
        assert len(str(caught.value)) < 1000

    @pytest.mark.parametrize(("place", "value", "message"), PROBE_LIES)
    def test_probes_that_can_not_be_are_refused(self, tmp_path, place, value, message):
        probe = put(PROBE, "maps.folder", str(tmp_path / "maps"))
        (tmp_path / "p.json").write_text(json.dumps(probe))
        assert read_probe(tmp_path / "p.json") == probe
        (tmp_path / "p.json").write_text(json.dumps(put(probe, place, value)))
        with pytest.raises(ResultFileError, match=rf"p\.json: .*{message}") as caught:
            read_probe(tmp_path / "p.json")
        assert len(str(caught.value)) < 1000

    def test_odd_spectra_are_drawn(self):
        site = PROBE["sites"][0] | {"spectrum": [1, 5e-324, 0, 1e-320, 1e-40, 1]}
        assert probe_section(PROBE | {"sites": [site]})["spectra"][0]["powers"]

    @pytest.mark.parametrize("text", ["", "[1]", "nonsense", "[" * 100_000])
    def test_what_is_no_result_is_refused(self, tmp_path, text):
        (tmp_path / "r.json").write_text(text)
        with pytest.raises(ResultFileError, match="expected"):
            read_result(tmp_path / "r.json")
        with pytest.raises(ResultFileError, match="a result of dealias probe"):
            read_probe(tmp_path / "r.json")

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(ResultFileError, match=r"r\.json: no such file"):
            read_result(tmp_path / "r.json")


class TestComparison:
    def test_differences_are_b_minus_a(self):
        a, b = result_of(0, 1), other_result_of(0, 1)
        found = compare_results(a, b, names=("one", "two"))
        assert found["metrics"]["FErr"]["difference"] == b["metrics"]["FErr"] - a["metrics"]["FErr"]
        assert {row["name"] for row in found["per_image"]} == {"image_0", "image_1"}
        assert found["notes"] == [FEW]
        wrong = [sum(row["error_pixels"]["interior"] for row in r["per_image"]) for r in (a, b)]
        assert found["error_pixels"]["interior"]["difference"] == wrong[1] - wrong[0]
        json.dumps(found, allow_nan=False)

    def test_the_largest_loss_comes_first(self):
        a, b = result_of(0, 1, 2), result_of(0, 1, 2)
        for row, value in zip(b["per_image"], (0.9, 0.0, None), strict=True):
            row["mIoU"] = value
        names = [row["name"] for row in compare_results(a, b)["per_image"]]
        assert names == ["image_1", "image_0", "image_2"]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"protocol": "exact"}, "expected one protocol, got 'paper' in A and 'exact' in B"),
            ({"band_width": 9}, "expected one band width, got 15 in A and 9 in B"),
            ({"classes": []}, "expected the same classes"),
            ({"ignore_index": 9, "classes": []}, "expected the same classes in both, got 5 in A"),
            ({"ignore_index": 9}, "expected one ignore index, got 255 in A and 9 in B"),
            ({"per_image": []}, "got 1 in A alone, such as 'image_0'; 0 are in both"),
            ({"per_image": 2 * result_of(0)["per_image"]}, "B: expected a row an image"),
            ({"per_image": result_of(1)["per_image"]}, "1 in A alone, .*'image_0'; 1 in B alone"),
        ],
    )
    def test_what_can_not_be_compared_is_refused(self, change, message):
        with pytest.raises(ResultFileError, match=message):
            compare_results(result_of(0), result_of(0) | change)

    def test_the_same_names_with_other_targets_are_refused(self):
        a, b = result_of(0), result_of(1)
        b["per_image"][0]["name"] = "image_0"
        with pytest.raises(ResultFileError, match="others of 'image_0' in B than in A"):
            compare_results(a, b)
        del b["per_image"][0]["digests"]
        pixels = [row["pixels"] for row in (a["classes"][0], b["classes"][0])]
        message = f"got {pixels[0]:,} pixels of road in A and {pixels[1]:,} in B"
        with pytest.raises(ResultFileError, match=message):
            compare_results(a, b)

    def test_figures_are_of_the_common_images_where_margins_are_known(self):
        found = compare_results(result_of(0, 1, 2), other_result_of(1, 2, 3, 4))
        expected = compare_results(result_of(1, 2), other_result_of(1, 2))
        note = "Figures are over the 2 images in both; 1 only in A and 2 only in B are left out."
        assert found.pop("notes") == [note, *expected.pop("notes")]
        assert found == expected
        shares = result_of(0, 1, 2)["metrics"]["mIoU"], found["metrics"]["mIoU"]["a"]
        assert shares[0] != shares[1]

    @pytest.mark.parametrize("side", [0, 1])
    def test_common_images_are_not_enough_without_margins(self, side):
        results = [result_of(0, 1), result_of(1)]
        del results[side]["per_image"][-1]["margins"]
        with pytest.raises(ResultFileError, match="expected the same images in both, got 1 in A"):
            compare_results(*results)

    def test_files_of_common_images_may_hold_the_same_labels_in_other_bytes(self):
        a, b = result_of(0, 1), result_of(1)
        for result, digest in ((a, "sha256:01"), (b, "sha256:02")):
            result["per_image"][-1]["digests"]["target"] = digest
        assert compare_results(a, b)["notes"][0].startswith("Figures are over the 1 images in both")

    def test_common_images_need_the_same_targets(self):
        a, b = result_of(0, 1), result_of(1)
        b["per_image"][0]["digests"]["target"] = "labels:0123"
        with pytest.raises(ResultFileError, match="others of 'image_1' in B than in A"):
            compare_results(a, b)

    def test_targets_of_two_images_that_changed_places_are_noticed(self):
        a, b = result_of(0, 1), result_of(0, 1)
        for row, name in zip(b["per_image"], ("image_1", "image_0"), strict=True):
            row["name"] = name
            del row["digests"]
        with pytest.raises(ResultFileError, match="others of 'image_0' in B than in A"):
            compare_results(a, b)

    def test_differences_have_intervals(self):
        a, b = result_of(*range(12)), other_result_of(*range(12))
        found = compare_results(a, b)
        assert found["notes"] == []
        assert found["intervals"]["units"] == 12
        for pair in [*found["metrics"].values(), *(row["BIoU"] for row in found["classes"])]:
            low, high = pair["interval"]
            assert low < pair["difference"] < high
            assert pair["told"] == (pair["p"] < 0.05) == (low > 0 or high < 0)
            assert pair["better"] + pair["worse"] <= 12
        rows = found["per_image"]
        counted = found["metrics"]["mIoU"]
        assert counted["better"] == sum(row["difference"] > 0 for row in rows)
        assert counted["worse"] == sum(row["difference"] < 0 for row in rows) > 6
        json.dumps(found, allow_nan=False)

    def test_the_same_result_twice_can_not_be_told_apart(self):
        found = compare_results(result_of(*range(10)), result_of(*range(10)))
        for pair in found["metrics"].values():
            assert (pair["difference"], pair["interval"], pair["p"]) == (0, None, None)
            assert (pair["told"], pair["better"], pair["worse"]) == (False, 0, 0)

    def test_results_of_an_earlier_version_are_compared_without_intervals(self):
        results = [result_of(*range(10)), other_result_of(*range(10))]
        for result in results:
            del result["intervals"], result["fine_grained"]
            for row in result["per_image"]:
                del row["margins"]
        found = compare_results(*results)
        assert found["notes"] == [
            "Differences have no intervals: the margins of 10 of 10 images are not known: an "
            "earlier version counted them."
        ]
        pair = found["metrics"]["mIoU"]
        assert pair["difference"] == results[1]["metrics"]["mIoU"] - results[0]["metrics"]["mIoU"]
        assert {pair[key] for key in ("interval", "p", "told")} == {None}
        changes = [row["difference"] for row in found["per_image"]]
        assert pair["better"] == sum(change > 0 for change in changes)
        assert pair["worse"] == sum(change < 0 for change in changes) > 5
        assert found["metrics"]["BIoU"]["better"] is None

    def test_groups_are_those_of_the_results_or_those_asked_for(self):
        a, b = result_of(*range(12)), other_result_of(*range(12))
        for k, row in enumerate(a["per_image"]):
            row["group"] = str(k % 11)
        found = compare_results(a, b)["intervals"]
        assert (found["unit"], found["units"]) == ("group", 11)
        for k, row in enumerate(b["per_image"]):
            row["group"] = str(k % 10)
        with pytest.raises(ResultFileError, match=r"same groups in both, .* --groups says which"):
            compare_results(a, b)
        found = compare_results(a, b, groups=read_groups("_(.*)"))["intervals"]
        assert (found["unit"], found["units"]) == ("group", 12)
        with pytest.raises(GroupError, match="got none of 11: image_0"):
            compare_results(a, b, groups=read_groups("_11"))

    def test_another_noise_is_said(self):
        a, b = result_of(0), result_of(0) | {"noise": 25.0}
        assert compare_results(a, b)["notes"] == [
            "The images were not alike: as they are in A, under noise, sigma 25 of 255 in B.",
            FEW.replace("2", "1"),
        ]

    def test_other_darkness_is_said(self):
        dark = {"least": 10, "most": 50, "output": "srgb"}
        a, b = (result_of(0) | {"dark": dark | more} for more in ({}, {"most": 100}))
        assert compare_results(a, b)["notes"][0] == (
            "The images were not alike: in the dark (exposure ratio 10 to 50, srgb) in A, "
            "in the dark (exposure ratio 10 to 100, srgb) in B."
        )
        assert compare_results(a, a)["notes"] == [FEW.replace("2", "1")]

    def test_resized_predictions_are_said_of_whole_results(self):
        a, b = result_of(0, 1) | {"resized_images": 2}, result_of(1)
        assert compare_results(a, b)["notes"][1:] == [
            "Predictions were resized to their targets: 2 in A, 0 in B.",
            FEW.replace("2", "1"),
        ]

    def test_changes_are_told_apart(self):
        before, after = (np.array(m, np.uint8) for m in ([0, 1, 0, 2, 5], [0, 0, 4, 3, 5]))
        assert change_map(before, after).tolist() == [0, 1, 2, 3, 5]

    def test_mended_and_broken_pixels_are_counted(self, tmp_path):
        first, target = (maps.numpy() for maps in maps_of(0))
        second = maps_of(3)[0].numpy()
        counting = counting_of({"protocol": "paper", "band_width": 15}, CLASSES)
        sides = [Example("x", prediction, target) for prediction in (first, second)]
        with PageFolder(tmp_path) as folder:
            drawn = draw_changes(folder, *sides, CLASSES, counting)
        counted = target != 255
        mended = (first != target) & (second == target) & counted
        broken = (first == target) & (second != target) & counted
        assert sum(drawn.counts[:4]) == mended.sum() > 0
        assert sum(drawn.counts[4:]) == broken.sum() > 0
        rows = np.array(drawn.by_class).reshape(-1, 9)
        for label, *counts in rows.tolist():
            seen = (target == label) | (first == label) | (second == label)
            assert sum(counts[:4]) == (mended & seen).sum()
            assert sum(counts[4:]) == (broken & seen).sum()


class TestWriter:
    def test_parts_of_several_processes_make_one_page(self, tmp_path):
        result = result_of(0, 1)
        rng = np.random.default_rng(0)
        whole = ReportWriter(tmp_path / "page", CLASSES)
        other = ReportWriter(tmp_path / "page", CLASSES)
        whole.begin()
        for seed, writer in enumerate((whole, other)):
            prediction, target = (maps.numpy() for maps in maps_of(seed))
            image = rng.integers(0, 256, (*target.shape, 3), dtype=np.uint8)
            scores = rng.random(target.shape).astype(np.float32)
            writer.add(Example(f"image_{seed}", prediction, target, image, scores))
        whole.part.absorb(other.part)
        more = whole.finish(result, output=tmp_path / "r" / "r.json", site="layer2.0")
        assert more["report"] == "../page"
        found = more["errors_against_aliasing"]
        assert found["site"] == "layer2.0"
        wrong = [sum(row["error_pixels"]["interior"] for row in result["per_image"])]
        assert found["groups"]["interior"]["pixels"] == wrong[0]
        page = (tmp_path / "page" / "index.html").read_text()
        assert "Errors against aliasing" in page
        assert "<code>layer2.0</code>" in page
        again = page_examples(tmp_path / "page")
        assert sorted(again.names) == ["image_0", "image_1"]
        example = again.load("image_1")
        assert (example.preds == maps_of(1)[0].numpy()).all()
        assert (example.target == maps_of(1)[1].numpy()).all()
        assert example.image.shape == (40, 56, 3)

    @pytest.mark.parametrize("void", [-1, 100_000])
    def test_void_that_no_picture_holds_comes_back(self, void, tmp_path):
        black = ((0, 0, 0), *((k, k, k) for k in range(1, 5)))
        classes = replace(CLASSES, ignore_index=void, palette=black)
        prediction, target = (maps.numpy().astype(np.int64) for maps in maps_of(0))
        target[target == 255] = void
        assert (target == void).any()
        maps = (torch.from_numpy(labels) for labels in (prediction, target))
        with ReportWriter(tmp_path, classes) as writer:
            writer.add(Example("x", prediction, target))
            writer.finish(evaluate_maps("x", *maps, Options(classes)).to_dict())
        again = page_examples(tmp_path)
        assert again.classes == classes
        assert (again.load("x").preds == prediction).all()
        assert (again.load("x").target == target).all()

    @pytest.mark.parametrize(
        ("part", "value", "message"),
        [
            ("image", np.zeros((4, 6, 3)), r"uint8 \[4, 6, 3\], got float64 \[4, 6, 3\]"),
            ("image", np.zeros((3, 4, 6), np.uint8), r"uint8 \[4, 6, 3\], got uint8 \[3, 4, 6\]"),
            ("image", torch.zeros(4, 6, 3), "an array, got Tensor"),
            ("preds", np.zeros((4, 6), np.float32), r"integers \[H, W\], got float32 \[4, 6\]"),
            ("preds", None, "an array, got NoneType"),
            ("target", np.zeros((1, 4, 6), int), r"integers \[H, W\], got int64 \[1, 4, 6\]"),
            ("target", np.zeros((4, 5), int), r"the size of preds, \[4, 6\], got int64 \[4, 5\]"),
        ],
    )
    def test_what_is_no_image_is_refused_where_it_is_made(self, part, value, message):
        labels = np.zeros((4, 6), np.int64)
        with pytest.raises(ValueError, match=f"^a: {part}: expected {message}$"):
            Example(**{"name": "a", "preds": labels, "target": labels} | {part: value})

    def test_what_is_not_finished_is_removed(self, tmp_path):
        def stop():
            with ReportWriter(tmp_path / "page", CLASSES) as writer:
                writer.add(Example("x", *(maps.numpy() for maps in maps_of(0))))
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            stop()
        assert not list(tmp_path.rglob("*.*"))

    def test_scores_of_another_size_are_refused(self, tmp_path):
        maps = (m.numpy() for m in maps_of(0))
        with ReportWriter(tmp_path, CLASSES) as writer, pytest.raises(ValueError, match="x: alias"):
            writer.add(Example("x", *maps, aliasing=np.zeros((3, 3))))

    def test_parts_without_scores_add_up(self):
        part = ReportPart()
        part.absorb(ReportPart())
        assert part == ReportPart()

    def test_a_page_of_something_else_is_refused(self, tmp_path):
        with pytest.raises(ResultFileError, match="expected the page of an evaluation"):
            page_examples(tmp_path)


class TestTables:
    def test_the_best_of_several_is_bold_where_it_is_told_from_every_other(self):
        seeds = range(12)
        a, b = result_of(*seeds), other_result_of(*seeds)
        tables = mean_table({"a_b": a, "c": b})
        lines = tables.markdown.splitlines()
        assert lines[2].startswith(r"| a\_b | ")
        metrics = compare_results(a, b)["metrics"]
        for key, cell in zip(metrics, lines[2].strip(" |").split(" | ")[1:], strict=True):
            value = f"{100 * a['metrics'][key]:.1f}"
            assert metrics[key]["told"]
            assert cell == f"**{value}**"
            assert rf" & \textbf{{{value}}} " in tables.latex
        assert "**" not in lines[3]
        note = "Bold is a best value that a paired bootstrap over images tells from every other"
        assert lines[5].startswith(note)
        assert f"% {note}" in tables.latex
        assert len(mean_table({"a": a}).markdown.splitlines()) == 3

    def test_a_best_value_that_is_not_told_from_one_other_is_not_bold(self):
        seeds = range(12)
        a, b = result_of(*seeds), other_result_of(*seeds)
        near = other_result_of(*seeds, flipped=[0])
        assert a["metrics"]["mIoU"] > near["metrics"]["mIoU"] > b["metrics"]["mIoU"]
        for results in ({"a": a, "near": near}, {"near": near, "a": a, "b": b}):
            table = mean_table(results).markdown
            assert "**" not in table
            assert "Bold is a best value that" in table

    @pytest.mark.parametrize("number", [11, 12])
    def test_no_value_is_bold_where_margins_are_not_known_or_images_are_few(self, number):
        a, b = result_of(*range(number)), other_result_of(*range(number))
        del b["per_image"][0]["margins"]
        b["per_image"][0]["no_margins"] = "a|b\nc"
        for results in ({"a": a, "b": b}, {"b": b, "a": a}, {"c": a, "a": a, "b": b}):
            tables = mean_table(results)
            assert "**" not in tables.markdown
            why = f"the margins of 1 of {number} images are not known: a"
            assert f"\n\nNo best value is bold: {why}\\|b\\\\nc.\n" in tables.markdown
            assert f"% No best value is bold: {why}|b\\nc.\n" in tables.latex
        few = mean_table({"a": result_of(0), "b": other_result_of(0)}).markdown
        assert "No best value is bold: expected at least 10 images, got 1." in few

    def test_the_groups_of_one_result_are_those_of_all(self):
        seeds = range(20)
        a, b = result_of(*seeds), other_result_of(*seeds)
        near = other_result_of(*seeds, flipped=[0])
        pairs, threes = copy.deepcopy(b), copy.deepcopy(near)
        for row, other, seed in zip(pairs["per_image"], threes["per_image"], seeds, strict=True):
            row["group"], other["group"] = str(seed // 2), str(seed // 3)
        expected = mean_table({"a": put_groups(a, pairs), "b": pairs, "c": put_groups(near, pairs)})
        found = mean_table({"a": a, "b": pairs, "c": near})
        assert found == expected
        assert "a paired bootstrap over groups tells" in found.markdown
        for results in ({"a": a, "b": pairs, "c": threes}, {"b": pairs, "c": threes}):
            with pytest.raises(ResultFileError, match="expected the same groups in all results"):
                mean_table(results)

    def test_a_figure_that_one_lacks_is_told_from_the_others(self):
        seeds = range(12)
        a, b = result_of(*seeds), other_result_of(*seeds)
        lacking = put(b, "metrics.FErr", None)
        assert mean_table({"a": a, "b": b, "c": lacking}).markdown.count("**") == 12
        alone = mean_table({"a": a, "c": lacking}).markdown
        assert alone.splitlines()[2].count("**") == 10

    def test_results_of_other_images_have_no_best(self):
        results = {"a": result_of(0), "b": result_of(1)}
        with pytest.raises(ResultFileError, match="expected the same images in both"):
            mean_table(results)
        assert "No best value is bold: the results can't be" in mean_table(results, bold=False)[0]

    def test_names_do_not_break_the_tables(self):
        tables = class_table(result_of(0, 1))
        rows = tables.markdown.splitlines()
        assert len(rows) == 2 + len(CLASSES) + 1
        assert all(row.count(" | ") == 6 for row in rows)
        assert escape_markdown(HOSTILE_CLASS) in rows[3]
        assert "<b" not in tables.markdown
        for name in ("[1in] a", "*", "  [x]"):
            result = put(result_of(0), "classes.1.name", name)
            assert f"\n{{}}{name} & " in class_table(result).latex
        assert r"\textless{}b title={''}x{''}\textgreater{}pole \& \$x\_1\$" in tables.latex

    def test_special_characters_are_escaped(self):
        assert escape_latex("\\{a}~^") == (
            r"\textbackslash{}\{a\}\textasciitilde{}\textasciicircum{}"
        )
        assert escape_latex("a\nb") == r"a\textbackslash{}nb"
        assert escape_markdown("a|*b*`c`\n") == r"a\|\*b\*\`c\`\\n"


class _Examples:
    classes = CLASSES
    names = ("image_0", "image_1")

    def load(self, name):
        maps = (m.numpy() for m in maps_of(int(name[-1])))
        image = np.zeros((40, 56, 3), np.uint8) if name == "image_0" else None
        return Example(name, *maps, image)


def test_figures_say_where_a_value_is_undefined():
    result = put(result_of(0, 1), "classes.0.MErr", None)
    result = put(result, "error_shares.interior", None)
    result = put(result, "mIoU_gain.interior", -0.012)
    figure = Figure()
    figures._draw_kinds(figure, result)
    shares, gains = ([text.get_text() for text in axis.texts] for axis in figure.axes)
    assert shares[3] == DASH
    assert gains[3] == MINUS + "1.2"
    figure = Figure()
    figures._draw_classes(figure, result)
    assert [text.get_text() for text in figure.axes[0].texts if text.get_text()] == [DASH]


@pytest.mark.parametrize("absent", [{1}, {*range(len(CLASSES))}])
def test_classes_that_are_not_there_are_left_out_of_figures(absent, tmp_path):
    result = result_of(0, 1)
    for index in absent:
        for key in ("IoU", "FErr", "MErr", "DErr"):
            result = put(result, f"classes.{index}.{key}", None)
    figure = Figure()
    figures._draw_classes(figure, result)
    shown = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert shown == [name for index, name in enumerate(CLASSES.names) if index not in absent]
    assert len(write_figures(tmp_path, result)) == 6


def test_figures_below_a_file_are_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file/in: can't be written: Not a directory"):
        write_figures(tmp_path / "file" / "in", result_of(0, 1))
    assert len(write_figures(tmp_path / "a" / "b", result_of(0, 1))) == 6


def test_figures_are_drawn_in_three_formats(tmp_path):
    result = result_of(0, 1)
    files = write_figures(tmp_path, result, _Examples(), prefix="p_")
    names = {f"p_{name}.{s}" for name in ("errors", "classes", "strips") for s in FORMATS}
    assert {path.name for path in files} == names == {path.name for path in tmp_path.iterdir()}
    assert (tmp_path / "p_classes.pdf").read_bytes().startswith(b"%PDF")
    strips = np.asarray(Image.open(tmp_path / "p_strips.png").convert("RGB"))
    legend = {tuple(pixel) for pixel in strips[-40:].reshape(-1, 3).tolist()}
    assert {*ERROR_COLORS.values()} <= legend
    svg = (tmp_path / "p_classes.svg").read_text()
    assert "<script" not in svg
    assert "</script" not in svg.replace("&lt;/script", "")
