"""The demonstration: two networks trained and tested on procedural scenes."""

from __future__ import annotations

from pathlib import Path

from dealias.data import SCENE_SEEDS, write_scenes
from dealias.engine import Commands
from dealias.evaluation import Evaluation
from dealias.outputs import check_folder, claim, folders_above

_NETWORKS = {"plain": "scenes/tiny", "de-aliased": "scenes/tiny_dealiased"}


def run(
    folder: str | Path = "demo",
    *,
    steps: int | None = None,
    scenes: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> dict[str, Evaluation]:
    """Train a tiny network twice on procedural scenes, without and with de-aliasing, and test both.

    The configurations are ``scenes/tiny`` and ``scenes/tiny_dealiased``. They differ only in the
    de-aliasing; initial weights, scenes and their order are the same.

    Args:
        folder: gets images/ and labels/ of the test scenes, and plain/ and de-aliased/, the
            folders of the two runs with checkpoints, logs and test/predictions/.
        steps: training steps; by default those of the configurations.
        scenes: number of test scenes; by default that of the configurations.
        seed: seed of the initial weights and the training scenes, 0 to 2**32 - 1.
        overwrite: whether to replace the outputs of an earlier demonstration.

    Returns:
        The evaluation of each network, "plain" and "de-aliased".

    Raises:
        ValueError: an argument is out of range.
        OutputError: the folder holds an earlier demonstration, and `overwrite` is false; or images/
            or labels/ hold what dealias did not write.
    """
    for name, value in (("steps", steps), ("scenes", scenes)):
        if value is not None and value < 1:
            raise ValueError(f"{name}: expected at least 1, got {value}")
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed: expected a number from 0 to {2**32 - 1}, got {seed}")
    with folders_above(Path(folder)), claim(Path(folder)):
        for part in ("images", "labels"):  # written last, and refused before the work
            check_folder(Path(folder) / part, overwrite=overwrite)
        return _run(Path(folder), steps, scenes, seed, overwrite=overwrite)


def _run(
    folder: Path, steps: int | None, scenes: int | None, seed: int, *, overwrite: bool
) -> dict[str, Evaluation]:
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
        test = Commands("test", [*run_options, "--ckpt_path", "last", "--label_maps", "true"])
        results[name] = test.model.results
    drawn = {"size": test.datamodule.scenes.size, "seed": SCENE_SEEDS["test"]}
    write_scenes(folder, len(test.datamodule.samples("test")), overwrite=overwrite, **drawn)
    return results
