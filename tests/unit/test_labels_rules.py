"""Pairing by patterns and by a table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dealias.evaluation import Sources
from dealias.inputs import leads_out
from dealias.labels import PairingError, PairingRule, load_class_set, pair_folders


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def listed(pairing, folders):
    return {
        pair.name: (
            pair.prediction.relative_to(folders[0]).as_posix(),
            pair.target.relative_to(folders[1]).as_posix(),
        )
        for pair in pairing.pairs
    }


@pytest.fixture
def folders(tmp_path):
    return tmp_path / "p", tmp_path / "t"


def test_patterns_say_which_files_belong_together(folders):
    touch(folders[0], "case_1/net_a.png", "case_1/net_b.png", "case_2/net_a.png", "legend.png")
    touch(folders[1], "1.tif", "2.tif", "3.tif")
    rule = PairingRule("case_{name}/net_b.png", "{name}.tif")
    pairing = pair_folders(*folders, rule)
    assert listed(pairing, folders) == {"1": ("case_1/net_b.png", "1.tif")}
    assert pairing.unpaired == [folders[1] / "2.tif", folders[1] / "3.tif"]
    assert pairing.found_by == "predictions case_{name}/net_b.png with targets {name}.tif"


@pytest.mark.parametrize(
    ("patterns", "pairs"),
    [
        (("{name}_pred", None), {"a/1": ("a/1_pred.png", "a/1.png")}),
        (("{name}_pred.png", "{name}"), {"a/1": ("a/1_pred.png", "a/1.png")}),
        ((None, None), {}),
        (("a/{name}_pred", "a/{name}"), {"1": ("a/1_pred.png", "a/1.png")}),
    ],
)
def test_a_pattern_may_lack_the_suffix_or_be_left_out(patterns, pairs, tmp_path):
    folder = touch(tmp_path, "a/1_pred.png", "a/1.png", "b/1_pred.png", "b/1.png")
    rule = PairingRule(*patterns)
    assert bool(rule) == any(patterns)
    if rule:
        found = listed(pair_folders(folder, folder, rule), (folder, folder))
        assert found == pairs | ({} if "a/" in patterns[0] else {
            "b/1": ("b/1_pred.png", "b/1.png")
        })  # fmt: skip


def test_folders_matter_only_where_names_repeat(folders):
    touch(folders[0], "1_x.png", "2_x.png")
    touch(folders[1], "ulm/1.png", "bonn/2.png")
    rule = PairingRule("{name}_x")
    assert [*listed(pair_folders(*folders, rule), folders)] == ["1", "2"]
    touch(folders[1], "bonn/1.png")
    with pytest.raises(PairingError, match="no pairs: expected names on both sides, got 2 of"):
        pair_folders(*folders, rule)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (("{name}_z",), "p: no label map fits '{name}_z'"),
        (("{name}.png", "{name}.npy"), "t: no label map fits"),
        (("{name}",), "2 files are named 'a'"),
    ],
)
def test_patterns_that_pair_nothing(rule, said, folders):
    touch(folders[0], "a.png", "a.npy")
    touch(folders[1], "a.png")
    with pytest.raises(PairingError, match=said):
        pair_folders(*folders, PairingRule(*rule))


@pytest.mark.parametrize(
    ("pattern", "told"),
    [("{name}_pred", True), ("{name}_pred.jpg", True), ("{name}_pred.png", False), ("x_{name}", 0)],
)
def test_patterns_that_fit_jpeg_alone_say_why_it_is_none(pattern, told, tmp_path):
    touch(tmp_path, "s0_pred.jpg", "s0_gt.png")
    with pytest.raises(PairingError, match=f"no label map fits '{pattern}'") as caught:
        pair_folders(tmp_path, tmp_path, PairingRule(pattern, "{name}_gt"))
    assert ("; JPEG changes labels" in str(caught.value)) == told


def test_one_file_is_not_for_two_sides(tmp_path):
    touch(tmp_path, "a_x.png", "a_y.png")
    with pytest.raises(PairingError, match=r"a_x\.png: fits '{name}_x' and 'a_{name}'"):
        pair_folders(tmp_path, tmp_path, PairingRule("{name}_x", "a_{name}"))


def test_no_file_is_its_own_target_where_one_folder_lies_in_the_other(tmp_path):
    touch(tmp_path, "1.png", "gt/1.png")
    found = pair_folders(tmp_path, tmp_path / "gt", PairingRule("{name}"))
    assert listed(found, (tmp_path, tmp_path)) == {"1": ("1.png", "gt/1.png")}
    assert found.unpaired == []


@pytest.mark.parametrize("pattern", ["pred.png", "{name}{name}", "{Name}", ""])
def test_a_pattern_has_one_name(pattern):
    with pytest.raises(PairingError, match=r"expected \{name\} once"):
        PairingRule(pattern)


def table(tmp_path, text):
    path = tmp_path / "pairs.csv"
    path.write_bytes(text.encode("utf-8-sig"))
    return PairingRule(table=path)


def test_a_table_says_which_files_belong_together(folders, tmp_path):
    text = 'target,prediction,name,note\r\n"a, b.png",x/1.png,,good\nsub/2.png,2.npy,two,\n'
    pairing = pair_folders(*folders, table(tmp_path, text))
    assert listed(pairing, folders) == {
        "two": ("2.npy", "sub/2.png"),
        "x/1": ("x/1.png", "a, b.png"),
    }
    assert pairing.unpaired == []
    assert pairing.found_by == f"pairs of {tmp_path / 'pairs.csv'}"


HEAD = "prediction,target,name\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected a line of heads with prediction and target"),
        ("a.png,b.png\n", "expected a line of heads"),
        ("a.png,b.png\nc.png,d.png\n", r"got \['a.png', 'b.png'\]"),
        (HEAD + "../a.png,b.png\n", r"pair 1: expected paths inside the folders, got '\.\./a.png'"),
        (HEAD + "a.png,/etc/b.png\n", "expected paths inside the folders"),
        (HEAD + "a.png,b.png,../../n\n", "expected paths inside the folders"),
        (HEAD + "a.png\n", "expected paths inside the folders, got None"),
        (HEAD + ".,b.png\n", r"pairs\.csv, pair 1: expected paths inside the folders, got '\.'"),
        (HEAD + "..,b.png\n", r"pair 1: expected paths inside the folders, got '\.\.'"),
        (HEAD + "a.png,./,n\n", r"pair 1: expected paths inside the folders, got '\./'"),
        (HEAD + "a.png,b.png,.\n", r"pair 1: expected paths inside the folders, got '\.'"),
        (HEAD + "a.png,b.png\na.png,c.png,n\n", "pair 2: 'a.png' is listed twice"),
        (HEAD + "a.png,b.png\nc.png,b.png\n", "pair 2: 'b.png' is listed twice"),
        (HEAD + "a.png,b.png,x\n./a.png,c.png,y\n", "pair 2: 'a.png' is listed twice"),
        (HEAD + "d/a.png,b.png,x\nc.png,d.png,./x\n", "pair 2: the name 'x' is given twice"),
        (HEAD + "a.png,b.png\na.npy,c.png\n", "pair 2: the name 'a' is given twice"),
        (HEAD + 'a.png,"b.png\n', "expected CSV in UTF-8"),
    ],
)
def test_tables_that_are_none(text, said, folders, tmp_path):
    with pytest.raises(PairingError, match=said):
        pair_folders(*folders, table(tmp_path, text))


def test_a_table_that_is_not_there_or_no_text(folders, tmp_path):
    with pytest.raises(PairingError, match=r"none\.csv: no such file"):
        pair_folders(*folders, PairingRule(table=tmp_path / "none.csv"))
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PairingError, match="expected CSV in UTF-8"):
        pair_folders(*folders, PairingRule(table=tmp_path / "a.csv"))
    with pytest.raises(PairingError, match="patterns or a table"):
        PairingRule("{name}", table=tmp_path / "a.csv")


@pytest.mark.parametrize("rule", [(), ("{name}_a",), (None, "{name}"), ("{name}", "b/{name}.png")])
def test_a_result_keeps_the_rule(rule, tmp_path):
    made = [PairingRule(*rule), PairingRule(table=tmp_path / "a.csv")]
    for given_rule in made:
        sources = Sources.of(load_class_set("camvid"), tmp_path, tmp_path, rule=given_rule)
        assert Sources.from_dict(sources.to_dict(), "r.json").rule == given_rule
    for wrong in ([], {"pattern": "x"}, {"table": 3}, {"target_pattern": "x"}):
        with pytest.raises(PairingError):
            PairingRule.from_dict(wrong)
        with pytest.raises(ValueError, match=r"^r\.json: sources: pairing: "):
            Sources.from_dict(sources.to_dict() | {"pairing": wrong}, "r.json")


def test_sources_may_lack_the_images(tmp_path):
    sources = Sources.of(load_class_set("camvid"), tmp_path, tmp_path)
    content = {key: value for key, value in sources.to_dict().items() if key != "images"}
    assert Sources.from_dict(content, "r.json") == sources


TEXT = st.text(st.sampled_from("ab_/."), min_size=1, max_size=4)


@given(TEXT, TEXT, st.sets(st.from_regex(r"\A[a-z]{1,3}\Z"), min_size=1, max_size=4))
def test_what_a_pattern_makes_it_pairs(tmp_path_factory, before, after, names):
    pattern = f"{before}{{name}}{after}_x.png"
    paths = [pattern.format(name=name) for name in names]
    if any(leads_out(path) or "/." in f"/{path}" or "//" in f"/{path}" for path in paths):
        return  # hidden files, or no path at all
    root = tmp_path_factory.mktemp("pattern")
    folders = touch(root / "p", *paths), touch(root / "t", *(f"{name}.png" for name in names))
    pairing = pair_folders(*folders, PairingRule(pattern))
    assert listed(pairing, folders) == {
        name: (pattern.format(name=name), f"{name}.png") for name in names
    }
