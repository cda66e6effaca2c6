import numpy as np
import pytest
import torch
from PIL import Image

from dealias.files import OutputError
from dealias.labels import ClassSet
from dealias.metrics.functional import count_hard_pixels, error_map
from dealias.report import Example, ReportWriter
from dealias.report.aliasing import AliasingErrors, higher_share, rank_correlation
from dealias.report.drawing import (
    background,
    boundary_bands,
    count_by_class,
    count_by_pair,
    label_plane,
)
from dealias.report.folder import PageFolder
from dealias.report.heat import heat_plane, paint_heat
from dealias.report.packing import pack, to_script
from dealias.report.rendering import number, percent, render, signed
from dealias.report.sections import distributions, spectrum
from dealias.report.shifts import shift_section
from helpers import band, paper_edges, random_maps
from reports import script_arguments, unpacked


def test_planes_come_back():
    rng = np.random.default_rng(0)
    planes = {
        "target": rng.integers(0, 256, (7, 5), dtype=np.uint8),
        "prediction": rng.integers(0, 65536, (7, 5), dtype=np.uint16),
    }
    script = to_script("f", "key", pack(planes))
    key, packed = script_arguments("f", script)
    assert key == "key"
    for name, plane in unpacked(packed).items():
        assert plane.dtype == planes[name].dtype
        assert (plane == planes[name]).all()


def test_a_script_holds_no_code():
    script = to_script("f", "</script><script>alert(1)</script>\u2028", {"é": 1})
    assert script.isascii()
    assert script_arguments("f", script) == ["</script><script>alert(1)</script>\u2028", {"é": 1}]


def test_pixels_are_counted_by_class():
    rng = np.random.default_rng(1)
    columns = rng.integers(0, 3, (9, 9))
    first, second = (rng.integers(0, 5, (9, 9)) for _ in range(2))
    totals, flat = count_by_class(columns, (first, second), 6, 2)
    assert totals == tuple(int((columns == column).sum()) for column in (1, 2))
    expected = []
    for label in range(6):
        seen = (first == label) | (second == label)
        counts = [int(((columns == column) & seen).sum()) for column in (1, 2)]
        expected += [label, *counts] if any(counts) else []
    assert list(flat) == expected


def test_wrong_pixels_are_counted_by_pair_of_classes():
    target = np.array([[2, 2, 2, 255], [0, 0, 2, 1]])
    prediction = np.array([[1, 1, 0, 1], [2, 0, 1, 1]])
    columns = np.array([[1, 2, 1, 0], [2, 0, 1, 0]])
    assert count_by_pair(columns, target, prediction, 2).tolist() == [
        [0, 2, 0, 1],
        [2, 0, 1, 0],
        [2, 1, 2, 1],
    ]
    assert count_by_pair(0 * columns, target, prediction, 2).shape == (0, 4)


def test_void_is_the_number_behind_the_classes():
    classes = ClassSet("two", ("a", "b"))
    assert label_plane(np.array([[0, 255, 1]]), classes).tolist() == [[0, 2, 1]]
    many = ClassSet("many", tuple(map(str, range(255))))
    assert label_plane(np.array([[0, 255, 254]]), many).tolist() == [[0, 255, 254]]
    more = ClassSet("more", tuple(map(str, range(300))), ignore_index=999)
    plane = label_plane(np.array([[299, 999]]), more)
    assert plane.tolist() == [[299, 300]]
    assert plane.dtype == np.uint16


def test_the_bands_are_those_of_the_counts():
    preds, target = random_maps(2, 40, 50, classes=6)
    counting = {"num_classes": 6, "ignore_index": 255, "band_width": 15, "protocol": "paper"}
    found = boundary_bands(preds.numpy(), target.numpy(), counting)
    expected = band(paper_edges(preds), 15) | band(paper_edges(target), 15)
    assert (found == expected).all()
    errors = error_map(preds, target, **counting).numpy()
    assert found[(errors > 0) & (errors < 4)].all()
    interior = count_hard_pixels(preds, target, **counting).confusion[0]
    assert ((errors == 4) & ~found).sum() == interior.sum() - torch.diagonal(interior).sum()


def test_the_distributions_fill_their_boxes():
    counts = np.zeros((6, 1000), np.int64)
    counts[0, 100:200] = 5
    counts[3, 150:300] = 7
    drawn = distributions(AliasingErrors(counts).to_dict())
    assert drawn["groups"][0]["title"] == "Right at boundaries"
    assert drawn["ticks"][0]["label"] == "0"
    assert float(drawn["ticks"][-1]["label"]) == pytest.approx(0.09)
    assert drawn["groups"][0]["median"] == pytest.approx(50, abs=0.5)
    assert drawn["groups"][1]["median"] is None


def test_the_spectrum_is_cut_at_the_nyquist_frequency():
    drawn = spectrum({"spectrum": [1.0, 0.1, 0.01, 0.001]}, 0.25)
    assert drawn["cutoff"] == f"{44 + (292 - 44) / 2:.1f}"
    assert drawn["beyond"].startswith(f"M{drawn['cutoff']}")
    assert [tick["label"] for tick in drawn["powers"]] == ["1e-3", "1e-2", "1e-1", "1"]
    assert spectrum({"spectrum": []}, 0.25) is None
    assert spectrum({}, 0.25) is None


