"""Pairing by what all files of a side begin and end with."""

import re
from itertools import product

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dealias.labels import PairingError, find_images, pair_folders, pair_images
from dealias.labels.affixes import match_readings, read_names
from dealias.labels.naming import is_known, role_within

BASES = ["0001", "0002", "12"]


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def laid_out(folder, predictions, targets):
    return touch(folder / "p", *predictions), touch(folder / "t", *targets)


@pytest.mark.parametrize(
    ("prediction", "target", "found_by"),
    [
        ("pred_{}.png", "{}.png", "predictions pred_{name} with targets {name}"),
        ("{}.jpg.png", "{}.png", "predictions {name}.jpg with targets {name}"),
        ("{}/pred.png", "{}.png", "predictions {name}/pred with targets {name}"),
        ("{}/pred.png", "{}/gt.png", "predictions {name}/pred with targets {name}/gt"),
        ("pred_{}.png", "val/mask_{}.tif", "predictions pred_{name} with targets mask_{name}"),
        ("unet-{}-argmax.npy", "{}_mask.png", None),
        ("unet_{}.png", "gt_{}.png", "predictions unet_{name} with targets gt_{name}"),
        ("pred{}.png", "mask{}.png", "predictions pred{name} with targets mask{name}"),
        ("{}_soft.png", "{}.png", "predictions {name}_soft with targets {name}"),
        ("run 7/{}/final.png", "{}/ground_truth.png", None),
    ],
)
def test_prefixes_suffixes_and_folders_are_found(prediction, target, found_by, tmp_path):
    files = [[pattern.format(base) for base in BASES] for pattern in (prediction, target)]
    folders = laid_out(tmp_path, *files)
    pairing = pair_folders(*folders)
    assert [pair.name for pair in pairing.pairs] == BASES
    for pair in pairing.pairs:
        assert pair.prediction == folders[0] / prediction.format(pair.name)
        assert pair.target == folders[1] / target.format(pair.name)
    assert pairing.unpaired == []
    assert pairing.found_by == found_by or found_by is None


def test_known_endings_come_first_and_need_no_notice(tmp_path):
    pairing = pair_folders(*laid_out(tmp_path, ["a_1_pred.png"], ["a_1.png", "1.png"]))
    assert [(pair.name, pair.target.name) for pair in pairing.pairs] == [("a_1", "a_1.png")]
    assert pairing.found_by == ""


def test_more_targets_than_predictions_are_listed(tmp_path):
    folders = laid_out(tmp_path, ["unet_1.png", "unet_2.png"], ["1.png", "2.png", "3.png"])
    pairing = pair_folders(*folders)
    assert [pair.name for pair in pairing.pairs] == ["1", "2"]
    assert pairing.unpaired == [folders[1] / "3.png"]


@pytest.mark.parametrize(
    ("predictions", "targets", "said"),
    [
        (["aachen_1.png", "aachen_2.png"], ["ulm_1.png", "ulm_2.png"], "unknown words on both"),
        (["2007_1.png", "2007_2.png"], ["2008_1.png", "2008_2.png"], "2007_{name} with targets"),
        (["a_b.png"], ["a.png", "b.png"], "several ways to pair them: predictions {name}_b"),
        (
            ["x_112.png", "x_13.png"],
            ["12.png", "3.png"],
            "predictions {name} or x_{name} with targets {name}",
        ),
        (["unet_1.png", "unet_7.png"], ["1.png", "8.png"], "tried names"),
        (["frame1.png"], ["0001.png"], "--pairs, say which belong together"),
        (["unet_1.png", "unet_1.npy"], ["1.png"], "targets {name}"),
    ],
)
def test_what_may_be_wrong_is_refused(predictions, targets, said, tmp_path):
    with pytest.raises(PairingError, match=f"^no pairs: .*{re.escape(said)}"):
        pair_folders(*laid_out(tmp_path, predictions, targets))


def test_training_data_is_paired_the_same_way(tmp_path):
    images, labels = laid_out(tmp_path, ["img_1.jpg", "img_2.jpg"], ["lbl-1.png", "lbl-2.png"])
    found = pair_images(images, labels).samples
    assert [(s.name, s.image.name, s.label.name) for s in found] == [
        ("1", "img_1.jpg", "lbl-1.png"),
        ("2", "img_2.jpg", "lbl-2.png"),
    ]
    images, labels = laid_out(tmp_path / "other", ["ulm_1.jpg"], ["bonn_1.png"])
    with pytest.raises(PairingError, match="unknown words") as refused:
        pair_images(images, labels)
    assert "--pairs" not in str(refused.value)  # an option of evaluate


