"""The cost of each variant: time, measured in turns in one process, and memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dealias.environment import environment, hardware
from dealias.files import write_json
from dealias.study.plans import prepare
from dealias.study.variants import StudyError
from dealias.timing import synchronised, time_in_turns

_ROUNDS = 9


def measure_cost(variants: Mapping[str, Sequence[str]], folder: str, path: str) -> None:
    """Measure the cost of the variants, the baseline first, and write it to a file.

    Times are medians over turns: the seconds of a training step (forward, backward and update for
    a batch of the configuration), and of the prediction of a test image. Memory is the number of
    bytes that a step uses. On a GPU, this is the peak above the memory in use before; on a CPU,
    the tensors kept for the backward pass, which are most of it.

    Args:
        variants: arguments of ``dealias fit`` by name.
        folder: folder of the study.
        path: the JSON file to write.

    Raises:
        StudyError: the device is neither a CPU nor a CUDA device.
    """
    steps: dict[str, Callable[[], object]] = {}
    predictions: dict[str, Callable[[], object]] = {}
    memory, kind = {}, "cpu"
    for name, arguments in variants.items():
        prepared = prepare("fit", arguments, Path(folder, name, "SEED"))
        device = prepared.trainer.strategy.root_device
        kind = device.type
        if kind not in ("cpu", "cuda"):
            raise StudyError(f"cost: expected a CPU or a GPU of CUDA to measure on, got {kind}")
        steps[name], predictions[name], network = _calls(prepared, device)
        memory[name] = _memory(steps[name], network, kind)
    seconds = time_in_turns(synchronised(steps, kind), _ROUNDS)
    predicted = time_in_turns(synchronised(predictions, kind), _ROUNDS)
    rows = {
        name: {"step": seconds[name], "prediction": predicted[name], "bytes": memory[name]}
        for name in variants
    }
    content = {
        "variants": rows,
        "device": kind,
        "rounds": _ROUNDS,
        "hardware": hardware(),
        "environment": environment(),
    }
    write_json(content, Path(path))


def _calls(
    prepared: Any, device: torch.device
) -> tuple[Callable[[], object], Callable[[], object], nn.Module]:
    """Functions for a training step and the prediction of the first test image, and the network."""
    module, data = prepared.model.to(device), prepared.datamodule
    module.log = module.log_dict = lambda *_, **__: None  # no training is running that could log
    batch, image = (
        data.transfer_batch_to_device(next(iter(loader)), device, 0)
        for loader in (data.train_dataloader(), data.test_dataloader())
    )
    optimizer = module.optimization.optimizer(module.network)
    for group in optimizer.param_groups:
        group["lr"] = 0.0  # repeated on one batch, the whole rate could make the loss diverge
    precision = prepared.trainer.precision_plugin

    def step() -> None:
        module.train()
        optimizer.zero_grad()
        with precision.train_step_context():
            loss = module.training_step(batch, 0)
        torch.autograd.backward(loss)
        optimizer.step()

    def predict() -> None:
        module.eval()
        with torch.inference_mode(), precision.forward_context():
            module.predict_step(image, 0)

    return step, predict, module.network


def _memory(step: Callable[[], object], network: nn.Module, kind: str) -> int:
    step()  # allocates gradients and moments, which persist
    if kind == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with _kept_tensors(network) as kept:
        step()
    return sum(kept.values())


@contextmanager
def _kept_tensors(network: nn.Module) -> Iterator[dict[int, int]]:
    """Bytes of the tensors kept for backward passes, without the weights, by address."""
    own = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield kept
