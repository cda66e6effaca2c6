"""Checkpoints of the published code and of MMSegmentation, on which it is built."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from dealias.models.weights import WeightsError
from dealias.text import printable

# (bottlenecks, blocks of each layer): depth.
_DEPTHS: dict[tuple[bool, tuple[int, ...]], int] = {
    (False, (2, 2, 2, 2)): 18,
    (False, (3, 4, 6, 3)): 34,
    (True, (3, 4, 6, 3)): 50,
    (True, (3, 4, 23, 3)): 101,
    (True, (3, 8, 36, 3)): 152,
}
_DEEP_STEM = {"stem_type": "deep", "stem_width": 32}
_JOIN = "decode_head.fpn_bottleneck.conv.weight"
_CLASSIFIER = "decode_head.conv_seg.weight"
BASIC_NAMES = (_JOIN, _CLASSIFIER)  # in all such checkpoints
_AUX = "auxiliary_head.convs.0.conv.weight"
_FILTERS = {
    "place": "before",
    "cutoff": 0.35,
    "filter_options": {"band_edge": "official", "border": "wrap"},
}
_MIXING = {"mixing": True, "mixing_options": {"pooling": "official"}}
_RENAMED = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^backbone\.stem\.7\.", "backbone.bn1."),
        (r"^backbone\.stem\.", "backbone.conv1."),
        (r"^(backbone\.layer\d\.\d+)\.att\.", r"\1.conv2.frequency_mixing."),
        (r"^decode_head\.psp_modules\.", "decode_head.pooled."),
        (r"^decode_head\.bottleneck\.", "decode_head.context."),
        (r"^decode_head\.lateral_convs\.", "decode_head.lateral."),
        (r"^decode_head\.fpn_convs\.", "decode_head.smooth."),
        (r"^decode_head\.fpn_bottleneck\.", "decode_head.join."),
        (r"^decode_head\.conv_seg\.", "decode_head.classifier.1."),
        (r"^auxiliary_head\.convs\.0\.", "aux_head.0."),
        (r"^auxiliary_head\.conv_seg\.", "aux_head.1.1."),
        (r"^((?:decode|aux)_head\..*)\.bn\.", r"\1.norm."),
    )
)


def official_name(key: str) -> str:
    """Our name for a tensor of an official checkpoint.

    >>> official_name("decode_head.psp_modules.0.1.bn.weight")
    'decode_head.pooled.0.1.norm.weight'
    """
    for pattern, replacement in _RENAMED:
        key = pattern.sub(replacement, key)
    return key


def official_config(state: Mapping[str, Tensor], *, filtered: bool = False) -> dict[str, Any]:
    """Work out the arguments of :func:`create_model` for the network of an official checkpoint.

    Args:
        state: tensors by their official names; only names and shapes matter.
        filtered: whether a network without frequency mixing has the filters, which have no tensors
            and so can't be detected.

    Raises:
        WeightsError: the network is not a UPerNet on a ResNet.
    """
    join = state.get(_JOIN)
    classifier = state.get(_CLASSIFIER)
    if join is None or classifier is None:
        found = sorted({key.split(".")[0] for key in state})
        raise WeightsError(
            f"expected a UPerNet of the published code or of MMSegmentation, with "
            f"decode_head.fpn_bottleneck and decode_head.conv_seg; got tensors of "
            f"{', '.join(map(printable, found[:5]))}"
        )
    aux = state.get(_AUX)
    for key, weight in ((_JOIN, join), (_CLASSIFIER, classifier), (_AUX, aux)):
        if weight is not None and weight.ndim != 4:
            raise WeightsError(
                f"{key}: expected a tensor of 4 dimensions, got {tuple(weight.shape)}"
            )
    pools = {key.split(".")[2] for key in state if key.startswith("decode_head.psp_modules.")}
    if len(pools) != 4:
        raise WeightsError(f"expected a UPerNet that pools at 4 sizes, got {len(pools)}")
    backbone, options, stage3 = _resnet(state)
    is_ours = (
        aux is not None
        and aux.shape[1:] == (stage3, 3, 3)
        and not any(key.startswith("auxiliary_head.convs.1.") for key in state)
    )
    dealias = None
    if any(".att.freq_weight_conv." in key for key in state):
        dealias = {**_FILTERS, **_MIXING}
    elif filtered:
        dealias = {**_FILTERS, "mixing": False}
    return {
        "name": "upernet",
        "num_classes": classifier.shape[0],
        "backbone": backbone,
        "backbone_options": options,
        "channels": join.shape[0],
        "aux_head": is_ours,
        "aux_channels": aux.shape[0] if aux is not None and is_ours else 256,
        "dealias": dealias,
    }


def _resnet(state: Mapping[str, Tensor]) -> tuple[str, dict[str, Any], int]:
    """The name of the backbone, its options, and the channels of its third stage."""
    blocks = {match[0] for key in state if (match := re.match(r"backbone\.layer\d\.\d+", key))}
    layers = tuple(sum(b.startswith(f"backbone.layer{i}.") for b in blocks) for i in range(1, 5))
    bottlenecks = "backbone.layer1.0.conv3.weight" in state
    depth = _DEPTHS.get((bottlenecks, layers))
    if depth is None:
        others = [key for key in state if key.startswith("backbone.")][:3]
        raise WeightsError(
            f"expected a ResNet, plain or of the kinds v1c and v1d, as backbone, got one of layers "
            f"of {', '.join(map(str, layers))} blocks, with "
            f"{', '.join(map(printable, others))}"
        )
    channels = 1024 if bottlenecks else 256
    if "backbone.stem.0.weight" not in state:
        return f"resnet{depth}", {}, channels
    if "backbone.layer2.0.downsample.2.weight" in state:
        return f"resnet{depth}d", {}, channels
    if bottlenecks:
        return f"resnet{depth}c", {}, channels
    return f"resnet{depth}", _DEEP_STEM, channels  # timm has no name for it
