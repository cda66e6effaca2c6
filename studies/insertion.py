"""``python -m studies.insertion CHECKPOINT ...``: filters in trained networks, not trained with.

Checkpoints are of ``dealias fit`` without de-aliasing, of the same network and other seeds. The
figures of each variant say how far the networks live on what a filter takes away, and how much
steadier their output becomes by a filter alone. Writes NAME.json and NAME.md; what is measured
already is not measured again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import dealias
from dealias.data import SegmentationDataModule, Splits
from dealias.environment import commit, environment, hardware
from dealias.evaluation import Evaluation, Options, evaluate_maps
from dealias.files import write_json, write_whole
from dealias.metrics.functional import (
    ARROWS,
    MEAN_FIGURES,
    draw_offsets,
    shift_agreement,
)
from dealias.models import SegmentationModel, convert
from dealias.probe import map_shifts
from dealias.study import UNDEFINED, Figures, Row, markdown, mean_cell, summarise
from dealias.surgery import find_downsampling

RESULTS = Path(__file__).parents[1] / "results" / "insertion"
METRICS = dict(zip(MEAN_FIGURES, ARROWS.values(), strict=True))
AGREEMENT = ("agreement", "agreement_target_band", "agreement_preds_band")
SIGMA, SHIFTS, LARGEST = 20, 5, 32
EXAMPLE = torch.zeros(1, 3, 128, 160)
VARIANTS: dict[str, dict[str, Any] | None] = {
    "no filter": None,
    "before the step": {"place": "before"},
    "after the activation": {"place": "after"},
    "after the activation, half strength": {"place": "after", "strength": 0.5},
    "after the activation, binomial blur": {"place": "after", "filter": "blur"},
}


def site_variants(checkpoint: Path) -> dict[str, dict[str, Any] | None]:
    """A filter at one step alone, for each step: before it, before its block, and after it."""
    backbone = convert(checkpoint).model.backbone
    steps = [s.name for s in find_downsampling(backbone, EXAMPLE, place="after") if not s.reason]
    blocks = [
        s.name
        for s in find_downsampling(backbone, EXAMPLE, place="before", unit="block")
        if not s.reason
    ]
    ways: dict[str, dict[str, Any]] = {
        "before": {"place": "before"},
        "before, cutoff 0.32": {"place": "before", "cutoff": 0.32},
        "after": {"place": "after"},
    }
    variants: dict[str, dict[str, Any] | None] = {
        f"{name}, {way}": {"sites": [name], **options}
        for name in steps
        for way, options in ways.items()
    }
    for name in blocks:
        if name not in steps:
            variants[f"{name}, before the block"] = {
                "sites": [name],
                "place": "before",
                "unit": "block",
            }
    return variants


def measure(checkpoint: Path, variant: Mapping[str, Any] | None, limit: int | None) -> Figures:
    """The six figures, agreement under shifts, and mIoU under noise, as fractions."""
    model = convert(checkpoint).model.eval()
    if variant is not None:
        dealias.dealias(model.backbone, EXAMPLE, inplace=True, **variant)
    found = dict(_figures(model, 0, limit))
    return found | {f"mIoU, noise {SIGMA}": _figures(model, SIGMA, limit)["mIoU"]}


@torch.no_grad()
def _figures(model: SegmentationModel, noise: float, limit: int | None) -> Figures:
    data = SegmentationDataModule(
        name="camvid", splits=Splits(), workers=0, limit=limit, noise=noise
    )
    options, mean, std = Options(data.classes), *map(torch.tensor, (model.mean, model.std))
    total = Evaluation.empty(options.settings)
    counts = torch.zeros(3, 2, len(data.classes), dtype=torch.int64)

    def predict(view: Tensor) -> Tensor:
        x = (view.float() / 255 - mean[:, None, None]) / std[:, None, None]
        scores: Tensor = model(x[None])["out"]
        return scores.argmax(1)[0]

    for batch in data.test_dataloader():
        image, target, (name,) = batch["image"][0], batch["target"][0], batch["name"]
        total.absorb(evaluate_maps(name, predict(image).to(torch.uint8), target, options))
        if noise:
            continue
        offsets = draw_offsets(SHIFTS, largest=LARGEST, seed=0, name=name)
        shifted = map_shifts(predict, image, offsets, largest=LARGEST, multiple=32)
        counts += shifted.count(target.long(), **options.counting)
    metrics = total.to_dict()["metrics"]
    found = {name: metrics[name] for name in METRICS}
    if noise:
        return found
    scores = shift_agreement(counts)
    return found | {name: float(scores[name]) for name in AGREEMENT}


def tables(content: Mapping[str, Any], names: Sequence[str], runs: Sequence[str]) -> str:
    """Means, and paired differences to no filter, in Markdown and percent."""
    found = {
        (name, runs.index(run)): content["measured"][run][name] for run in runs for name in names
    }
    figures = list(found[names[0], 0])
    arrows = [f"{name} {METRICS.get(name, '↑')}" for name in figures]
    if len(runs) == 1:
        rows = [(name, [f"{100 * found[name, 0][f]:.2f}" for f in figures]) for name in names]
        return "\n".join([*markdown(arrows, rows), ""])
    summary = summarise(found, names, range(len(runs)))
    means = [(name, [mean_cell(summary[name][f]) for f in figures]) for name in names]
    less = [(name, [_difference(summary[name][f]) for f in figures]) for name in names[1:]]
    over = f"Mean ± standard deviation over {len(runs)} networks, in percent:"
    paired = "Paired difference to no filter in points, and p of the paired t-test:"
    lines = [over, "", *markdown(arrows, means), "", paired, "", *markdown(arrows, less), ""]
    return "\n".join(lines)


def _difference(row: Row) -> str:
    mean, p = row["difference"], row["p"]
    if mean is None:
        return UNDEFINED
    return f"{100 * mean:+.2f} ({UNDEFINED if p is None else f'{p:.1g}'})"


def main() -> None:
    """Measure what is missing, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoints", type=Path, nargs="+", help="RUN/last.ckpt")
    parser.add_argument("--output", type=Path, default=RESULTS / "insertion")
    parser.add_argument("--images", type=int, default=None, help="of the validation images")
    parser.add_argument("--sites", action="store_true", help="each step alone too")
    given = parser.parse_args()
    variants = dict(VARIANTS)
    if given.sites:
        variants |= site_variants(given.checkpoints[0])
    file = given.output.with_suffix(".json")
    content: dict[str, Any] = {"images": given.images, "variants": variants, "measured": {}}
    if file.exists():
        content["measured"] = json.loads(file.read_text("utf-8"))["measured"]
    content |= {"environment": environment(), "hardware": hardware(), "commit": commit()}
    file.parent.mkdir(parents=True, exist_ok=True)
    runs = ["/".join(path.parts[-3:-1]) for path in given.checkpoints]
    for run, checkpoint in zip(runs, given.checkpoints, strict=True):
        rows = content["measured"].setdefault(run, {})
        for name, variant in variants.items():
            if name not in rows:
                rows[name] = measure(checkpoint, variant, given.images)
                write_json(content, file)
                print(run, name, rows[name], flush=True)
    with write_whole(given.output.with_suffix(".md")) as out:
        out.write(tables(content, list(variants), runs).encode())


if __name__ == "__main__":
    main()
