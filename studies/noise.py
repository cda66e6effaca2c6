"""How segmentation falls with noise, and how far it aliases: networks with and without the cure.

python -m studies.noise plain=runs/plain_0,runs/plain_1 de-aliased=runs/dealiased_0,...

Each name stands for folders of ``dealias fit`` that differ in the seed alone, two at least, with
the seeds in the same order; the first is what the others are compared to. What is measured already
is not measured again, so that an interrupted study goes on where it was.
"""

import argparse
import contextlib
import copy
import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch
from torch import Tensor

from dealias.data import SegmentationDataModule
from dealias.engine import Inference
from dealias.environment import commit, environment, hardware
from dealias.evaluation import Evaluation, Options, evaluate_maps
from dealias.metrics.functional import MEAN_FIGURES
from dealias.models import SegmentationModel, convert
from dealias.spectral import aliasing_score
from dealias.study import UNDEFINED, Row, Summary, markdown, mean_cell, summarise
from dealias.surgery import Place, Plan, Site, find_downsampling, restore

SIGMAS = (0, 10, 20, 30, 40, 50)
_STYLES = ("-", "--", "-.", ":", (0, (1, 4)))
_WHEN = {"before": "before any filter", "entering": "of what enters the step"}
EXAMPLE = (1, 3, 128, 160)
Measured = Mapping[str, Any]
Value = Callable[[Measured], float]


def measure(checkpoint: Path, sigma: float, data: SegmentationDataModule) -> dict[str, Any]:
    """The six metrics of a checkpoint under noise, and the aliasing score at each step.

    Scores are of the map as the network has it ("before") and as it enters the step ("entering"):
    between the two lies the filter of a de-aliased network.
    """
    model = convert(checkpoint).model
    plain = copy.deepcopy(model.backbone)
    if model.dealias_report is not None:
        restore(plain)  # whose steps have the same names
    plan = find_downsampling(plain, torch.zeros(EXAMPLE), place="before")
    options = Options(data.classes)
    total = Evaluation.empty(options.settings)
    with _scores(model, plan) as scores:
        for batch in data.test_dataloader():
            image, target = batch["image"], batch["target"][0]
            preds = _predict(model, image)
            (name,) = batch["name"]
            total.absorb(evaluate_maps(name, preds, target, options))
    metrics = total.to_dict()["metrics"]
    return {
        "images": len(data.samples("test")),
        "metrics": {name: metrics[name] for name in MEAN_FIGURES},
        "aliasing": {
            when: {name: statistics.fmean(values) for name, values in found.items()}
            for when, found in scores.items()
        },
        "sigma": sigma,
    }


@torch.no_grad()
def _predict(model: SegmentationModel, image: Tensor) -> Tensor:
    mean, std = (torch.tensor(values)[:, None, None] for values in (model.mean, model.std))
    scores = Inference().scores(lambda x: model(x)["out"], (image / 255 - mean) / std)
    return scores.argmax(1)[0].to(torch.uint8)


@contextlib.contextmanager
def _scores(
    model: SegmentationModel, plan: Plan[Site]
) -> Iterator[dict[str, dict[str, list[float]]]]:
    """Scores by image, by step, before and after what stands before the step."""
    found: dict[str, dict[str, list[float]]] = {"before": {}, "entering": {}}

    def hook(site: Site, place: Place, values: list[float]) -> Callable[..., None]:
        def look(_: Any, args: Any, kwargs: Any) -> None:
            x = place.take(args, kwargs).detach().float()
            values.append(float(aliasing_score(x, site.nyquist).mean()))

        return look

    with contextlib.ExitStack() as stack:
        for site in plan:
            if site.place is None:
                continue
            module = model.backbone.get_submodule(site.name)
            for when, first in (("before", True), ("entering", False)):
                values = found[when].setdefault(site.name, [])
                handle = module.register_forward_pre_hook(
                    hook(site, site.place, values), prepend=first, with_kwargs=True
                )
                stack.callback(handle.remove)
        yield found


def study(
    groups: dict[str, list[Path]], path: Path, *, sigmas: Sequence[float], options: dict[str, Any]
) -> list[dict[str, Any]]:
    """Measure what is not in the file yet, and write it there after each measurement.

    Each says by "on", an index into "measured_on", with what it was measured.
    """
    content: dict[str, Any] = {"measured": [], "measured_on": []}
    if path.exists():
        content = json.loads(path.read_text())
    settings = {key: str(value) for key, value in options.items()}
    if content.get("data", settings) != settings:
        raise ValueError(f"{path}: holds what was measured with {content['data']}")
    content["data"] = settings
    here = {"hardware": hardware(), "environment": environment(), "commit": commit()}
    if here not in content["measured_on"]:
        content["measured_on"].append(here)
    on = content["measured_on"].index(here)
    done = {(one["variant"], one["run"], one["sigma"]) for one in content["measured"]}
    for variant, folders in groups.items():
        for folder in folders:
            for sigma in sigmas:
                if (variant, folder.name, sigma) in done:
                    continue
                data = SegmentationDataModule(**options, noise=sigma, workers=0)
                found = measure(folder / "last.ckpt", sigma, data)
                found = {"variant": variant, "run": folder.name, **found, "on": on}
                content["measured"].append(found)
                path.write_text(json.dumps(content, indent=2) + "\n")
                print(f"{folder.name}, sigma {sigma:g}: mIoU {found['metrics']['mIoU']:.4f}")
    measured: list[dict[str, Any]] = content["measured"]
    return measured


