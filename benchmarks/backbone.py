"""Time and memory that the modules add to a ResNet-50 backbone."""

import copy
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import resnet50

from benchmarks._literal import LiteralFilter, LiteralMixing
from benchmarks._record import memory_of, record
from dealias.layers import DealiasingFilter, FrequencyMixing
from dealias.timing import synchronised, time_in_turns

CUTOFF = 2**0.5 / 4
SIZES = {"cpu": (1, 3, 512, 1024), "cuda": (1, 3, 1024, 2048)}


def backbone() -> nn.Module:
    """A ResNet-50 without its head."""
    return nn.Sequential(*list(resnet50().children())[:-2]).eval()


def dealiased(
    plain: nn.Module,
    make_filter: Callable[[float], nn.Module] = DealiasingFilter,
    make_mixing: Callable[..., nn.Module] | None = FrequencyMixing,
) -> nn.Module:
    """A copy with a filter before layer2 to layer4 and mixing after each conv2 in them."""
    model = copy.deepcopy(plain)
    stages: list[Any] = list(model.children())
    for i in (5, 6, 7):
        if make_mixing is not None:
            for block in stages[i]:
                mixing = make_mixing(block.conv2.out_channels, CUTOFF)
                block.conv2 = nn.Sequential(block.conv2, mixing)
        stages[i] = nn.Sequential(make_filter(CUTOFF), stages[i])
    return nn.Sequential(*stages).eval()


MODELS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "plain": lambda plain: plain,
    "daf": lambda plain: dealiased(plain, make_mixing=None),
    "daf_mixing": dealiased,
    "literal": lambda plain: dealiased(plain, LiteralFilter, LiteralMixing),
}


def measure(device: str = "cpu", *, rounds: int = 10) -> list[dict[str, Any]]:
    """Times, and peak memory beyond the weights, over those of the plain backbone."""
    plain = backbone()
    models = {key: make(plain) for key, make in MODELS.items()}
    rows: list[dict[str, Any]] = []
    for name, prepare in _settings(device):
        x = prepare(torch.randn(SIZES[device], device=device))
        calls = {
            key: _call(prepare(copy.deepcopy(model).to(device)), x, name)
            for key, model in models.items()
        }
        taken = time_in_turns(synchronised(calls, device), rounds)
        row: dict[str, Any] = {"setting": name, "size": SIZES[device]}
        row |= {key: taken[key] / taken["plain"] for key in calls}
        if device == "cuda":
            peak = {key: _peak_memory(call) for key, call in calls.items()}
        else:
            peak = {key: _peak_memory_of_process(key, "last" in name) for key in calls}
        row["peak_memory"] = {key: value / peak["plain"] for key, value in peak.items()}
        rows.append(row)
    return rows


def _settings(device: str) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    if device == "cpu":
        yield "float32", lambda value: value
        yield "float32 channels_last", lambda v: v.to(memory_format=torch.channels_last)
        return
    torch.set_float32_matmul_precision("high")
    for mode in ("eager", "compiled"):
        yield f"tf32 {mode}", lambda v: v.to(memory_format=torch.channels_last)
        yield (
            f"bfloat16 {mode}",
            lambda v: v.to(dtype=torch.bfloat16, memory_format=torch.channels_last),
        )


def _call(model: nn.Module, x: Tensor, setting: str) -> Callable[[], object]:
    return partial(torch.compile(model) if "compiled" in setting else model, x)


def _peak_memory(call: Callable[[], object]) -> float:
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    call()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def _peak_memory_of_process(key: str, channels_last: bool) -> float:
    """Peak MiB that a call adds to a fresh process."""
    command = [sys.executable, "-m", "benchmarks.backbone", key, str(channels_last)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@torch.inference_mode()
def _report_peak(key: str, channels_last: bool) -> None:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = MODELS[key](backbone()).to(memory_format=layout)
    x = torch.randn(SIZES["cpu"]).to(memory_format=layout)
    added, _ = memory_of(lambda: model(x))
    print(added)


@torch.inference_mode()
def main() -> None:
    """Measure on every available device."""
    devices = ["cpu"] + ["cuda"] * torch.cuda.is_available()
    record("backbone", {"cutoff": CUTOFF} | {device: measure(device) for device in devices})


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _report_peak(sys.argv[1], sys.argv[2] == "True")
    else:
        main()
