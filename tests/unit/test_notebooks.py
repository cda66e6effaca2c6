"""What notebooks show of results, plans and reports."""

import re
from html import unescape

import torch

from dealias import dealias
from dealias.evaluation import Evaluation, Options, evaluate_maps
from dealias.surgery import find_downsampling
from helpers import random_maps
from networks import Block
from reports import CLASSES, HOSTILE_CLASS


def cells(html):
    rows = re.findall(r"<tr>(.*?)</tr>", html)
    return [re.findall(r"<t[hd]>(.*?)</t[hd]>", row) for row in rows]


def test_a_result_is_a_row_for_each_class_and_the_mean():
    options = Options(CLASSES)
    total = Evaluation.empty(options.settings)
    total.absorb(evaluate_maps("a", *random_maps(0, 40, 56, classes=5), options))
    head, *rows, mean = cells(total._repr_html_())
    assert head == ["class", "IoU", "Acc", "BIoU", "BAcc", "FErr", "MErr", "DErr"]
    assert [unescape(row[0]) for row in rows] == list(CLASSES.names)
    metrics = total.mean_metrics()
    assert mean == [
        "mean",
        *(
            f"{100 * metrics[key]:.2f}"
            for key in ("mIoU", "mAcc", "BIoU", "BAcc", "FErr", "MErr", "DErr")
        ),
    ]
    assert "1 image, " in total._repr_html_()
    assert not set(re.findall(r"<(\w+)", total._repr_html_())) - {"table", "tr", "th", "td", "p"}
    assert HOSTILE_CLASS not in total._repr_html_()


def test_a_result_of_nothing_has_dashes():
    rows = cells(Evaluation.empty(Options(CLASSES).settings)._repr_html_())
    assert rows[-1] == ["mean", *"-------"]


def test_plans_and_reports():
    images = torch.zeros(1, 16, 32, 32)
    plan = find_downsampling(Block(), images)
    assert cells(plan._repr_html_())[1][0] in str(plan)
    _, report = dealias(Block(), images)
    shown = report._repr_html_()
    assert [row[1] for row in cells(shown)[1:]] == ["daf"]
    assert "train" in shown
    for line in str(report).splitlines()[2:]:
        assert line in shown
