"""Items of a data set that go on, if asked, without files that can't be used."""

from __future__ import annotations

from torch.utils.data import Dataset

from dealias.data.batches import Item
from dealias.data.reading import SampleError
from dealias.data.seeds import Purpose, augmentation_seed, index_at, stream
from dealias.text import FileError

_REPLACEMENTS = 20


class SkippingDataset(Dataset[Item]):
    """Items that are read one by one, for evaluation; subclasses say how.

    Without `skip_bad`, an item that can't be read is an error that names the file. With it, the
    item is what :meth:`missing` returns, and its "skipped" is a list with the message.
    """

    skip_bad: bool

    def __len__(self) -> int:
        """Number of items."""
        raise NotImplementedError

    def read(self, index: int) -> Item:
        """Read an item.

        Raises:
            FileError: a file can't be used.
        """
        raise NotImplementedError

    def missing(self, index: int) -> Item:
        """An item that could not be read."""
        raise NotImplementedError

    def __getitem__(self, index: int) -> Item:
        try:
            return self.read(index)
        except FileError as error:
            if not self.skip_bad:
                raise
            return self.missing(index) | {"skipped": [str(error)]}


class TrainingStream(Dataset[Item]):
    """The endless stream of training items: each depends on the seed and its position alone.

    Each len(dataset) positions take every item once, in a new order. With `skip_bad` of the data
    set, an item that can't be read is replaced by another, drawn from the seed and the position,
    and the message is listed in "skipped".

    Args:
        dataset: the items. Random numbers are to come from torch's CPU generator.
        seed: of the order and of the random numbers.
    """

    def __init__(self, dataset: SkippingDataset, *, seed: int) -> None:
        self.dataset = dataset
        self.seed = seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, position: int) -> Item:
        index = index_at(self.seed, position, len(self))
        others = stream(self.seed, Purpose.REPLACEMENT, position)
        skipped: list[str] = []
        while True:
            try:
                with augmentation_seed(self.seed, position):
                    return self.dataset.read(index) | {"skipped": skipped}
            except FileError as error:
                if not self.dataset.skip_bad:
                    raise
                skipped.append(str(error))
                if len(skipped) > _REPLACEMENTS:
                    count = f"{len(skipped)} samples in a row can't be used"
                    raise SampleError(error.path, f"{count}, the last for: {error}") from error
            index = int(others.randint(len(self)))
