"""Intervals of evaluations, and the groups that they resample."""

import pytest
import torch

from counted import tables_of
from dealias.evaluation import (
    Evaluation,
    GroupError,
    Options,
    Unit,
    evaluate_maps,
    find_differences,
    margins_from_text,
    read_groups,
)
from dealias.evaluation.image_margins import margins_to_text
from dealias.evaluation.intervals import find_intervals
from dealias.labels import ClassSet
from dealias.metrics.functional import (
    MarginTable,
    figures,
    margins,
    p_values,
    pack_margins,
    share_interval,
    standard_errors,
)
from helpers import random_maps

OPTIONS = Options(ClassSet("five", tuple("abcde")), band_width=3)


def evaluation_of(number, options=OPTIONS):
    total = Evaluation.empty(options.settings)
    for seed in range(number):
        name = f"video{seed % 4}_{seed:02d}"
        total.absorb(evaluate_maps(name, *random_maps(seed, 20, 30, classes=5), options))
    return total


def units_of(tables, groups=None):
    return [
        Unit(pack_margins(margins(table)), "" if groups is None else groups[k])
        for k, table in enumerate(tables)
    ]


def test_intervals_lie_around_the_figures():
    result = evaluation_of(12).to_dict()
    found = result["intervals"]
    assert (found["unit"], found["units"], found["missing"]) == ("image", 12, None)
    assert (found["level"], found["resamples"], found["seed"]) == (0.95, 2000, 0)
    for name, (low, high) in found["metrics"].items():
        assert 0 < low < result["metrics"][name] < high < 1
    for row, limits in zip(result["classes"], found["classes"], strict=True):
        assert limits.pop("name") == row["name"]
        assert all(low < row[name] < high for name, (low, high) in limits.items())


def test_they_are_those_of_the_margins():
    tables = tables_of(30)
    found = find_intervals(tuple(units_of(tables)), 5)
    table = MarginTable.of([unit.margins for unit in units_of(tables)], 5)
    low, high = share_interval(figures(table.total()), standard_errors([table], figures), 30)
    rare = table.support() < 10
    assert torch.allclose(found.low, low.masked_fill(rare, torch.nan), equal_nan=True)
    assert torch.allclose(found.high, high.masked_fill(rare, torch.nan), equal_nan=True)


def test_a_class_of_few_images_has_none():
    tables = torch.randint(1, 50, (20, 4, 2, 2), generator=torch.Generator().manual_seed(0))
    tables[9:, :, 1] = tables[9:, :, :, 1] = 0
    found = find_intervals(tuple(units_of(tables)), 2)
    assert found.low.isnan().tolist() == 6 * [[False, True, False]]


@pytest.mark.parametrize("number", [1, 9])
def test_few_images_have_none(number):
    found = evaluation_of(number).to_dict()["intervals"]
    assert found["missing"] == f"expected at least 10 images, got {number}"
    assert set(found["metrics"].values()) == {None}
    assert all(row[name] is None for row in found["classes"] for name in ("IoU", "DErr"))


def test_images_of_an_earlier_version_have_none():
    evaluation = evaluation_of(12)
    evaluation.images[3] = evaluation.images[3]._replace(margins=None)
    result = evaluation.to_dict()
    missing = "the margins of 1 of 12 images are not known: an earlier version counted them"
    assert result["intervals"]["missing"] == missing
    assert result["fine_grained"] is None
    assert "margins" not in result["per_image"][3]
    assert result["per_image"][3]["no_margins"] == "an earlier version counted them"