def curves(measured: Sequence[Measured], value: Value) -> Summary:
    """Mean, deviation and difference to the first variant over the runs, at each sigma."""
    found: dict[tuple[str, int], dict[str, float]] = {}
    runs: dict[str, list[str]] = {}
    for one in measured:
        names = runs.setdefault(one["variant"], [])
        if one["run"] not in names:
            names.append(one["run"])
        figures = found.setdefault((one["variant"], names.index(one["run"])), {})
        figures[f"{one['sigma']:g}"] = value(one)
    return summarise(found, list(runs), range(len(next(iter(runs.values())))))


def share_left(measured: Sequence[Measured]) -> Value:
    """The mIoU of a measurement, in percent of that of its run without noise."""
    clear = {
        (one["variant"], one["run"]): one["metrics"]["mIoU"]
        for one in measured
        if one["sigma"] == 0
    }
    return lambda one: 100 * one["metrics"]["mIoU"] / clear[one["variant"], one["run"]]


def _metric(name: str, one: Measured) -> float:
    return 100 * float(one["metrics"][name])


def _score(step: str, when: str, one: Measured) -> float:
    return 100 * float(one["aliasing"][when][step])


def tables(measured: Sequence[Measured]) -> str:
    """The study in Markdown, in percent: each metric, and the aliasing score of each step."""
    lines = [
        "Columns: standard deviation of the noise, on the scale of 0 to 255. Figures in percent:",
        "mean and standard deviation over the runs; where a second table follows, the paired",
        "difference to the first row of the first, and p of its t-test.",
        "",
    ]

    def add(title: str, value: Value, *, differences: bool = False) -> None:
        summary = curves(measured, value)
        _, *others = summary
        lines.extend([f"**{title}**", "", *table_of(summary, partial(mean_cell, scale=1)), ""])
        if differences:
            differing = {name: summary[name] for name in others}
            lines.extend([*table_of(differing, difference_cell), ""])

    add("mIoU left, of that without noise", share_left(measured), differences=True)
    for name in MEAN_FIGURES:
        add(name, partial(_metric, name), differences=name == "mIoU")
    for step in measured[0]["aliasing"]["before"]:
        for when, words in _WHEN.items():
            add(f"Aliasing score at {step}, {words}", partial(_score, step, when))
    return "\n".join(lines)


def table_of(summary: Summary, cell: Callable[[Row], str]) -> list[str]:
    """The lines of a table of variants by sigma."""
    heads = next(iter(summary.values()))
    return markdown(heads, ((name, map(cell, row.values())) for name, row in summary.items()))


def difference_cell(row: Row) -> str:
    """Difference ± deviation (p)."""
    if row["difference"] is None:
        return UNDEFINED
    p = UNDEFINED if row["p"] is None else f"{row['p']:.2f}"
    return f"{row['difference']:+.2f} ± {row['difference_std']:.2f} ({p})"


def draw(measured: Sequence[Measured], path: Path) -> None:
    """mIoU, its share that is left, and aliasing scores against sigma."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.lines import Line2D

    figure, (fall, left, scores) = plt.subplots(1, 3, figsize=(15, 4.2), layout="constrained")
    for axes, value in ((fall, partial(_metric, "mIoU")), (left, share_left(measured))):
        for index, (variant, rows) in enumerate(curves(measured, value).items()):
            means, spread = ([row[key] for row in rows.values()] for key in ("mean", "std"))
            sigmas = [float(sigma) + 0.4 * index for sigma in rows]  # side by side
            axes.errorbar(sigmas, means, spread, capsize=3, color=f"C{index}", label=variant)
    steps = dict(zip(measured[0]["aliasing"]["before"], cycle(_STYLES)))
    for step, style in steps.items():
        entering = curves(measured, partial(_score, step, "entering"))
        for index, rows in enumerate(entering.values()):
            means = [row["mean"] for row in rows.values()]
            scores.plot(list(map(float, rows)), means, linestyle=style, color=f"C{index}")
    for axes, title in (
        (fall, "mIoU (%)"),
        (left, "mIoU left, of that without noise (%)"),
        (scores, "aliasing score of what enters each step (%)"),
    ):
        axes.set_title(title)
        axes.set_xlabel("sigma of the noise, of 255")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    fall.legend()
    scores.legend(
        [Line2D([], [], color="black", linestyle=style) for style in steps.values()],
        list(steps),
        loc="upper left",
        bbox_to_anchor=(1, 1),
    )
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    """Measure, and write NAME.json, NAME.md and NAME.png."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("groups", nargs="+", help="NAME=FOLDER,FOLDER,...")
    parser.add_argument("--output", type=Path, default=Path("results/noise/noise"))
    parser.add_argument("--sigmas", type=float, nargs="+", default=list(SIGMAS))
    parser.add_argument("--data", default="camvid")
    parser.add_argument("--limit", type=int, help="use so many images and no more")
    given = parser.parse_args()
    groups = {
        name: [Path(folder) for folder in folders.split(",")]
        for name, _, folders in (group.partition("=") for group in given.groups)
    }
    if any(len({path.name for path in paths}) < len(paths) for paths in groups.values()):
        parser.error("expected folders of other names for each run of a variant")
    counts = {len(folders) for folders in groups.values()}
    if counts == {1} or len(counts) > 1:
        parser.error("expected equally many folders for each name, two at least")
    if 0 not in given.sigmas:
        parser.error("--sigmas: expected 0 among them, to compare with")
    given.output.parent.mkdir(parents=True, exist_ok=True)
    measured = study(
        groups,
        given.output.with_suffix(".json"),
        sigmas=given.sigmas,
        options={"name": given.data, "limit": given.limit},
    )
    given.output.with_suffix(".md").write_text(tables(measured), "utf-8")
    draw(measured, given.output.with_suffix(".png"))


if __name__ == "__main__":
    main()
