"""The metric as a LightningModule logs it."""

import pytest
import torch
from torchmetrics import MetricCollection

from dealias.metrics import HardPixelErrors
from dealias.metrics.functional import count_hard_pixels, scores
from helpers import random_maps

pl = pytest.importorskip("pytorch_lightning")

# Of Lightning itself, and of what it calls.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers", "ignore:.*isinstance.treespec, LeafSpec"
)

CLASSES = 6
SHOWN = ("mIoU", "MErr")


class _Judged(pl.LightningModule):
    """Validates label maps in the batches as if a network had made them."""

    def __init__(self, metric):
        super().__init__()
        self.metric = metric
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, batch_idx):  # noqa: ARG002 - the names are Lightning's
        return self.layer(batch[0].float().mean().view(1)).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class LogsAtTheEnd(_Judged):
    def validation_step(self, batch, batch_idx):  # noqa: ARG002
        self.metric.update(*batch)

    def on_validation_epoch_end(self):
        self.log_dict(self.metric.compute())
        self.metric.reset()


class LogsTheMetric(_Judged):
    def validation_step(self, batch, batch_idx):  # noqa: ARG002
        self.metric.update(*batch)
        self.log(self.metric.score, self.metric)


class LogsTheMetricByStep(_Judged):
    def validation_step(self, batch, batch_idx):  # noqa: ARG002
        self.metric(*batch)
        self.log(self.metric.score, self.metric, on_step=True, on_epoch=True, prog_bar=True)


class LogsTheCollection(_Judged):
    def validation_step(self, batch, batch_idx):  # noqa: ARG002
        self.metric.update(*batch)
        self.log_dict(self.metric)


class LogsEachBatch(_Judged):
    def validation_step(self, batch, batch_idx):  # noqa: ARG002
        self.log_dict(self.metric(*batch), sync_dist=True)


@pytest.fixture
def batches():
    pairs = [random_maps(seed, 30, 40, CLASSES - 1) for seed in range(3)]  # one class is absent
    return [(preds[None], target[None]) for preds, target in pairs]


def expected(batches):
    counts = [count_hard_pixels(*batch, num_classes=CLASSES) for batch in batches]
    return scores(sum(counts[1:], counts[0]))


def validated(module, batches, tmp_path, *, fit=False):
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        max_epochs=2,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=1,
        default_root_dir=tmp_path,
    )
    loader = torch.utils.data.DataLoader(batches, batch_size=None)
    if fit:
        trainer.fit(module, loader, loader)
    else:
        trainer.validate(module, loader, verbose=False)
    return {name: value.item() for name, value in trainer.callback_metrics.items()}


def one(name):
    return HardPixelErrors(CLASSES, score=name)


@pytest.mark.parametrize("fit", [False, True])
@pytest.mark.parametrize(
    ("kind", "make", "names"),
    [
        (LogsAtTheEnd, lambda: HardPixelErrors(CLASSES), ("mIoU", "MErr", "edge_false_rate")),
        (LogsAtTheEnd, lambda: MetricCollection({"all": HardPixelErrors(CLASSES)}), SHOWN),
        (LogsTheMetric, lambda: one("MErr"), ("MErr",)),
        (LogsTheMetricByStep, lambda: one("DErr"), ("DErr",)),
        (LogsTheCollection, lambda: MetricCollection({n: one(n) for n in SHOWN}), SHOWN),
        (LogsTheCollection, lambda: MetricCollection([one("BIoU")], prefix="val_"), ("val_BIoU",)),
    ],
)
def test_the_data_set_is_scored(kind, make, names, fit, batches, tmp_path):
    found = validated(kind(make()), batches, tmp_path, fit=fit)
    wanted = expected(batches)
    for name in names:
        logged = "val_HardPixelErrors" if name == "val_BIoU" else name
        assert found[logged] == pytest.approx(wanted[name.removeprefix("val_")].item())


def test_what_forward_returns_is_logged(batches, tmp_path):
    """Averaged by Lightning over the batches, as it does with any tensor."""
    found = validated(LogsEachBatch(HardPixelErrors(CLASSES)), batches, tmp_path)
    each = [scores(count_hard_pixels(*batch, num_classes=CLASSES)) for batch in batches]
    for name in SHOWN:
        assert found[name] == pytest.approx(sum(one[name].item() for one in each) / 3)


def test_a_score_that_is_not_defined_is_logged_as_nan(batches, tmp_path):
    void = [(preds, torch.full_like(target, 255)) for preds, target in batches]
    found = validated(LogsTheMetric(one("mIoU")), void, tmp_path)
    assert found["mIoU"] != found["mIoU"]
