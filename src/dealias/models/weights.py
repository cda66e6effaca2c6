"""Loading weights into a network, with errors that say what does not fit."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from dealias.models.errors import WeightsError
from dealias.models.segmentation import SegmentationModel
from dealias.text import printable

_MIXING = ".frequency_mixing."


def load_weights(model: SegmentationModel, state: Mapping[str, Tensor], *, source: str) -> None:
    """Load weights into a network: all of its tensors, and no others.

    Args:
        model: the network; nothing of it changes if the weights do not fit.
        state: tensors by the names that the network has for them.
        source: where they come from, for messages.

    Raises:
        WeightsError: they are for another number of classes, or of another network: the message
            says which tensors are missing, unexpected or of another shape.

    >>> from dealias.models import create_model
    >>> model, other = (create_model("upernet", num_classes=n, backbone="test_resnet")
    ...                 for n in (11, 19))
    >>> load_weights(model, other.state_dict(), source="other.ckpt")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    dealias.models...WeightsError: other.ckpt: expected 11 classes, the checkpoint has 19: ...
    """
    own = model.state_dict()
    shapes = [k for k, v in own.items() if k in state and state[k].shape != v.shape]
    missing = [k for k in own if k not in state and not k.endswith("num_batches_tracked")]
    unexpected = [k for k in state if k not in own]
    problem = _of_classes(model, own, state, shapes) or _of_dealiasing(missing, unexpected)
    details = [
        *listed("missing", missing),
        *listed("unexpected", unexpected),
        *listed("of another shape", [_both_shapes(k, own, state) for k in shapes]),
    ]
    if details:
        what = problem or f"weights of another network than this of {len(own)} tensors"
        raise WeightsError(f"{source}: {what}: {'; '.join(details)}")
    model.load_state_dict({**own, **state})


def listed(kind: str, keys: Sequence[str], most: int = 4) -> list[str]:
    """How many there are of a kind and the first of them; nothing if there are none."""
    if not keys:
        return []
    more = ", ..." if len(keys) > most else ""
    return [f"{len(keys):,} {kind} ({', '.join(map(printable, keys[:most]))}{more})"]


def _both_shapes(key: str, own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    return f"{key}: expected {tuple(own[key].shape)}, got {tuple(state[key].shape)}"


def _of_classes(
    model: SegmentationModel,
    own: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    shapes: Sequence[str],
) -> str:
    """The problem, if the tensors of another shape differ in the number of classes alone."""
    found = set()
    for key in shapes:
        ours, theirs = own[key].shape, state[key].shape
        surplus = ours[0] - model.num_classes if len(ours) == len(theirs) > 0 else -1
        if surplus not in (0, 1) or ours[1:] != theirs[1:]:  # 1 for the class "none"
            return ""
        found.add(theirs[0] - surplus)
    if len(found) != 1:
        return ""
    return f"expected {model.num_classes} classes, the checkpoint has {found.pop()}"


def _of_dealiasing(missing: Sequence[str], unexpected: Sequence[str]) -> str:
    if missing and all(_MIXING in key for key in missing) and not unexpected:
        return "expected a de-aliased network, the checkpoint is of one without frequency mixing"
    if unexpected and all(_MIXING in key for key in unexpected) and not missing:
        return "expected a network without frequency mixing, the checkpoint is of a de-aliased one"
    return ""
