import contextlib
import io
import json
import re
import shlex
from pathlib import Path

import pytest

from dealias.cli import main
from dealias.demo import run

START = Path(__file__).parents[2] / "docs" / "start.md"


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The folder of a demonstration, and what it printed."""
    folder, printed = tmp_path_factory.mktemp("start") / "demo", io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main(["demo", "--folder", str(folder), "--scenes", "2", "--steps", "2"]) == 0
    return folder, printed.getvalue()


def test_it_trains_both_networks_and_prints_them_side_by_side(demo, tmp_path):
    folder, printed = demo
    lines = printed.splitlines()
    for name in ("plain", "de-aliased"):
        rows = [line.split() for line in lines if name in line and line.startswith("│")]
        values = [float(word) for word in rows[0] if word[0].isdigit()]
        whole = json.loads((folder / name / "test" / "result.json").read_text())
        result = whole["metrics"]
        metrics = ("mIoU", "BIoU", "BAcc", "FErr", "MErr", "DErr")
        assert values == pytest.approx([100 * result[metric] for metric in metrics], abs=0.005)
        steady = [float(word) for word in rows[2] if word[0].isdigit()]
        keys = ("agreement", "agreement_target_band", "agreement_preds_band")
        noisy = json.loads((folder / name / "noise" / "result.json").read_text())
        expected = [*(whole["shifts"][key] for key in keys), noisy["metrics"]["mIoU"]]
        assert steady == pytest.approx([100 * value for value in expected], abs=0.005)
        assert noisy["noise"] == 20
        evaluate = ["evaluate", "--predictions", str(folder / name / "test" / "predictions")]
        evaluate += ["--targets", str(folder / "labels"), "--classes", "scenes"]
        assert main([*evaluate, "--output", str(tmp_path / "again.json"), "--overwrite"]) == 0
        assert json.loads((tmp_path / "again.json").read_text())["metrics"] == result


def test_the_first_page_goes_on_with_what_it_left(demo, monkeypatch):
    monkeypatch.chdir(demo[0].parent)
    text = START.read_text(encoding="utf-8").replace("\\\n", " ")
    calls = re.findall(r"^dealias (.*demo/.*)", text, re.MULTILINE)
    assert [call.split()[0] for call in calls] == ["evaluate", "compare", "probe"]
    for call in calls:
        assert main(shlex.split(call)) == 0, call
    assert Path("demo/report/index.html").is_file()


@pytest.mark.parametrize(
    ("change", "argument"),
    [({"scenes": 0}, "scenes"), ({"steps": 0}, "steps"), ({"seed": -1}, "seed")],
)
def test_bad_arguments_write_nothing(tmp_path, change, argument):
    with pytest.raises(ValueError, match=f"^{argument}: expected"):
        run(tmp_path / "new", **change)
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_filters_steady_the_predictions_of_the_demonstration(tmp_path):
    results = run(tmp_path / "demo")
    plain, steadier = results["plain"], results["de-aliased"]
    for tested in (plain, steadier):
        assert tested.clean.to_dict()["metrics"]["mIoU"] > 0.3
    for figure in ("agreement", "agreement_target_band", "agreement_preds_band"):
        assert steadier.agreement[figure] > plain.agreement[figure]
