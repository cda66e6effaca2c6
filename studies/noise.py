"""How segmentation falls with noise, and how far it aliases: networks with and without the cure.

python -m studies.noise plain=runs/plain_0,runs/plain_1 de-aliased=runs/dealiased_0,...

Each name stands for folders of ``dealias fit`` that differ in the seed alone. What is measured
already is not measured again, so that an interrupted study goes on where it was.
"""

import argparse
import contextlib
import copy
import json
import statistics
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch
from benchmarks._record import _commit, hardware
from torch import Tensor

from dealias.data import SegmentationDataModule
from dealias.engine import Inference
from dealias.evaluation import Evaluation, Options, environment, evaluate_maps
from dealias.models import SegmentationModel, convert
from dealias.spectral import aliasing_score
from dealias.surgery import Place, Plan, Site, find_downsampling, restore

SIGMAS = (0, 10, 20, 30, 40, 50)
METRICS = ("mIoU", "BIoU", "BAcc", "FErr", "MErr", "DErr")
_STYLES = ("-", "--", "-.", ":", (0, (1, 4)))
_WHEN = {"before": "before any filter", "entering": "of what enters the step"}
EXAMPLE = (1, 3, 128, 160)


def measure(checkpoint: Path, sigma: float, data: SegmentationDataModule) -> dict[str, Any]:
    """The six metrics of a checkpoint under noise, and the aliasing score at each step.

    Scores are of the map as the network has it ("before") and as it enters the step ("entering"):
    between the two lies the filter of a de-aliased network.
    """
    model = convert(checkpoint).model
    plain = copy.deepcopy(model.backbone)
    if model.dealias_report is not None:
        restore(plain)  # whose steps have the same names
    plan = find_downsampling(plain, torch.zeros(EXAMPLE))
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
        "metrics": {name: metrics[name] for name in METRICS},
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
    """Measure what is not in the file yet, and write it there after each measurement."""
    content = json.loads(path.read_text()) if path.exists() else {"measured": []}
    settings = {key: str(value) for key, value in options.items()}
    if content.get("data", settings) != settings:
        raise ValueError(f"{path}: holds what was measured with {content['data']}")
    done = {(one["variant"], one["run"], one["sigma"]) for one in content["measured"]}
    for variant, folders in groups.items():
        for folder in folders:
            for sigma in sigmas:
                if (variant, folder.name, sigma) in done:
                    continue
                data = SegmentationDataModule(**options, noise=sigma, workers=0)
                found = measure(folder / "last.ckpt", sigma, data)
                content["measured"].append({"variant": variant, "run": folder.name, **found})
                content |= {
                    "data": settings,
                    "hardware": hardware(),
                    "environment": environment(),
                    "commit": _commit(),
                }
                path.write_text(json.dumps(content, indent=2) + "\n")
                print(f"{folder.name}, sigma {sigma:g}: mIoU {found['metrics']['mIoU']:.4f}")
    measured: list[dict[str, Any]] = content["measured"]
    return measured


def curve(
    measured: Sequence[dict[str, Any]], variant: str, value: Callable[[dict[str, Any]], float]
) -> dict[float, tuple[float, float]]:
    """Mean and standard deviation over runs, 0 for one, at each sigma."""
    values: dict[float, list[float]] = {}
    for one in measured:
        if one["variant"] == variant:
            values.setdefault(one["sigma"], []).append(value(one))
    return {
        sigma: (statistics.fmean(v), statistics.stdev(v) if len(v) > 1 else 0.0)
        for sigma, v in sorted(values.items())
    }


def table(measured: Sequence[dict[str, Any]]) -> str:
    """The study in Markdown, in percent: each metric, and the aliasing score of each step."""
    variants = list(dict.fromkeys(one["variant"] for one in measured))
    runs = {v: len({one["run"] for one in measured if one["variant"] == v}) for v in variants}
    head = [f"{variant} (n={runs[variant]})" for variant in variants]
    lines = []

    def add(title: str, value: Callable[[dict[str, Any]], float]) -> None:
        curves = [curve(measured, variant, value) for variant in variants]
        lines.extend(["", f"**{title}**, in percent", "", "| sigma | " + " | ".join(head) + " |"])
        lines.append("|---" * (len(head) + 1) + "|")
        for sigma in sorted({sigma for found in curves for sigma in found}):
            cells = [
                "-"
                if sigma not in found
                else f"{100 * found[sigma][0]:.2f} ± {100 * found[sigma][1]:.2f}"
                for found in curves
            ]
            lines.append(f"| {sigma:g} | " + " | ".join(cells) + " |")

    for name in METRICS:
        add(name, lambda one, name=name: one["metrics"][name])  # type: ignore[misc]
    for name in measured[0]["aliasing"]["before"]:
        for when in ("before", "entering"):
            title = f"Aliasing score at {name}, {_WHEN[when]}"
            add(title, lambda one, name=name, when=when: one["aliasing"][when][name])  # type: ignore[misc]
    return "\n".join(lines).lstrip() + "\n"


def _entering(step: str, one: dict[str, Any]) -> float:
    return 100 * float(one["aliasing"]["entering"][step])


def draw(measured: Sequence[dict[str, Any]], path: Path) -> None:
    """mIoU, its share that is left, and aliasing scores against sigma."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    variants = list(dict.fromkeys(one["variant"] for one in measured))
    steps = list(measured[0]["aliasing"]["before"])
    figure, (fall, left, scores) = plt.subplots(1, 3, figsize=(16, 4.2), layout="constrained")
    for index, variant in enumerate(variants):
        found = curve(measured, variant, lambda one: 100 * one["metrics"]["mIoU"])
        sigmas, means, spread = list(found), *zip(*found.values(), strict=True)
        fall.errorbar(sigmas, means, spread, capsize=3, color=f"C{index}", label=variant)
        left.plot(sigmas, [100 * m / means[0] for m in means], color=f"C{index}", label=variant)
        for step, style in zip(steps, _STYLES * len(steps), strict=False):
            entering = curve(measured, variant, partial(_entering, step))
            values = [mean for mean, _ in entering.values()]
            label = f"{variant}, {step}"
            scores.plot(list(entering), values, linestyle=style, color=f"C{index}", label=label)
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
    scores.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
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
    given.output.parent.mkdir(parents=True, exist_ok=True)
    measured = study(
        groups,
        given.output.with_suffix(".json"),
        sigmas=given.sigmas,
        options={"name": given.data, "limit": given.limit},
    )
    given.output.with_suffix(".md").write_text(table(measured))
    draw(measured, given.output.with_suffix(".png"))


if __name__ == "__main__":
    main()