def test_numbers_for_people():
    assert [percent(0.12345), percent(None)] == ["12.35", "\u2013"]
    assert [signed(0.01), signed(-0.01), signed(-1e-9)] == ["+1.00", "\u22121.00", "+0.00"]
    assert number(-0.5) == "\u22120.500"


def test_text_in_templates_is_escaped():
    context = {
        "title": "<i>x</i>",
        "heading": "<i>",
        "facts": ["<b>"],
        "sections": [],
        "warnings": ["<em>"],
        "skipped": ["<u>"],
        "environment": {"<a>": "<s>"},
    }
    page = render("_base.html", False, context)
    for tag in ("<i>", "<b>", "<em>", "<u>", "<a>", "<s>"):
        assert tag not in page
    assert "&lt;i&gt;x&lt;/i&gt;" in page
    assert '<p class="notice">&lt;em&gt;</p>' in page
    assert "default-src 'none'; script-src 'self'" in page


class TestPageFolder:
    def test_a_page_replaces_the_one_before(self, tmp_path):
        for text in ("first", "second"):
            with PageFolder(tmp_path / "page") as folder:
                folder.write("data.js", text.encode())
                folder.finish(text)
            assert (tmp_path / "page" / "index.html").read_text() == text
            assert (tmp_path / "page" / "assets" / "data.js").read_text() == text
        assert {path.name for path in (tmp_path / "page").iterdir()} == {
            "index.html",
            "assets",
            ".dealias-manifest",
        }

    def test_an_interrupt_leaves_the_page_as_it_was(self, tmp_path):
        def write(path):
            with PageFolder(path) as folder:
                folder.write("data.js", b"new")
                raise KeyboardInterrupt

        with PageFolder(tmp_path / "old") as folder:
            folder.write("data.js", b"old")
            folder.finish("old")
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path / "old")
        assert (tmp_path / "old" / "assets" / "data.js").read_text() == "old"
        assert not (tmp_path / "old" / "assets.part").exists()
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path / "new")
        assert not (tmp_path / "new").exists()

    def test_assets_of_something_else_are_not_touched(self, tmp_path):
        (tmp_path / "assets").mkdir()
        (tmp_path / "assets" / "mine.txt").write_text("mine")
        with pytest.raises(OutputError, match=r"mine\.txt, which dealias did not write"):
            PageFolder(tmp_path).begin()
        assert (tmp_path / "assets" / "mine.txt").read_text() == "mine"


def test_scripts_and_styles_are_as_the_policy_wants(tmp_path):
    folder = PageFolder(tmp_path)
    folder.begin()
    for path in folder.new.glob("*.js"):
        text = path.read_text()
        for banned in ("innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "new Function"):
            assert banned not in text, path.name
    assert "url(" not in (folder.new / "report.css").read_text()


def test_heat_is_painted_where_there_is_some():
    scores = np.array([[0, 0.25, 1, np.nan]], np.float32)
    assert heat_plane(scores).tolist() == [[0, 127, 254, 255]]
    painted = paint_heat(scores, np.full((1, 4, 3), 200, np.uint8))
    assert painted.dtype == np.uint8
    assert painted[0].tolist() == [[70] * 3, [183, 55, 121], [252, 253, 191], [20] * 3]


def test_void_is_black_under_what_is_unstable(tmp_path):
    classes = ClassSet("two", ("a", "b"), palette=((0, 0, 0), (255, 255, 255)))
    target = np.zeros((40, 60), np.uint8)
    target[:, :20], target[:, 40:] = 255, 1
    unstable = np.zeros((40, 60), np.float32)
    with ReportWriter(tmp_path / "page", classes) as writer:
        writer.add(Example("one", np.zeros_like(target), target, unstable=unstable))
        [path] = (writer.folder.new / "unstable").glob("*.webp")
        drawn = np.asarray(Image.open(path).convert("L"))
    assert drawn[:, :16].max() < 20
    assert drawn[:, 44:].min() > 60
    assert np.array_equal(background(None, target, classes), classes.paint(target))


def test_aliasing_and_instability_are_told_over_the_same_pixels():
    """A score that is the same as the instability finds errors as well, everywhere too."""
    random = np.random.default_rng(0)
    errors = random.choice([0, 0, 0, 1, 2, 3, 4], (40, 40)).astype(np.uint8)
    boundary = (errors != 4) & (random.random((40, 40)) < 0.5) | np.isin(errors, (1, 2, 3))
    counts = AliasingErrors.of(random.random((40, 40)) ** 2, errors, boundary).counts
    finding = {
        where: {"AUROC": higher_share(*groups), "rank_correlation": rank_correlation(*groups)}
        for where, groups in {
            "boundary": (counts[0], counts[1:4].sum(0)),
            "all": (counts[0] + counts[-1], counts[1:-1].sum(0)),
        }.items()
    }
    agreement = dict.fromkeys(("agreement", "agreement_preds_band", "agreement_target_band"), 0.9)
    result = {
        "shifts": agreement
        | {"classes": [{"name": "a"} | agreement], "per_image": []}
        | {"errors_against_instability": finding},
        "errors_against_aliasing": AliasingErrors(counts).to_dict(),
    }
    instability, aliasing = shift_section(result, ClassSet("none", ("a",)), {})["finders"]
    for where in ("boundary", "all"):
        assert aliasing[where] == instability[where]
