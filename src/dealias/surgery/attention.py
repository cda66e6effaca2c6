"""Recognise attention in a pass: a softmax whose weights go into a product of maps."""

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from dealias.surgery.descent import INPUT, Descent

# Products of two matrices or of batches of matrices, and the names of their factors.
_FACTORS = {
    "addmm": ("mat1", "mat2"),
    "baddbmm": ("batch1", "batch2"),
    "bmm": ("self", "mat2"),
    "mm": ("self", "mat2"),
}
_SOFTMAX = {"_softmax", "_safe_softmax"}


@dataclass(frozen=True)
class _Scores:
    """The scores of an attention, or the weights that a softmax makes of them.

    `queries` and `keys` are the bits of the two factors whose product the scores are. If the scores
    are not a product, all their bits count as those of keys.
    """

    queries: int
    keys: int
    number: int = 0  # number of keys, for weights


class AttentionReader:
    """Follows scores from the product of queries and keys to the product of weights and values."""

    def __init__(self, descent: Descent) -> None:
        self._descent = descent
        self._scores: MutableMapping[Tensor, _Scores] = WeakTensorKeyDictionary()

    def read(self, name: str, given: Mapping[str, Any], out: Any) -> int:
        """Return the bits of keys or values that queries lack; 0 if no attention ends here.

        Args:
            name: name of the operation, without its namespace.
            given: arguments by name.
            out: result.
        """
        if "scaled_dot_product" in name:
            queries, keys, values = (self._descent.of(given[n]) for n in ("query", "key", "value"))
            return (keys | values) & ~queries
        if name in _FACTORS:
            a, b = (given[n] for n in _FACTORS[name])
            if self._descent.of(a) & self._descent.of(b) & INPUT:
                return self._read_product(a, b, out)
        if isinstance(out, Tensor):
            self._follow(name, given, out)
        return 0

    def _read_product(self, a: Tensor, b: Tensor, out: Tensor) -> int:
        for weights, axis, values in ((a, -1, b), (b, -2, a)):
            scores = self._scores.get(weights)
            if scores is not None and scores.number == weights.shape[axis]:
                return (scores.keys | self._descent.of(values)) & ~scores.queries
        self._scores[out] = _Scores(self._descent.of(a), self._descent.of(b))
        return 0

    def _follow(self, name: str, given: Mapping[str, Any], out: Tensor) -> None:
        """Treat the result of an operation on scores as scores again if it has as many elements."""
        leaves = tree_leaves(dict(given))
        tensors = [x for x in leaves if isinstance(x, Tensor) and x.numel() == out.numel()]
        scores = next((self._scores[x] for x in tensors if x in self._scores), None)
        if name in _SOFTMAX:
            scores = self._weights(given, out, scores)
        if scores is not None:
            self._scores[out] = scores

    def _weights(
        self, given: Mapping[str, Any], out: Tensor, scores: _Scores | None
    ) -> _Scores | None:
        if out.ndim < (3 if scores is None else 2):
            return None  # a gate
        axis = given["dim"] % out.ndim
        is_last = axis == out.ndim - 1
        if out.shape[-2 if is_last else -1] == 1:
            return None  # a single query, whose result has no resolution
        if scores is None:
            scores = _Scores(0, self._descent.of(given["self"]))
        sides = (scores.queries, scores.keys) if is_last else (scores.keys, scores.queries)
        return _Scores(*sides, number=out.shape[axis])
