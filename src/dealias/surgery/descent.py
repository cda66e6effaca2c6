"""What the tensors of a pass descend from."""

from collections.abc import MutableMapping
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

# The input of the model, and whatever passed a layer with weights; steps and convolutions take
# further bits.
INPUT, LEARNED, FIRST = 1, 2, 4


class Descent:
    """Bits of tensors, none for those that it was not told of."""

    def __init__(self) -> None:
        self._bits: MutableMapping[Tensor, int] = WeakTensorKeyDictionary()

    def of(self, values: Any) -> int:
        """The bits of all tensors in a tree of values."""
        bits = 0
        for leaf in tree_leaves(values):
            if isinstance(leaf, Tensor):
                bits |= self._bits.get(leaf, 0)
        return bits

    def set(self, tensor: Tensor, bits: int) -> None:
        """Give a tensor bits in place of those that it has."""
        self._bits[tensor] = bits

    def add(self, tensor: Tensor, bits: int) -> None:
        """Give a tensor further bits."""
        self._bits[tensor] = self._bits.get(tensor, 0) | bits
