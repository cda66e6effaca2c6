"""Tensors of a small network by the names that MMSegmentation and the published code have."""

import re

import torch

from dealias.models import create_model

_RENAMED = (
    (r"^backbone\.(layer\d\.\d+)\.conv2\.frequency_mixing\.", r"backbone.\1.att."),
    (r"^decode_head\.pooled\.", "decode_head.psp_modules."),
    (r"^decode_head\.context\.", "decode_head.bottleneck."),
    (r"^decode_head\.lateral\.", "decode_head.lateral_convs."),
    (r"^decode_head\.smooth\.", "decode_head.fpn_convs."),
    (r"^decode_head\.join\.", "decode_head.fpn_bottleneck."),
    (r"^decode_head\.classifier\.1\.", "decode_head.conv_seg."),
    (r"^aux_head\.0\.", "auxiliary_head.convs.0."),
    (r"^aux_head\.1\.1\.", "auxiliary_head.conv_seg."),
    (r"^((?:decode|auxiliary)_head\..*)\.norm\.", r"\1.bn."),
)
_DEEP_STEM = ((r"^backbone\.conv1\.", "backbone.stem."), (r"^backbone\.bn1\.", "backbone.stem.7."))


def official(**options):
    """A network of ours in evaluation mode, and its tensors by their names.

    Its running statistics are not those of a new one, so that none is lost unseen.
    """
    given = {"num_classes": 5, "backbone": "resnet18", "channels": 8, "aux_channels": 8, **options}
    model = create_model("upernet", **given).eval()
    for name, value in model.named_buffers():
        if "running" in name:
            value.copy_(torch.rand(value.shape) + 0.5)
    deep = "backbone.conv1.0.weight" in model.state_dict()
    state = {}
    for key, value in model.state_dict().items():
        for pattern, replacement in (*_RENAMED, *(_DEEP_STEM if deep else ())):
            key = re.sub(pattern, replacement, key)
        state[key] = value
    return model, state
