"""The loop of README, with a network and images of one's own."""

import os
from pathlib import Path

import torch

README = Path(__file__).parents[2] / "README.md"


def snippet(heading):
    section = README.read_text("utf-8").partition(f"## {heading}\n")[2]
    return section.partition("```python\n")[2].partition("```")[0]


def test_the_loop_gives_figures_intervals_and_a_page(tmp_path):
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(12, (12, 8, 10), generator=generator)
    targets = targets.repeat_interleave(8, 1).repeat_interleave(8, 2)
    targets[targets == 11] = 0
    images = torch.rand(12, 3, 64, 80, generator=generator)
    loader = [(f"image {i}", images[i], targets[i]) for i in range(12)]
    seen = iter(targets.roll(1, dims=2))  # a network that is a pixel off

    def model(batch):
        assert batch.shape == (1, 3, 64, 80)
        return torch.nn.functional.one_hot(next(seen), 11).permute(2, 0, 1)[None].float()

    names = {"loader": loader, "model": model}
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        exec(snippet("In a loop of your own"), names)
    finally:
        os.chdir(before)
    result = names["total"].to_dict()
    right = (targets.roll(1, dims=2) == targets).float().mean()
    assert 0.8 < right < 0.95
    assert 0.7 < result["metrics"]["mIoU"] < 0.95
    low, high = result["intervals"]["metrics"]["mIoU"][:2]
    assert low < result["metrics"]["mIoU"] < high
    page = tmp_path / "page"
    shown = f"{100 * result['metrics']['mIoU']:.2f}"
    assert shown in (page / "index.html").read_text("utf-8")
    data = "".join(path.read_text("utf-8") for path in page.rglob("*.js"))
    assert all(f"image {i}" in data for i in range(12))
