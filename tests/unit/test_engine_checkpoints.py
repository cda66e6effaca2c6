"""What last.ckpt holds, whatever other callbacks do as training ends."""

from collections import Counter

import pytest
import torch
from torch.utils.data import DataLoader

pl = pytest.importorskip("pytorch_lightning")

from dealias.engine import LastCheckpoint  # noqa: E402
from dealias.engine.checkpoints import BestCheckpoint  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers",
    "ignore:Checkpoint directory .* exists and is not empty",
    "ignore:You.re resuming from a checkpoint that ended before the epoch",
    "ignore:.*isinstance.treespec, LeafSpec",
    "ignore:.*SWA is currently only supported every epoch",
)


class Falling(pl.LightningModule):
    """Has a weight that falls by 1 a step, from 0."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch, batch_idx):  # noqa: ARG002 - the names are Lightning's
        return self.weight

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)


def averages(name, **options):
    return lambda: getattr(pl.callbacks, name)(**options)


@pytest.mark.parametrize("every", [1, 2, 100])
@pytest.mark.parametrize("limits", [{"max_steps": 5}, {"max_epochs": 1}])
@pytest.mark.parametrize(
    ("make", "average"),
    [
        (averages("EMAWeightAveraging", decay=0.5), None),
        (averages("WeightAveraging"), -3.0),  # of -1 ... -5
        (averages("StochasticWeightAveraging", swa_lrs=1.0, swa_epoch_start=1), None),
    ],
)
def test_trained_weights_are_kept(make, average, limits, every, tmp_path):
    trainer = pl.Trainer(
        accelerator="cpu",
        callbacks=[make(), LastCheckpoint(tmp_path, every)],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        **{"max_epochs": -1} | limits,
    )
    trainer.fit(Falling(), torch.utils.data.DataLoader(range(5)))
    kept = torch.load(tmp_path / "last.ckpt", weights_only=False)
    trained = kept.get("current_model_state", kept["state_dict"])
    assert trained["weight"] == -5
    assert kept["global_step"] == 5
    if average is not None:
        assert kept["state_dict"]["weight"] == average


class Counted(pl.LightningModule):
    """Notes how many images each validation looks at, and may be killed at one of them."""

    def __init__(self, killed_at=None):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.killed_at, self.seen = killed_at, Counter()

    def training_step(self, *_):
        return self.weight

    def validation_step(self, _, index):
        if self.killed_at == (self.global_step, index):
            raise RuntimeError("killed")
        self.seen[self.global_step] += 1

    def on_validation_epoch_end(self):
        self.log("val/mIoU", 1 / self.global_step)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class TestValidationsOfTrainingsThatGoOn:
    IMAGES, STEPS = 5, 8

    def fit(self, folder, **options):
        trainer = pl.Trainer(
            accelerator="cpu",
            max_steps=options.pop("steps", self.STEPS),
            max_epochs=-1,
            val_check_interval=2,
            check_val_every_n_epoch=None,
            num_sanity_val_steps=0,
            callbacks=[BestCheckpoint(folder), LastCheckpoint(folder, 2)],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        module = Counted(options.pop("killed_at", None))
        batches = DataLoader(range(100)), DataLoader(range(self.IMAGES))
        trainer.fit(module, *batches, **options, weights_only=False)
        return module.seen

    @pytest.mark.parametrize("step", [2, 4, 6])
    @pytest.mark.parametrize("image", [0, 3])
    def test_one_that_was_cut_short_is_made_on_all_images(self, step, image, tmp_path):
        with pytest.raises(RuntimeError, match="killed"):
            self.fit(tmp_path, killed_at=(step, image))
        seen = self.fit(tmp_path, ckpt_path=tmp_path / "last.ckpt")
        assert seen == dict.fromkeys(range(step, self.STEPS + 1, 2), self.IMAGES)

    @pytest.mark.parametrize(("name", "step"), [("best", 2), ("last", 4)])
    def test_one_that_was_made_is_not_made_again(self, name, step, tmp_path):
        self.fit(tmp_path, steps=4)
        seen = self.fit(tmp_path, ckpt_path=tmp_path / f"{name}.ckpt")
        assert seen == dict.fromkeys(range(step + 2, self.STEPS + 1, 2), self.IMAGES)
