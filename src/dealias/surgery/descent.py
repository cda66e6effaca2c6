"""Track what the tensors of a pass descend from."""

from collections.abc import MutableMapping
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

# The input of the model, and whatever passed a layer with weights. Steps and convolutions have
# further bits.
INPUT, LEARNED, FIRST = 1, 2, 4


class Descent:
    """The bits of tensors; tensors that were never set have none."""

    def __init__(self) -> None:
        self._bits: MutableMapping[Tensor, int] = WeakTensorKeyDictionary()

    def of(self, values: Any) -> int:
        """Return the bits of all tensors in a tree of values."""
        bits = 0
        for leaf in tree_leaves(values):
            if isinstance(leaf, Tensor):
                bits |= self._bits.get(leaf, 0)
        return bits

    def set(self, tensor: Tensor, bits: int) -> None:
        """Replace the bits of a tensor."""
        self._bits[tensor] = bits

    def add(self, tensor: Tensor, bits: int) -> None:
        """Add bits to a tensor."""
        self._bits[tensor] = self._bits.get(tensor, 0) | bits
