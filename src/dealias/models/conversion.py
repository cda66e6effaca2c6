"""Converting checkpoints of training runs and of the published code."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from dealias.models.creation import create_model, recreate_model
from dealias.models.network import ModelError
from dealias.models.official import BASIC_NAMES, official_config, official_name
from dealias.models.segmentation import SegmentationModel
from dealias.models.weight_files import read_checkpoint, state_dict_of
from dealias.models.weights import WeightsError, load_weights, match_names
from dealias.text import printable

_OWN = "network."  # prefix of names in checkpoints of `dealias fit`
_AVERAGE = "ema_"  # prefix of MMSegmentation's moving averages; use the tensors without it


@dataclass(frozen=True)
class Converted:
    """A network made from a checkpoint.

    Attributes:
        model: the network, in evaluation mode.
        left: descriptions of tensors in the checkpoint that the network does not use.
    """

    model: SegmentationModel
    left: tuple[str, ...] = ()


def convert(path: Path | str, *, filtered: bool = False, trust: bool = False) -> Converted:
    """Build a network from a checkpoint.

    Args:
        path: a checkpoint of ``dealias fit``, or of a UPerNet on a ResNet from the published code
            or MMSegmentation, .pth or .safetensors.
        filtered: whether a published network without frequency mixing has the filters, which have
            no tensors and so can't be detected.
        trust: import and run a user-defined network class that the checkpoint names.

    Raises:
        WeightsError: there is no such file, it contains more than tensors and plain values, or it
            belongs to another network.
        ModelError: a checkpoint of ``dealias fit`` has no configuration that builds its network,
            or names a class and `trust` is false.
    """
    path = Path(path)
    content = read_checkpoint(path)
    state = state_dict_of(content, source=printable(path))
    if any(key.startswith(_OWN) for key in state):
        return _from_own(printable(path), content, state, trust)
    return _from_official(printable(path), content, state, filtered)


def _from_own(
    source: str, content: Mapping[str, Any], state: Mapping[str, Tensor], trust: bool
) -> Converted:
    parameters = content.get("hyper_parameters")
    parameters = parameters if isinstance(parameters, dict) else {}
    config = parameters.get("network")
    if not isinstance(config, dict):
        raise ModelError(f'{source}: expected hyper_parameters with "network", got none')
    if parameters.get("task") == "instance":
        raise ModelError(
            f"{source}: expected a network for semantic segmentation, got one for instances, "
            f"{config.get('name')!r}, which dealias test and predict take as --ckpt_path"
        )
    model = recreate_model(config, source=source, trust=trust)
    own = {key.removeprefix(_OWN): value for key, value in state.items() if key.startswith(_OWN)}
    load_weights(model, own, source=source)
    model.classes = classes_of(parameters.get("classes"), model.num_classes)
    return Converted(model.eval())


def _from_official(
    source: str, content: Mapping[str, Any], state: Mapping[str, Tensor], filtered: bool
) -> Converted:
    named = match_names(state, BASIC_NAMES, source=source)
    state = {key: value for key, value in named.items() if not key.startswith(_AVERAGE)}
    left = []
    if len(state) < len(named):
        left.append(f"tensors of moving averages ({len(named) - len(state):,})")
    try:
        config = official_config(state, filtered=filtered)
        model = create_model(**config)
    except (ModelError, WeightsError) as error:
        raise WeightsError(f"{source}: {error}") from error
    auxiliary = [key for key in state if key.startswith("auxiliary_head.")]
    if auxiliary and not config["aux_head"]:
        left.append("the auxiliary head, which is not a single convolution on the third stage")
        state = {key: value for key, value in state.items() if key not in auxiliary}
    load_weights(model, {official_name(k): v for k, v in state.items()}, source=source)
    meta = content.get("meta")
    if isinstance(meta, dict):
        model.classes = classes_of(meta.get("dataset_meta", meta), model.num_classes)
    return Converted(model.eval(), tuple(left))


def classes_of(meta: Any, num_classes: int) -> dict[str, Any] | None:
    """Names and colours of the classes from a mapping with "classes" or "names", in any case.

    None if there are no names, or another number of them.
    """
    if not isinstance(meta, dict):
        return None
    found = {str(key).lower(): value for key, value in meta.items()}
    names = _list_of(str, found.get("names", found.get("classes")), num_classes)
    if names is None:
        return None
    palette = _list_of(list | tuple, found.get("palette"), num_classes)
    if palette is not None:
        palette = [list(color) for color in palette] if all(map(_is_color, palette)) else None
    return {"names": names, "palette": palette}


def _list_of(kind: Any, value: Any, length: int) -> list[Any] | None:
    if not isinstance(value, list | tuple) or len(value) != length:
        return None
    return list(value) if all(isinstance(item, kind) for item in value) else None


def _is_color(value: Sequence[Any]) -> bool:
    return len(value) == 3 and all(type(part) is int and 0 <= part <= 255 for part in value)