def test_photographs_with_a_prefix_are_found_if_all_are(tmp_path):
    touch(tmp_path, "cam_1.jpg", "cam_2.jpg", "cam_3.jpg")
    found = find_images(tmp_path, ["a/1", "b/3"])
    assert {name: path.name for name, path in found.items()} == {
        "a/1": "cam_1.jpg",
        "b/3": "cam_3.jpg",
    }
    assert find_images(tmp_path, ["1", "4"]) == {}


@pytest.mark.parametrize("layout", ["{}/{}.png", "{1}/{0}.png", "{}_{}.png", "x/{}-{}.png"])
def test_one_folder_by_words_at_any_place(layout, tmp_path):
    kinds = ("predictions", "gt", "image")
    touch(tmp_path, *(layout.format(kind, base) for kind in kinds for base in BASES), "notes.png")
    pairing = pair_folders(tmp_path, tmp_path)
    assert [pair.name for pair in pairing.pairs] == BASES
    assert all(
        pair.prediction == tmp_path / layout.format("predictions", pair.name)
        and pair.target == tmp_path / layout.format("gt", pair.name)
        for pair in pairing.pairs
    )
    assert pairing.unpaired == [tmp_path / "notes.png"]


def test_words_say_what_they_are(tmp_path):
    assert [is_known(text) for text in ("", "_pred_", "gt-mask.png", "predx", "1_pred")] == [
        True, True, True, False, False,
    ]  # fmt: skip
    roles = ("pred_1.png", "x/1_gt.png", "sat/7.png", "gt/1_pred.png", "predator_1.png")
    found = [role_within((tmp_path / name).relative_to(tmp_path)) for name in roles]
    assert found == ["prediction", "target", "image", "prediction", None]


KEY = st.lists(
    st.sampled_from(["a", "b", "1", "2", "12", "_", "/", "-", "pred", "gt"]), min_size=1, max_size=5
).map("".join)
KEYS = st.sets(KEY, min_size=1, max_size=4)


def starts(key, start):
    """Whether a name may start so far into a key: said the long way."""
    if start == 0:
        return True
    last, first = key[start - 1], key[start]
    if first in "_/-":
        return False
    return last in "_/-" or (last in "12") != (first in "12")


def slow_readings(keys):
    """Every prefix and suffix of every length."""
    longest = max(map(len, keys))
    for before, after in product(range(longest), repeat=2):
        if len({(key[:before], key[len(key) - after :]) for key in keys}) == 1 and all(
            before + after < len(key) and starts(key, before) and starts(key[::-1], after)
            for key in keys
        ):
            key = min(keys)
            known = is_known(key[:before]) and is_known(key[len(key) - after :])
            yield known, {key[before : len(key) - after]: key for key in keys}


def slow_pairings(first, second):
    """All pairings in which every file of the smaller side has a partner, the known ones alone."""
    found = {True: set(), False: set()}
    for (known_one, one), (known_two, two) in product(slow_readings(first), slow_readings(second)):
        pairs = {(one[name], two[name]) for name in one if name in two}
        if len(pairs) == min(len(first), len(second)):
            found[known_one or known_two].add(frozenset(pairs))
    return found[True] or found[False]


@given(KEYS, KEYS)
def test_readings_match_as_the_slow_oracle_does(first, second):
    readings = [read_names({key: key for key in sorted(keys)}) for keys in (first, second)]
    matches = match_readings(*readings)
    assert {frozenset(match.files.values()) for match in matches} == slow_pairings(first, second)


@given(
    st.sets(st.from_regex(r"\A[a-z]{0,2}[0-9]{1,3}\Z"), min_size=2, max_size=5),
    st.sampled_from(["{}", "pred_{}", "{}/out", "unet-{}", "{}.jpg", "x/{}_y"]),
    st.sampled_from(["{}", "gt_{}", "{}/mask", "{}_labels"]),
)
def test_no_pairing_is_ever_wrong(names, prediction, target):
    """Two names or more: the right pairs, or none."""
    sides = [
        read_names({pattern.format(name): name for name in sorted(names)})
        for pattern in (prediction, target)
    ]
    matches = match_readings(*sides)
    assume(len(matches) == 1)
    assert all(one == two for one, two in matches[0].files.values())


def test_many_files_take_no_time_beyond_their_number():
    keys = {f"a_b_c_{number}_d": number for number in range(20_000)}
    assert len(read_names(keys)) == 8
    assert len(read_names({"_".join("ab" * 100): 0})) <= 256


def test_the_name_of_a_pair_stays_in_its_folder(tmp_path):
    folders = laid_out(tmp_path, ["a_../b.png", "a_../c.png"], ["x/b.png", "x/c.png"])
    assert [pair.name for pair in pair_folders(*folders).pairs] == ["b", "c"]
    assert [reading.pattern for reading in read_names({"a_../b": 1, "a_../c": 2})] == [
        "{name}",
        "a_../{name}",
    ]
