"""The training module that all tasks derive from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
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
from dealias.files import write_json
from dealias.models import ModelError, WeightsError, load_weights, settled_dealias
from dealias.processes import gather
from dealias.text import plain_name, printable

ScoreAliasing = Callable[[nn.Module, Tensor], Tensor | None]


class TrainingError(ValueError):
    """Training can't continue; the message says at which step and why."""


def build_network(create: Callable[..., Any], options: Mapping[str, Any], **fixed: Any) -> Any:
    """Create a network from the options of a configuration.

    Args:
        create: a function such as :func:`dealias.models.create_model`.
        options: arguments of `create`.
        fixed: arguments of `create` that are not options.

    Raises:
        ModelError: an option is not an argument of `create`, or `create` refuses one.
    """
    known = [name for name in signature(create).parameters if name not in fixed]
    for name in options:
        if name not in known:
            near = get_close_matches(str(name), known) or known
            raise ModelError(
                f"model.network.{printable(name)}: no such option; there are: {', '.join(near)}"
            )
    if "name" not in options and "class_path" not in options:
        raise ModelError("model.network.name: expected the name of a network")
    try:
        return create(**options, **fixed)
    except ModelError as error:
        raise ModelError(f"model.network.{error}") from error


class Training(pl.LightningModule):
    """A network with its optimizer, checkpoints and validation loop: the base of all tasks.

    The random numbers of a step depend only on the seed, the step and the rank, so a resumed run
    gives the same weights as one that was never stopped.

    Args:
        network: has `backbone` and `config`, like :class:`dealias.models.SegmentationModel`.
        optimization: optimizer and learning rates.
        seed: seed of the random numbers in training.
        class_names: names of the classes, in the order of their labels.

    Attributes:
        create: builds the network from options and a number of classes.
        monitor: figure logged in validation that is highest in the best checkpoint.
        progress: logged figures that the progress bar shows.
        page_title: heading of the page of a test.
        written: names of the files that `write_results` writes.
        skipped: messages about files that were skipped in training.
        results: result of the last validation or test, in every process; None before the first.
    """

    create: ClassVar[Callable[..., Any]]
    page_title: ClassVar[str]
    written: ClassVar[Sequence[str]]
    monitor: ClassVar[str]
    progress: ClassVar[Sequence[str]]

    def __init__(
        self, network: Any, optimization: Optimization, seed: int, class_names: Sequence[str]
    ) -> None:
        super().__init__()
        self.network = network
        self.optimization = optimization
        self.seed = seed
        self.class_names = tuple(class_names)
        self.skipped: list[str] = []
        self.checkpoint = "checkpoint"  # name in messages; the path once it is known
        self.results: Any = None
        self._part: Any = None  # the counts of this process

    def configure_optimizers(self) -> Any:
        """The optimizer and its schedule over all steps of the trainer."""
        steps = self.trainer.max_steps
        if steps < 1:
            raise ValueError(
                f"trainer.max_steps: expected at least 1, or trainer.max_epochs, got {steps}"
            )
        optimizer = self.optimization.optimizer(self.network)
        schedule = self.optimization.schedule(optimizer, steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed the random numbers of the step."""
        rank, step = self.trainer.global_rank, self.trainer.global_step
        source = np.random.SeedSequence((self.seed, step, batch_idx, rank))
        torch.manual_seed(int(source.generate_state(1, np.uint64)[0] >> np.uint64(1)))

    def add_up(self, terms: Mapping[str, Tensor], names: Sequence[str]) -> Tensor:
        """Return the loss of a batch, the sum of its terms, and log them.

        Raises:
            TrainingError: the loss is not finite.
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

    def scaled(self, images: Tensor) -> Tensor:
        """Images, uint8 [..., 3, H, W], less the network's mean and divided by its deviation."""
        mean, std = (
            torch.tensor(values, device=images.device).mul_(255)[:, None, None]
            for values in (self.network.mean, self.network.std)
        )
        return (images.float() - mean) / std

    def skip(self, messages: Sequence[str]) -> None:
        """Record files that were skipped in training, each once."""
        self.skipped += [message for message in messages if message not in self.skipped]

    def on_train_end(self) -> None:
        """Gather the skipped files of all processes."""
        parts = gather(self.skipped, self.trainer.world_size)
        self.skipped = [message for part in parts for message in part]

    def on_validation_epoch_start(self) -> None:
        """Start with empty results."""
        self._part = self.empty_results()

    def on_test_epoch_start(self) -> None:
        """Start with empty results."""
        self._part = self.empty_results()

    def validation_step(self, batch: Mapping[str, Any], batch_idx: int) -> Any:
        """Predict and count the one image of a batch.

        Returns:
            The prediction; None if the image was skipped.
        """
        self._part.skipped += batch["skipped"]
        outputs = self.predict_step(batch, batch_idx)
        if outputs is not None:
            self.count(self._part, batch, outputs)
        return outputs

    test_step = validation_step

    def on_validation_epoch_end(self) -> None:
        """Add up the results of all processes, and log the figures."""
        self._finish("val")

    def on_test_epoch_end(self) -> None:
        """Add up the results of all processes, and log the figures."""
        self._finish("test")

    def _finish(self, stage: str) -> None:
        total = self.empty_results()
        for part in gather(self._part, self.trainer.world_size):
            total = total.merge(part)
        # The data set may have skipped files before any image was read.
        data = getattr(self.trainer, "datamodule", None)
        total.skipped = [*getattr(data, "skipped", []), *total.skipped]
        self.results = total
        for name, value in self.figures(total).items():
            self.log(f"{stage}/{name}", value, sync_dist=True, prog_bar=name in self.progress)

    def tested(self) -> Any:
        """The results of the last test.

        Raises:
            ValueError: nothing was tested.
        """
        if self.results is None:
            raise ValueError("results: expected those of a test, got none")
        return self.results

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the network's configuration, from which the checkpoint alone can rebuild it."""
        checkpoint["hyper_parameters"] = {
            "network": self.network.config,
            "classes": {"names": list(self.class_names)},
            "optimization": self.optimization.to_dict(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint that does not fit the network, with the reason."""
        parameters = checkpoint.get("hyper_parameters", {})
        self.check_classes(parameters.get("classes"), source=self.checkpoint)
        prefix = "network."
        state = {
            name[len(prefix) :]: value
            for name, value in checkpoint["state_dict"].items()
            if name.startswith(prefix)
        }
        load_weights(self.network, state, source=self.checkpoint)
        # Filters have no tensors, so other filters would go unnoticed.
        held = parameters.get("network", {})
        ours = self.network.config
        keys = ["dealias", "mean", "std", "name", "class_path", "init_args", "size_divisor"]
        if not str(ours.get("name")).startswith("hf:"):  # its options differ between versions
            keys.append("options")
        for key in keys:
            if key not in held:
                continue
            theirs = held[key]
            if key == "dealias":
                try:
                    theirs = settled_dealias(self.network, theirs)
                except ValueError as error:
                    raise WeightsError(f"{self.checkpoint}: {error}") from error
            built, ours_built = _differing(theirs, ours.get(key))
            if built != ours_built:
                earlier = isinstance(held[key], Mapping) and "unit" not in held[key]
                hint = (
                    "; version 0.1 had place: before, unit: step, mixing: true, cutoff: published "
                    "and filter_options: {border: wrap}"
                    if earlier
                    else ""
                )
                raise WeightsError(
                    f"{self.checkpoint}: its network was built with {key} {built}, "
                    f"this one with {ours_built}{hint}"
                )

    def check_classes(
        self,
        held: Mapping[str, Any] | Sequence[str] | None,
        *,
        source: str,
        renamed: bool = False,
    ) -> None:
        """Refuse weights that were trained on other classes, or on these in another order.

        Case, blanks, "-" and "_" in names are ignored.

        Args:
            held: the classes that the weights were trained on, or a mapping that lists them under
                "names"; None if they are not known.
            source: name of the weights, for the message.
            renamed: whether classes may have been renamed; then only another order is refused.

        Raises:
            WeightsError: the classes differ.
        """
        names = held.get("names") if isinstance(held, Mapping) else held
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
        """Refuse data that lacks something that training needs, before a run writes anything.

        Raises:
            ValueError: something is missing.
        """

    def empty_results(self) -> Any:
        """Results without images, to `merge` others into."""
        raise NotImplementedError

    def count(self, results: Any, batch: Mapping[str, Any], outputs: Any) -> None:
        """Add the one image of a batch and its prediction to results."""
        raise NotImplementedError

    def figures(self, results: Any) -> dict[str, float]:
        """Complete the results of a validation or test, and return the figures to log."""
        raise NotImplementedError

    def write_results(self, folder: Path, more: Mapping[str, Any] | None = None) -> None:
        """Write the results of the last test: result.json and any further files of the task.

        Args:
            folder: created if it does not exist.
            more: further entries of result.json.
        """
        folder.mkdir(parents=True, exist_ok=True)
        write_json(self.tested().to_dict() | dict(more or {}), folder / "result.json")

    def write_prediction(self, folder: Path, name: str, outputs: Any) -> None:
        """Write the prediction for the image `name` to a file in a folder."""
        raise NotImplementedError

    def picture(self, batch: Mapping[str, Any], outputs: Any) -> NDArray[np.uint8]:
        """The one image of a validation batch beside its prediction, uint8 [H, W, 3]."""
        raise NotImplementedError

    def page_writer(self, folder: Path) -> Any:
        """A writer of a page of errors, such as :class:`dealias.report.ReportWriter`.

        It receives the `example` of each image and, at the end, the `page_result`.
        """
        raise NotImplementedError

    def example(self, batch: Mapping[str, Any], outputs: Any, score: ScoreAliasing) -> Any:
        """The one image of a test batch with its prediction, for the page.

        Args:
            batch: batch from the data module.
            outputs: output of the test step.
            score: function of a network and its input that returns the aliasing score of each
                pixel, float32 [B, H, W], or None.
        """
        raise NotImplementedError

    def page_result(self) -> Any:
        """The results of the last test, in the form that the page writer expects."""
        raise NotImplementedError


def _differing(theirs: Any, ours: Any) -> tuple[str, str]:
    """Two settings as text, equal if they mean the same; of mappings, only what differs."""
    if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
        keys = {
            key
            for key in {**theirs, **ours}
            if (theirs.get(key) or None) != (ours.get(key) or None)
        }
        keys -= {"unit"}  # the places of the filters already tell the unit
        theirs, ours = ({k: v for k, v in side.items() if k in keys} for side in (theirs, ours))
    return json.dumps(theirs, sort_keys=True), json.dumps(ours, sort_keys=True)
