"""How well instability finds errors, against a case worked by hand."""

import pytest
import torch

pytest.importorskip("pytorch_lightning")

from dealias.engine.shifts import ShiftTest, _Part, _spread
from dealias.evaluation import Options
from dealias.labels import ClassSet
from dealias.probe import ShiftMap
from dealias.report import AliasingErrors


def test_instability_against_errors():
    """Of 8 pixels at the only boundary 2 are wrong, one of them unstable, and no right one is."""
    target = torch.tensor([[0] * 6 + [1] * 6] * 2)
    preds = target.clone()
    preds[:, 6] = 0  # wrong in both rows
    changed = torch.zeros_like(target)
    changed[0, 6] = 2
    compared = torch.full_like(target, 2)
    part = _Part(torch.zeros(3, 2, 2, dtype=torch.int64))
    options = Options(ClassSet("two", ("a", "b")), "exact", 3)
    found = ShiftMap(preds, changed, compared)
    ShiftTest(2)._count(part, "one", found, target, options)
    interior = AliasingErrors.empty()
    interior.counts[-2, -1] = 2  # unstable under every shift, away from boundaries
    agreed = ShiftTest(2)._to_dict(_Part(part.counts, part.errors + interior), ("a", "b"))
    finding = agreed["errors_against_instability"]
    assert finding["boundary"]["AUROC"] == 0.75  # one above all right ones, one level with them
    assert finding["all"]["AUROC"] == 0.875
    assert part.counts[0].tolist() == [[28, 20], [26, 20]]
    ((name, table),) = part.images
    assert name == "one"
    assert table[0].tolist() == [48, 46]


def test_instability_lies_where_its_window_does():
    found = ShiftMap(
        torch.zeros(2, 3).long(),
        torch.tensor([[1, 0, 0], [0, 0, 2]]),
        torch.full((2, 3), 2),
        (1, 2),
    )
    whole = torch.from_numpy(_spread(found, torch.zeros(3, 5, 7)))
    assert whole[1:3, 2:5].tolist() == [[0.5, 0, 0], [0, 0, 1]]
    assert int(whole.isnan().sum()) == 5 * 7 - 6
