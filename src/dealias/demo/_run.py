"""The demonstration from start to end."""

from __future__ import annotations

from pathlib import Path

import torch

from dealias.data import ProceduralScenes, write_scenes
from dealias.data._scenes import check_natural, clear_scenes, save_labels
from dealias.demo._segmenter import TinySegmenter, fit
from dealias.evaluation import Evaluation, Options, evaluate_folders
from dealias.labels import load_class_set


def run(
    folder: str | Path = "demo",
    *,
    scenes: int = 12,
    training_scenes: int = 32,
    size: tuple[int, int] = (256, 512),
    seed: int = 0,
) -> dict[str, Evaluation]:
    """Segment procedural scenes with a network that aliases and with one that doesn't.

    Two :class:`TinySegmenter` with the same random weights are fitted, each by the same ridge
    regression, to the same training scenes, and tested on others. The one difference is whether
    features are low-passed before every 8th pixel of them is taken.

    The gap is wider than in a trained network, which downsamples in smaller steps and may learn to
    attenuate what would alias.

    Args:
        folder: gets images/, labels/, predictions/decimation/ and predictions/lowpass/, a PNG a
            scene each. Scenes of an earlier run are replaced.
        scenes: number of test scenes, at least 1; drawn with `seed`.
        training_scenes: number of scenes to fit to, at least 1; drawn with `seed` + 1.
        size: (H, W) of a scene, multiples of 8, each at least 64.
        seed: of scenes and weights; 0 .. 2**32 - 2.

    Returns:
        What `dealias evaluate` finds in those folders, by the name of the predictor:
        "decimation" and "lowpass".

    Raises:
        ValueError: an argument is out of range.
    """
    for argument, count in (("scenes", scenes), ("training_scenes", training_scenes)):
        check_natural(argument, count)
        if count == 0:
            raise ValueError(f"{argument}: expected at least 1, got 0")
    check_natural("seed", seed)
    if any(length % 8 for length in size):
        raise ValueError(f"size: expected multiples of 8, got {size!r}")
    training = list(ProceduralScenes(training_scenes, size=size, seed=seed + 1))
    tests = list(ProceduralScenes(scenes, size=size, seed=seed))
    names = write_scenes(folder, scenes, size=size, seed=seed, overwrite=True)
    classes = load_class_set("scenes")
    results = {}
    for predictor, antialias in (("decimation", False), ("lowpass", True)):
        network = fit(TinySegmenter(len(classes), antialias=antialias, seed=seed), training)
        output = Path(folder) / "predictions" / predictor
        clear_scenes(output, overwrite=True)
        for name, (image, _) in zip(names, tests, strict=True):
            save_labels(output / f"{name}.png", predict(network, image).numpy())
        results[predictor] = evaluate_folders(output, Path(folder) / "labels", Options(classes))
    return results


def predict(network: TinySegmenter, image: torch.Tensor) -> torch.Tensor:
    """Classes uint8 [H, W] of an image, uint8 [3, H, W]."""
    with torch.no_grad():
        scores = network(image[None])
    labels: torch.Tensor = scores[0].argmax(0).to(torch.uint8)
    return labels
