"""The demonstration: train and test two networks on procedural scenes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dealias.data import SCENE_SEEDS, write_scenes
from dealias.engine import Commands
from dealias.evaluation import Evaluation
from dealias.outputs import check_folder, claim, folders_above

_NETWORKS = {"plain": "scenes/tiny", "de-aliased": "scenes/tiny_dealiased"}
SHIFTS, LARGEST, SIGMA = 5, 16, 20  # shifts of a scene; pixels; noise, of 255


@dataclass(frozen=True)
class Tested:
    """The test results of one network.

    Attributes:
        clean: evaluation of the scenes as they are.
        agreement: share of pixels that keep their class when the camera moves, in [0, 1]:
            "agreement" over all pixels, "agreement_target_band" and "agreement_preds_band".
        noisy: evaluation of the scenes under noise.
    """

    clean: Evaluation
    agreement: Mapping[str, Any]
    noisy: Evaluation


def run(
    folder: str | Path = "demo",
    *,
    steps: int | None = None,
    scenes: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> dict[str, Tested]:
    """Train a tiny network twice on procedural scenes, without and with de-aliasing, and test both.

    The configurations are ``scenes/tiny`` and ``scenes/tiny_dealiased``. They differ only in the
    de-aliasing. The initial weights, the scenes and their order are the same.

    Args:
        folder: gets images/ and labels/ of the test scenes, and plain/ and de-aliased/, the
            folders of the two runs with checkpoints, logs, test/predictions/ and noise/.
        steps: number of training steps; by default that of the configurations.
        scenes: number of test scenes; by default that of the configurations.
        seed: seed of the initial weights and the training scenes, 0 to 2**32 - 1.
        overwrite: whether to replace the outputs of an earlier demonstration.

    Returns:
        The test results of the two networks, "plain" and "de-aliased".

    Raises:
        ValueError: an argument is out of range.
        OutputError: the folder holds an earlier demonstration, and `overwrite` is false; or images/
            or labels/ hold files that dealias did not write.
    """
    for name, value in (("steps", steps), ("scenes", scenes)):
        if value is not None and value < 1:
            raise ValueError(f"{name}: expected at least 1, got {value}")
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed: expected a number from 0 to {2**32 - 1}, got {seed}")
    with folders_above(Path(folder)), claim(Path(folder)):
        for part in ("images", "labels"):  # written at the end, but checked before the work starts
            check_folder(Path(folder) / part, overwrite=overwrite)
        return _run(Path(folder), steps, scenes, seed, overwrite=overwrite)


def _run(
    folder: Path, steps: int | None, scenes: int | None, seed: int, *, overwrite: bool
) -> dict[str, Tested]:
    options = ["--overwrite", str(overwrite).lower(), "--seed_everything", str(seed)]
    if scenes is not None:
        options += ["--data.scenes.val", str(scenes)]
    training = ["--trainer.limit_val_batches", "0", "--trainer.enable_model_summary", "false"]
    if steps is not None:
        training += ["--trainer.max_steps", str(steps)]
    results = {}
    for name, config in _NETWORKS.items():
        run_options = ["--config", config, "--output", str(folder / name), *options]
        Commands("fit", run_options + training)
        run_options += ["--ckpt_path", "last"]
        shifts = ["--shifts", str(SHIFTS), "--largest_shift", str(LARGEST)]
        test = Commands("test", [*run_options, *shifts, "--label_maps", "true"])
        noise = ["--noise", str(SIGMA), "--results", str(folder / name / "noise")]
        noisy = Commands("test", run_options + noise).model.results
        agreement = {} if test.shifted is None else test.shifted.more["shifts"]
        results[name] = Tested(test.model.results, agreement, noisy)
    drawn = {"size": test.datamodule.scenes.size, "seed": SCENE_SEEDS["test"]}
    write_scenes(folder, len(test.datamodule.samples("test")), overwrite=overwrite, **drawn)
    return results
