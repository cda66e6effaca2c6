"""What last.ckpt holds, whatever other callbacks do as training ends."""

import pytest
import torch

pl = pytest.importorskip("pytorch_lightning")

from dealias.engine import LastCheckpoint  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers",
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
