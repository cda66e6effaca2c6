"""The demonstration from start to end."""

from __future__ import annotations

from pathlib import Path

from dealias.engine import Commands
from dealias.evaluation import Evaluation, check_outputs, write_json

_PAIR = {"plain": "scenes/tiny", "de-aliased": "scenes/tiny_dealiased"}


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
        folder: gets plain/ and de-aliased/, each the folder of a run with its checkpoints, logs,
            pictures of validation scenes and the result of its test.
        steps: of training; by default those of the configurations.
        scenes: to test on; by default those of the configurations.
        seed: of the first weights, the scenes of training and their order.
        overwrite: replace what an earlier demonstration left.

    Returns:
        What the tests found, by the name of the network: "plain" and "de-aliased".

    Raises:
        ValueError: an argument is out of range.
        OutputError: the folder holds anything, and `overwrite` is false.
    """
    folder = Path(folder)
    check_outputs([], [folder], [], overwrite=overwrite)
    results = {}
    for name, config in _PAIR.items():
        common = ["--config", config, "--output", str(folder / name), "--overwrite", "true"]
        common += ["--seed_everything", str(seed)]
        if scenes is not None:
            common += ["--data.test_scenes", str(scenes)]
        training = [] if steps is None else ["--trainer.max_steps", str(steps)]
        Commands("fit", common + training)
        found = Commands("test", [*common, "--ckpt_path", "last"]).results
        write_json(found, folder / name / "result.json")
        results[name] = found
    return results
