"""Several band widths at once."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dealias.evaluation import (
    COVERED,
    CountsFileError,
    Evaluation,
    Options,
    Shard,
    evaluate_maps,
    read_counts,
    write_counts,
)
from dealias.labels import ClassSet
from dealias.metrics.functional import (
    BandWidths,
    banded_confusion,
    count_band_widths,
    count_hard_pixels,
    margins,
    share_in_bands,
)
from dealias.report import ResultFileError, compare_results, read_result, write_figures
from helpers import random_maps

CLASSES = ClassSet("five", tuple("abcde"))
OPTIONS = Options(CLASSES, band_widths="1,3,9,15,41")
SIX = {"mIoU": "IoU"} | {name: name for name in ("BIoU", "BAcc", "FErr", "MErr", "DErr")}


def evaluated(options, seeds=range(3), size=(40, 56)):
    total = Evaluation.empty(options.settings)
    for seed in seeds:
        maps = random_maps(seed, *size, classes=5)
        total.absorb(evaluate_maps(f"image {seed}", *maps, options))
    total.shards.append(Shard(1, 1))
    return total


@pytest.mark.parametrize("protocol", ["paper", "exact"])
@pytest.mark.parametrize("widths", [[1], [3, 7, 15, 31, 63], [5, 5, 9], [1, 41, 301], [129, 131]])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (17, 65), (40, 130)])
def test_each_width_counts_as_it_would_alone(shape, widths, protocol, device):
    maps = [labels.to(device) for labels in random_maps(1, *shape, classes=4)]
    together = count_band_widths(*maps, num_classes=4, band_widths=widths, protocol=protocol)
    for width, found in zip(widths, together, strict=True):
        alone = count_hard_pixels(*maps, num_classes=4, band_width=width, protocol=protocol)
        assert torch.equal(found.confusion, alone.confusion)
        assert torch.equal(found.edges, alone.edges)


@settings(max_examples=50)
@given(
    st.integers(0, 999),
    st.lists(st.integers(0, 40), min_size=1, max_size=6).map(sorted),
    st.sampled_from([torch.uint8, torch.int64]),
)
def test_any_widths_count_as_they_would_alone(seed, radii, dtype):
    maps = [labels.to(dtype) for labels in random_maps(seed, 13, 90, classes=3)]
    widths = [2 * radius + 1 for radius in radii]
    together = count_band_widths(*maps, num_classes=3, band_widths=widths)
    for width, found in zip(widths, together, strict=True):
        alone = banded_confusion(*maps, num_classes=3, band_width=width)
        assert torch.equal(found.confusion, alone)


def test_widths_that_fall_are_refused():
    maps = random_maps(0, 4, 5, classes=2)
    with pytest.raises(ValueError, match="band_widths: expected widths that do not fall, got"):
        count_band_widths(*maps, num_classes=2, band_widths=[3, 1])
    with pytest.raises(ValueError, match="band_width: expected an odd positive integer, got 4"):
        count_band_widths(*maps, num_classes=2, band_widths=[3, 4])


@pytest.mark.parametrize(
    ("text", "size", "pixels"),
    [
        ("3, 7,15", (360, 480), [3, 7, 15]),
        ("0.5%,1%,2.5 %", (360, 480), [3, 7, 15]),  # of 600 pixels: 3, 6 and 15
        ("0.01%,1%", (30, 40), [1, 1]),
        ("100%", (3, 4), [5]),
    ],
)
def test_widths_in_pixels(text, size, pixels):
    widths = BandWidths.parse(text)
    assert widths.in_pixels(*size) == pixels
    assert BandWidths.parse(str(widths)) == widths


@pytest.mark.parametrize(
    "text",
    [
        *("", "a", "3,", "4", "3,3", "7,3", "0", "-1", "1.5", "70001", "9" * 5000),
        *("3,1%", "1%,3", "0%", "101%", "nan%"),
        ",".join(str(2 * n + 1) for n in range(65)),
    ],
)
def test_widths_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match=r"band_widths?: expected ") as caught:
        BandWidths.parse(text)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("protocol", ["paper", "exact"])
def test_curves_are_those_of_separate_evaluations(protocol):
    found = evaluated(replace(OPTIONS, protocol=protocol)).to_dict()["widths"]
    assert (found["unit"], found["widths"]) == ("pixels", [1, 3, 9, 15, 41])
    for at, width in enumerate(found["widths"]):
        alone = evaluated(Options(CLASSES, protocol, width)).to_dict()
        for mean, name in SIX.items():
            assert found["metrics"][mean][at] == alone["metrics"][mean]
            columns = [row[name][at] for row in found["classes"]]
            assert columns == [row[name] for row in alone["classes"]]


def test_shares_of_the_diagonal_are_of_each_image():
    options = replace(OPTIONS, band_widths="5%")
    total = evaluated(options, [0], (30, 40))  # of 50 pixels: 2.5, so 3
    total.absorb(evaluated(options, [1], (60, 80)))  # 5
    tables = [
        banded_confusion(*random_maps(seed, *size, classes=5), num_classes=5, band_width=width)
        for seed, size, width in ((0, (30, 40), 3), (1, (60, 80), 5))
    ]
    assert torch.equal(total.widths[0], margins(sum(tables)))
    found = total.to_dict()["widths"]
    assert (found["unit"], found["widths"]) == ("diagonal", [0.05])


def test_bands_that_hold_a_class():
    target = torch.zeros(60, 60, dtype=torch.uint8)
    target[:, 30:32] = 1  # 2 pixels wide: held by bands of 3
    target[10:20, 40:50] = 2  # 10 pixels: its middle is 5 from the edge
    options = Options(CLASSES, band_width=7, band_widths="1,3,9")
    result = evaluate_maps("one", target, target, options).to_dict()
    assert result["covered_by_bands"] == {"b": 1.0}
    rows = {row["name"]: row for row in result["widths"]["classes"]}
    assert [rows[name]["covered_from"] for name in "abcd"] == [None, 1, 9, None]
    assert rows["c"]["in_bands"] == [(100 - 64) / 100, (100 - 36) / 100, 1]
    assert rows["d"]["in_bands"] == [None, None, None]
    assert COVERED < 1


@pytest.mark.parametrize("seed", range(4))
def test_where_bands_hold_all_biou_is_iou(seed):
    maps = random_maps(seed, 40, 60, classes=5)
    table = banded_confusion(*maps, num_classes=5, band_width=5)
    shares = share_in_bands(margins(table))
    assert (shares == 1).any()
    row = evaluate_maps("one", *maps, Options(CLASSES, band_width=5)).to_dict()["classes"]
    for index in torch.nonzero(shares == 1).flatten().tolist():
        assert row[index]["BIoU"] == row[index]["IoU"]
        assert row[index]["BAcc"] == row[index]["Acc"]


@pytest.fixture
def arrays(tmp_path):
    write_counts(evaluated(OPTIONS), tmp_path / "whole.npz")
    with np.load(tmp_path / "whole.npz") as file:
        return dict(file)


def save(path, arrays, **changed):
    header = json.loads(arrays["header"].tobytes())
    header["settings"] |= changed
    stored = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez_compressed(path, **(arrays | {"header": stored}))
    return path


def test_what_is_written_is_read(arrays, tmp_path):
    assert read_counts(save(tmp_path / "a.npz", arrays)).to_dict() == evaluated(OPTIONS).to_dict()


def test_earlier_files_have_no_widths(arrays, tmp_path):
    header = json.loads(arrays["header"].tobytes())
    del header["settings"]["band_widths"]
    del arrays["widths"]
    stored = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez_compressed(tmp_path / "a.npz", **(arrays | {"header": stored}))
    assert "widths" not in read_counts(tmp_path / "a.npz").to_dict()


def _as_it_is(arrays):
    pass


def shift_a_pixel(arrays):
    arrays["widths"][0, 1, 0, 0] -= 1
    arrays["widths"][0, 1, 0, 1] += 1


def too_many_right(arrays):
    right_and_predicted = arrays["widths"][0, ::2]
    right_and_predicted[:, 0] += right_and_predicted[:, 3]
    right_and_predicted[:, 3] = 0


@pytest.mark.parametrize(
    ("change", "header", "message"),
    [
        (lambda a: a.pop("widths"), {}, "lacks 'widths'"),
        (lambda a: a.update(widths=a["widths"][:2]), {}, "widths: expected int64 of shape"),
        (shift_a_pixel, {}, "widths: expected the pixels of the table of counts"),
        (too_many_right, {}, "widths: expected no more right pixels than pixels"),
        (_as_it_is, {"band_widths": "1,3"}, "widths: expected int64 of shape"),
        (_as_it_is, {"band_widths": "4"}, "band_width: expected an odd"),
        (_as_it_is, {"band_widths": [3]}, "band_widths: expected text"),
    ],
)
def test_files_that_contradict_themselves_are_refused(change, header, message, arrays, tmp_path):
    change(arrays)
    with pytest.raises(CountsFileError, match=rf"a\.npz: expected counts .*{message}"):
        read_counts(save(tmp_path / "a.npz", arrays, **header))


def test_the_result_is_read_and_its_lies_refused(tmp_path):
    result = json.loads(json.dumps(evaluated(OPTIONS).to_dict()))
    path = tmp_path / "r.json"
    path.write_text(json.dumps(result))
    assert read_result(path) == result
    for key, value, message in (
        ("widths", [3, 3, 9, 15, 41], "widths.widths: expected one or more that rise"),
        ("widths", [0, 3, 9, 15, 41], "widths.widths: expected widths above 0, got 0"),
        ("widths", [1, 3], "widths: expected curves of 2 values"),
        ("unit", "miles", "widths.unit: expected one of diagonal, pixels"),
        ("metrics", {}, "widths.metrics: lacks 'mIoU'"),
    ):
        lie = result | {"widths": result["widths"] | {key: value}}
        path.write_text(json.dumps(lie))
        with pytest.raises(ResultFileError, match=message):
            read_result(path)


def test_curves_are_compared_where_both_have_the_same_widths():
    a, b = evaluated(OPTIONS).to_dict(), evaluated(OPTIONS).to_dict()
    found = compare_results(a, b)["widths"]
    assert found == {"unit": "pixels", "widths": [1, 3, 9, 15, 41]} | dict.fromkeys(
        "ab", a["widths"]["metrics"]
    )
    other = evaluated(replace(OPTIONS, band_widths="3")).to_dict()
    compared = compare_results(a, other)
    assert compared["widths"] is None
    assert any("the widths differ" in note for note in compared["notes"])
    plain = compare_results(a, evaluated(Options(CLASSES)).to_dict())
    assert plain["widths"] is None
    assert not any("widths" in note for note in plain["notes"])


def test_the_curves_are_a_figure(tmp_path):
    pytest.importorskip("matplotlib")
    names = [path.name for path in write_figures(tmp_path, evaluated(OPTIONS).to_dict())]
    assert {"widths.pdf", "widths.svg", "widths.png"} <= {*names}