class TestGroups:
    def test_they_are_resampled_as_a_whole(self):
        tables = tables_of(48)
        groups = [f"video {k % 12:02d}" for k in range(48)]
        found = find_intervals(tuple(units_of(tables, groups)), 5)
        added = torch.stack([tables[k::12].sum(0) for k in range(12)])
        alone = find_intervals(tuple(units_of(added)), 5)
        assert (found.unit, found.units) == ("group", 12)
        assert torch.equal(found.low.nan_to_num(-1), alone.low.nan_to_num(-1))

    def test_few_groups_have_none(self):
        evaluation = evaluation_of(12)
        evaluation.regroup(read_groups("^video(.)"))
        found = evaluation.to_dict()
        assert found["intervals"]["missing"] == "expected at least 10 groups, got 4"
        assert found["per_image"][5]["group"] == "1"

    def test_options_put_images_into_them(self):
        options = Options(OPTIONS.classes, groups=read_groups("_(.*)"))
        assert evaluation_of(2, options).images[1].group == "01"

    def test_some_images_without_one_are_said(self):
        evaluation = evaluation_of(12)
        evaluation.images[:4] = [row._replace(group="a") for row in evaluation.images[:4]]
        missing = evaluation.to_dict()["intervals"]["missing"]
        assert missing == "8 of 12 images have no group"

    def test_a_pattern_that_misses_an_image_is_refused(self):
        with pytest.raises(GroupError, match="expected a group of each image, got none of 9: v"):
            evaluation_of(12).regroup(read_groups("video[0]"))

    def test_a_pattern_without_parentheses_is_the_group(self):
        assert read_groups("^[a-z]+").of("zurich_01") == "zurich"

    def test_a_file_names_them(self, tmp_path):
        path = tmp_path / "groups.csv"
        path.write_text('\ufeffa_1,first\n"b,1",second\n\na_1,first\n', encoding="utf-8")
        groups = read_groups(str(path))
        assert [groups.of(name) for name in ("a_1", "b,1", "c")] == ["first", "second", ""]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"a,b\nc", "row 2: expected the name of an image and its group, got 1 columns"),
            (b"a,b\na,c", "row 2: a has two groups"),
            (b"a, \n", "row 1: expected the name"),
            (b"\xff\xfe", "expected CSV"),
            (b'"' + b"a" * 200_000, "expected CSV"),
        ],
    )
    def test_files_that_are_none(self, content, message, tmp_path):
        (tmp_path / "g.csv").write_bytes(content)
        with pytest.raises(GroupError, match=rf"g\.csv: {message}"):
            read_groups(str(tmp_path / "g.csv"))

    def test_what_is_neither_is_refused(self):
        for asked in ("(", "(" * 5000, "a" * 5000 + "["):
            with pytest.raises(GroupError, match="no such file, and no regular expression"):
                read_groups(asked)

    @pytest.mark.parametrize("asked", ["groups.csv", "^(a).CSV", "a" * 5000 + ".csv"])
    def test_a_table_that_is_not_there(self, asked, tmp_path):
        with pytest.raises(GroupError, match=r"groups: .*(csv|CSV)': no such file$"):
            read_groups(str(tmp_path / asked))

    def test_a_folder_is_no_table(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "im").mkdir()
        assert read_groups("im").of("im_01") == "im"


class TestDifferences:
    def test_they_are_second_less_first_and_drawn_together(self):
        first, second = tables_of(30, seed=1), tables_of(30, seed=2)
        first[5:], second[5:] = first[5:] + 30, first[5:] + 31
        found = find_differences(units_of(first), units_of(second), 5)
        tables = [
            MarginTable.of([unit.margins for unit in units_of(side)], 5) for side in (first, second)
        ]

        def differ(a, b):
            return figures(b) - figures(a)

        value = differ(*(table.total() for table in tables))
        middle = (found.intervals.low + found.intervals.high) / 2
        assert torch.allclose(middle, value)
        error = standard_errors(tables, differ)
        assert torch.allclose(found.p, p_values(value, error, 30))

    def test_the_same_twice_differs_in_nothing(self):
        units = units_of(tables_of(20))
        found = find_differences(units, units, 5)
        assert found.p.isnan().all()
        assert not found.better.any()
        assert not found.worse.any()

    def test_better_and_worse_are_known_of_few_images_too(self):
        tables = torch.tensor([[[5, 5], [0, 10]], [[9, 1], [0, 10]]])[:, None].repeat(1, 4, 1, 1)
        found = find_differences(units_of(tables[:1]), units_of(tables[1:]), 2)
        assert found.intervals.missing == "expected at least 10 images, got 1"
        assert found.better[0].tolist() == [1, 1, 1]

    def test_nothing_is_known_of_unknown_margins(self):
        found = find_differences(11 * [Unit(None)], units_of(tables_of(11)), 5)
        assert found.intervals.missing.startswith("the margins of 11 of 11 images are not known")
        assert found.better is None


class TestText:
    def test_what_is_written_is_read(self):
        for table in tables_of(6):
            packed = pack_margins(margins(table))
            assert margins_from_text(margins_to_text(packed), 5) == packed

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("1 2", "rows of 13 integers"),
            ("0" + 12 * " 1" + ";", "rows of 13 integers"),
            ("0" + 12 * " -1", "rows of 13 integers"),
            ("0" + 12 * f" {10**17}", "rows of 13 integers"),
            ("5" + 12 * " 1", "classes from 0 to 4"),
            ("1" + 12 * " 1" + ";1" + 12 * " 1", "ascending classes"),
            ("0" + 12 * f" {10**15}", r"at most 2\*\*53"),
            ("0" + 4 * " 2" + 4 * " 1" + 4 * " 2", "no more correct pixels"),
            ("0" + 4 * " 2" + 4 * " 2" + 4 * " 1", "no more correct pixels"),
        ],
    )
    def test_texts_that_are_none(self, text, message):
        with pytest.raises(ValueError, match=message):
            margins_from_text(text, 5)
