"""``python -m studies.camvid``: what each module does to training on CamVid, over several seeds.

Trains and tests what the folder of runs does not hold yet, one thread a run, and writes
results/camvid. Started again after a stop, it goes on with what is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks._record import hardware
from scipy import stats

RESULTS = Path(__file__).parents[1] / "results" / "camvid"
METRICS = {"mIoU": "↑", "BIoU": "↑", "BAcc": "↑", "FErr": "↓", "MErr": "↓", "DErr": "↓"}
TITLES = {
    "baseline": "baseline",
    "daf": "DAF",
    "freqmix": "FreqMix",
    "daf_freqmix": "DAF + FreqMix",
    "daf_all_sites": "DAF, also before the step to a quarter of the image",
    "daf_freqmix_all_sites": "DAF + FreqMix, also there, mixing at 50 times its rate",
}
_PLAIN, _DEALIASED = (["--config", f"camvid/upernet_lite0{end}"] for end in ("", "_dealiased"))
_DEALIAS = "--model.network.dealias"
_ALL_SITES = [f"{_DEALIAS}.sites", "null"]
_NO_MIXING, _NO_FILTER = [f"{_DEALIAS}.mixing", "false"], [f"{_DEALIAS}.filter", "null"]
VARIANTS = {
    "baseline": _PLAIN,
    "daf": [*_DEALIASED, *_NO_MIXING],
    "freqmix": [*_DEALIASED, *_NO_FILTER],
    "daf_freqmix": _DEALIASED,
}
TRIALS = {  # one seed each: what was tried before
    "daf_all_sites": [*_DEALIASED, *_NO_MIXING, *_ALL_SITES],
    "daf_freqmix_all_sites": [
        *_DEALIASED,
        *_ALL_SITES,
        "--model.optimization.mixing_multiplier",
        "5",
    ],
}
Metrics = Mapping[str, float]


def main() -> None:
    """Train, test and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/camvid"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time")
    options = parser.parse_args()
    if len(options.seeds) < 2:
        parser.error("--seeds: expected two at least, for a deviation")
    jobs = [(name, seed) for seed in options.seeds for name in VARIANTS]
    jobs += [(name, options.seeds[0]) for name in TRIALS]
    with ThreadPoolExecutor(options.jobs) as pool:
        found = dict(
            zip(jobs, pool.map(lambda job: _run(job[0], job[1], options.runs), jobs), strict=True)
        )
    content = {
        "metrics": {f"{name}_{seed}": result for (name, seed), result in found.items()},
        "summary": {name: _summary(found, name, options.seeds) for name in VARIANTS},
        "commands": {name: list(map(shlex.join, _commands(name, "SEED"))) for name, _ in found},
        "hardware": hardware() | {"threads": 1},
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "results.json").write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    (RESULTS / "table.md").write_text(_table(content, options.seeds), "utf-8")


def _commands(name: str, seed: int | str, output: str = "DIR") -> list[list[str]]:
    """Training, and the test of its last weights."""
    common = [*(VARIANTS | TRIALS)[name], "--seed_everything", str(seed), "--output", output]
    common += ["--data.workers", "0", "--trainer.enable_progress_bar", "false"]
    return [
        ["dealias", "fit", *common, "--trainer.limit_val_batches", "0"],
        ["dealias", "test", *common, "--ckpt_path", "last"],
    ]


def _run(name: str, seed: int, runs: Path) -> Metrics:
    """The figures of a run, in percent."""
    folder = runs / f"{name}_{seed}"
    result = folder / "test" / "result.json"
    if not result.is_file():
        for command in _commands(name, seed, str(folder)):
            print(shlex.join(command), flush=True)
            replace = ["--overwrite", "true"]
            subprocess.run(
                [sys.executable, "-m", *command, *replace],
                check=True,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
    content = json.loads(result.read_text("utf-8"))
    return {metric: 100 * content["metrics"][metric] for metric in METRICS}


def _summary(
    found: Mapping[tuple[str, int], Metrics], name: str, seeds: Sequence[int]
) -> dict[str, Any]:
    """Mean and deviation over the seeds, and the paired difference to the baseline."""
    summary = {}
    for metric in METRICS:
        values, plain = ([found[n, seed][metric] for seed in seeds] for n in (name, "baseline"))
        row = {"mean": statistics.mean(values), "std": statistics.stdev(values)}
        if name != "baseline":
            differences = [a - b for a, b in zip(values, plain, strict=True)]
            test = stats.ttest_rel(values, plain)
            row |= {
                "difference": statistics.mean(differences),
                "difference_std": statistics.stdev(differences),
                "p": float(test.pvalue),
            }
        summary[metric] = row
    return summary


def _table(content: Mapping[str, Any], seeds: Sequence[int]) -> str:
    """Everything as Markdown."""
    head = " | ".join(f"{metric} {arrow}" for metric, arrow in METRICS.items())
    rule = "|---" + "|---:" * len(METRICS) + "|"
    lines = [
        f"Mean and standard deviation over seeds {', '.join(map(str, seeds))}, in percent:",
        "",
        f"| | {head} |",
        rule,
    ]
    for name, rows in content["summary"].items():
        cells = (f"{rows[m]['mean']:.2f} ± {rows[m]['std']:.2f}" for m in METRICS)
        lines.append(f"| {TITLES[name]} | {' | '.join(cells)} |")
    lines += ["", "Paired difference to the baseline, and p of the t-test over seeds:", ""]
    lines += [f"| | {head} |", rule]
    for name, rows in content["summary"].items():
        if name == "baseline":
            continue
        cells = (
            f"{rows[m]['difference']:+.2f} ± {rows[m]['difference_std']:.2f} ({rows[m]['p']:.2f})"
            for m in METRICS
        )
        lines.append(f"| {TITLES[name]} | {' | '.join(cells)} |")
    lines += ["", f"Every run; trials for seed {seeds[0]} alone:", "", f"| | {head} |", rule]
    for run, metrics in content["metrics"].items():
        name, _, seed = run.rpartition("_")
        cells = (f"{metrics[m]:.2f}" for m in METRICS)
        lines.append(f"| {TITLES[name]}, seed {seed} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
