"""What training is the same for, whatever the network is to find."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from inspect import signature
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dealias.engine.optimization import Optimization
from dealias.models import ModelError, WeightsError, load_weights
from dealias.processes import gather
from dealias.text import plain_name, printable

ScoreAliasing = Callable[[nn.Module, Tensor], Tensor | None]


class TrainingError(ValueError):
    """Training can't go on; the message says at which step and why."""


@dataclass(frozen=True)
class Task:
    """What belongs to a task: all that commands need to know of it.

    Attributes:
        name: as options have it.
        training: the module of Lightning for the network, a :class:`Training`, which also has the
            page of a test.
        data: the module of Lightning for the data, a :class:`dealias.data.loading.LoadingModule`.
        check: looks through the data set of such a module.
        contact_sheet: draws samples of it.
        printed: name of the module with ``print_check`` and ``print_results``, which print what was
            found. It is one of the command line, which alone imports it.
    """

    name: str
    training: type[Training]
    data: type[Any]
    check: Callable[..., Any]
    contact_sheet: Callable[..., NDArray[np.uint8]]
    printed: str


def build_network(create: Callable[..., Any], options: Mapping[str, Any], **fixed: Any) -> Any:
    """Create a network from options as a person writes them.

    Args:
        create: such as :func:`dealias.models.create_model`.
        options: its arguments.
        fixed: others of them, which are not options.

    Raises:
        ModelError: an option is none of its arguments, or as `create` says.
    """
    known = [name for name in signature(create).parameters if name not in fixed]
    for name in options:
        if name not in known:
            near = get_close_matches(str(name), known) or known
            raise ModelError(
                f"model.network.{printable(name)}: no such option; there are: {', '.join(near)}"
            )
    if "name" not in options:
        raise ModelError("model.network.name: expected the name of a network")
    return create(**options, **fixed)


