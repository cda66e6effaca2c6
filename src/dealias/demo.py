"""The demonstration from start to end."""

from __future__ import annotations

from pathlib import Path

from dealias.data import SCENE_SEEDS, write_scenes
from dealias.engine import Commands
from dealias.evaluation import Evaluation

_NETWORKS = {"plain": "scenes/tiny", "de-aliased": "scenes/tiny_dealiased"}


def run(
    folder: str | Path = "demo",
    *,
    steps: int | None = None,
    scenes: int | None = None,
    seed: int = 0,
    overwrite: bool = True,
) -> dict[str, Evaluation]:
    """Train a tiny network twice on procedural scenes, without and with de-aliasing, and test both.

    The networks, the scenes and the recipe are the configurations ``scenes/tiny`` and
    ``scenes/tiny_dealiased``; all but the de-aliasing is the same, the order of the scenes and the
    first weights included.

    Args:
        folder: gets images/ and labels/ of the scenes of the test, and plain/ and de-aliased/, each
            the folder of a run with its checkpoints, its logs and test/predictions/.
        steps: of training; by default those of the configurations.
        scenes: to test on; by default those of the configurations.
        seed: of the first weights, the scenes of training and their order; 0 to 2**32 - 1.
        overwrite: replace what an earlier demonstration left.

    Returns:
        What the tests found, by the name of the network: "plain" and "de-aliased".

    Raises:
        ValueError: an argument is out of range.
        OutputError: the folder holds an earlier demonstration, and `overwrite` is false.
    """
    for name, value in (("steps", steps), ("scenes", scenes)):
        if value is not None and value < 1:
            raise ValueError(f"{name}: expected at least 1, got {value}")
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed: expected a number from 0 to {2**32 - 1}, got {seed}")
    folder = Path(folder)
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