class Training(pl.LightningModule):
    """A network and how it is trained, for the tasks that derive from it.

    All randomness of a step comes from the seed, the step and the rank, so that a run that is
    resumed goes on as if it had not been stopped.

    Args:
        network: has `backbone` and `config`, as :class:`dealias.models.SegmentationModel`.
        optimization: how weights are learnt.
        seed: of the randomness in training.
        class_names: names of the classes, in the order of their labels.

    Attributes:
        create: builds the network, from options and a number of classes.
        monitor: the figure, logged in validation, that the best checkpoint has the highest of.
        page_title: heading of the page of a test.
        skipped: messages about files that were left out in training.
    """

    create: ClassVar[Callable[..., Any]]
    page_title: ClassVar[str]
    monitor: ClassVar[str]

    def __init__(
        self, network: Any, optimization: Optimization, seed: int, class_names: Sequence[str]
    ) -> None:
        super().__init__()
        self.network = network
        self.optimization = optimization
        self.seed = seed
        self.class_names = tuple(class_names)
        self.skipped: list[str] = []
        self.checkpoint = "checkpoint"  # its path, where that is known, for messages

    def configure_optimizers(self) -> Any:
        """The optimizer and its schedule over all steps of the trainer."""
        optimizer = self.optimization.optimizer(self.network)
        schedule = self.optimization.schedule(optimizer, self._steps())
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _steps(self) -> int:
        steps = self.trainer.max_steps
        if steps < 1:
            raise ValueError(f"trainer.max_steps: expected at least 1, got {steps}")
        return steps

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Make the step's randomness depend on nothing before it."""
        rank, step = self.trainer.global_rank, self.trainer.global_step
        source = np.random.SeedSequence((self.seed, step, batch_idx, rank))
        torch.manual_seed(int(source.generate_state(1, np.uint64)[0] >> np.uint64(1)))

    def add_up(self, terms: Mapping[str, Tensor], names: Sequence[str]) -> Tensor:
        """The loss of a batch from its terms, which are logged.

        Raises:
            TrainingError: it is not finite.
        """
        loss = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(loss):
            raise TrainingError(self._not_finite(terms, names))
        values = {f"train/{name}": value.detach() for name, value in terms.items()}
        self.log_dict(values, batch_size=len(names))
        self.log("train/loss", loss.detach(), prog_bar=True, batch_size=len(names))
        return loss

    def _not_finite(self, terms: Mapping[str, Tensor], names: Sequence[str]) -> str:
        parts = ", ".join(f"{name} {value.item():g}" for name, value in terms.items())
        weights = self.network.named_parameters()
        bad = [name for name, value in weights if not value.isfinite().all()]
        why = (
            f"{len(bad)} weights are not finite, {bad[0]} the first"
            if bad
            else "all weights are finite; a lower learning rate or a longer warm-up may help"
        )
        return (
            f"step {self.trainer.global_step}: the loss is not finite ({parts}) for "
            f"{', '.join(map(printable, names[:4]))}; {why}; checkpoints are as they were"
        )

    def skip(self, messages: Sequence[str]) -> None:
        """List files that were left out in training, each once however often it is met."""
        self.skipped += [message for message in messages if message not in self.skipped]

    def on_train_end(self) -> None:
        """List what any process skipped."""
        parts = gather(self.skipped, self.trainer.world_size)
        self.skipped = [message for part in parts for message in part]

    def left_out(self) -> list[str]:
        """Messages about what the data set left out as asked, before any image was read."""
        data = getattr(self.trainer, "datamodule", None)
        return list(getattr(data, "skipped", []))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint that does not fit, with the reason."""
        parameters = checkpoint.get("hyper_parameters", {})
        self.check_classes(parameters.get("classes"), source=self.checkpoint)
        prefix = "network."
        state = {
            name[len(prefix) :]: value
            for name, value in checkpoint["state_dict"].items()
            if name.startswith(prefix)
        }
        load_weights(self.network, state, source=self.checkpoint)
        # What has no tensors would go unnoticed, such as filters.
        held = parameters.get("network", {})
        for key in ("dealias", "mean", "std"):
            if key in held and _settings(held[key]) != _settings(self.network.config.get(key)):
                raise WeightsError(
                    f"{self.checkpoint}: its network was built with {key} {_settings(held[key])}, "
                    f"this one with {_settings(self.network.config.get(key))}"
                )

    def check_classes(
        self, held: Mapping[str, Any] | None, *, source: str, renamed: bool = False
    ) -> None:
        """Refuse weights that were learnt for other classes, or for these in another order.

        Names are the same that differ in case, blanks, "-" and "_" alone.

        Args:
            held: has "names", of the classes that they were learnt for; None if it is not known.
            source: what has the weights, for the message.
            renamed: whether others may have named the same classes otherwise, so that only another
                order is refused.

        Raises:
            WeightsError: the classes are others.
        """
        names = held.get("names") if held is not None else None
        if names is None:
            return
        if len(names) != len(self.class_names):
            raise WeightsError(
                f"{source}: expected {len(self.class_names)} classes, as the data has, got weights "
                f"for {len(names)}: {', '.join(map(printable, names))}"
            )
        theirs, ours = ([*map(plain_name, part)] for part in (names, self.class_names))
        if theirs == ours or (renamed and sorted(theirs) != sorted(ours)):
            return
        first = next(k for k, pair in enumerate(zip(theirs, ours, strict=True)) if len({*pair}) > 1)
        raise WeightsError(
            f"{source}: expected the classes of the data in their order; the first that differs is "
            f"{printable(self.class_names[first])!r}, which it has {printable(names[first])!r} for"
        )

    def check_data(self, datamodule: Any) -> None:
        """Refuse data that this can't be trained on, before anything of a run is written.

        Raises:
            ValueError: something that training needs is missing.
        """

    def write_results(self, folder: Path, more: Mapping[str, Any] | None = None) -> None:
        """Write what the last test found to files in a folder, which is made if need be.

        Args:
            folder: gets the files.
            more: what else is known of the test, to be written to result.json as well.
        """
        raise NotImplementedError

    def write_prediction(self, folder: Path, name: str, outputs: Any) -> None:
        """Write what was found in an image of this name to a file in a folder."""
        raise NotImplementedError

    def picture(self, batch: Mapping[str, Any], outputs: Any) -> NDArray[np.uint8]:
        """The one image of a validation batch beside what was found in it, (H, W, 3)."""
        raise NotImplementedError

    def page_writer(self, folder: Path) -> Any:
        """What writes a page of errors to a folder, such as :class:`dealias.report.ReportWriter`.

        It takes what `example` gives of each image and, in the end, what `page_result` gives.
        """
        raise NotImplementedError

    def example(self, batch: Mapping[str, Any], outputs: Any, score: ScoreAliasing) -> Any:
        """The one image of a test batch, with what the test step returned, for a page.

        Args:
            batch: from the data.
            outputs: of the test step.
            score: gives the aliasing score of each pixel, (B, H, W), of a network's images, or
                None.
        """
        raise NotImplementedError

    def page_result(self) -> Any:
        """What the last test found, as the writer of the page takes it."""
        raise NotImplementedError


def _settings(value: Any) -> str:
    """Settings as text, the same for those that mean the same."""
    if isinstance(value, Mapping):
        plain = {"filter": "daf", "mixing": True, "cutoff": "auto"}
        # With its defaults named, and options that change nothing left out.
        value = plain | {k: v for k, v in value.items() if k in plain or v}
    return json.dumps(value, sort_keys=True)
