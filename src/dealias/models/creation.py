"""Segmentation networks by name, or by the path of their class."""

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

from dealias.models.backbones import create_backbone
from dealias.models.huggingface import create_transformers_model
from dealias.models.network import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ModelError,
    check_arguments,
    check_positive,
    earlier_dealias,
    finish,
    limited,
)
from dealias.models.segmentation import SegmentationModel
from dealias.models.upernet import UPerNet
from dealias.models.wrapped import (
    FullyConvolutional,
    WrappedNetwork,
    create_from_code,
    create_smp,
    create_torchvision,
    load_backbone,
    try_out,
)
from dealias.text import printable

_LIBRARIES = {"smp": create_smp, "torchvision": create_torchvision}
_HEADS = ("channels", "aux_head", "aux_channels", "dropout")
# The arguments that each kind of network has in addition to the common ones.
_WRAPPED = ("backbone", "backbone_weights", "size_divisor")
_TAKEN: Mapping[str, Sequence[str]] = {
    "upernet": ("backbone", "backbone_weights", "backbone_options", *_HEADS),
    "timm": ("backbone_weights", "options"),
    "hf": ("options",),
    "smp": ("options", *_WRAPPED),
    "torchvision": ("options", *_WRAPPED),
    "class_path": ("init_args", *_WRAPPED),
}
# A network, and the arguments that build it again.
_Built = tuple[SegmentationModel, dict[str, Any]]
_Builder = Callable[..., _Built]
_OF_SOME = sorted({name for names in _TAKEN.values() for name in names})
_UPERNET_BACKBONE = "resnet50c"


def create_model(
    name: str | None = None,
    *,
    num_classes: int,
    class_path: str | None = None,
    init_args: Mapping[str, Any] | None = None,
    backbone: str | None = None,
    backbone_weights: Path | str | None = None,
    backbone_options: Mapping[str, Any] | None = None,
    channels: int = 128,
    aux_head: bool = True,
    aux_channels: int = 256,
    dropout: float = 0.1,
    options: Mapping[str, Any] | None = None,
    size_divisor: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    dealias: Mapping[str, Any] | None = None,
) -> SegmentationModel:
    """Build a segmentation network; nothing is downloaded.

    Args:
        name: "upernet", or one of the following. "smp:" and a network of
            segmentation_models_pytorch, such as "smp:Unet". "torchvision:" and a network of
            torchvision, such as "torchvision:deeplabv3_resnet50". "timm:" and a backbone with
            features at strides 4, 8, 16 and 32, such as "timm:resnet50"; each map is scored by a
            convolution of one pixel. "hf:" and a network of transformers: a type of network with
            random weights, such as "hf:segformer", "hf:mask2former" or "hf:upernet", or a folder
            ("hf:./segformer" if it is called as a type) or a name in the local cache.
        num_classes: number of classes.
        class_path: instead of a name, the path of a class or function, such as "my.module.Net",
            whose module takes images and returns scores; see
            :class:`dealias.models.WrappedNetwork`. It is imported and run. `num_classes` is passed
            as the argument of that name or, if there is none, as "classes", "n_classes" or
            "num_labels".
        init_args: arguments of that class.
        backbone: for "upernet", the name of a timm network with features at strides 4, 8, 16 and
            32, by default "resnet50c" (the paper's, with a stem of three convolutions); others
            are "convnext_tiny", "swin_tiny" or "tf_efficientnet_lite0". For `class_path`, "smp:"
            and "torchvision:", the name of the submodule that is the backbone: it takes the images,
            has its own learning rate, and is what `dealias` changes. The default is "encoder" for
            "smp:", "backbone" for "torchvision:", and the whole network for `class_path`.
        backbone_weights: file of torch.save or safetensors with the backbone's names (those of timm
            for "upernet" and "timm:"); for these two, also "packaged" for ImageNet weights from a
            Python package, available for "tf_efficientnet_lite0", "..._lite1", "..._lite2" and
            "mobilenetv2_100"; None for random weights.
        backbone_options: for "upernet", further arguments of ``timm.create_model``.
        channels: for "upernet", like the next three: channels of the pyramids.
        aux_head: whether there is an auxiliary head for training.
        aux_channels: channels of the auxiliary head.
        dropout: share of channels dropped before the classifiers.
        options: for networks of a library, arguments of their class or of ``timm.create_model``;
            for "hf:", options that differ from the default configuration of transformers.
        size_divisor: for `class_path`, "smp:" and "torchvision:", the number of which the input's
            height and width are multiples; other images are extended at the bottom and on the
            right. By default what "smp:" networks need, and 1 for others.
        mean: mean of the images per channel of RGB in [0, 1], three finite numbers. By default the
            one that the backbone was trained with if that is known, otherwise that of ImageNet.
        std: standard deviation, three positive numbers, with the same default.
        dealias: arguments of :func:`dealias.dealias` for the backbone, ``{}`` for its defaults;
            None leaves the backbone unchanged.

    Raises:
        ModelError: an argument is out of range or does not apply to this network; the network does
            not exist, can't be built, or is larger than :func:`dealias.models.network.limited`
            allows; or it does not return scores of `num_classes` classes.
        WeightsError: the weights of the backbone can't be read, or do not fit.

    >>> import torch
    >>> net = create_model("upernet", num_classes=19, backbone="test_resnet", dealias={})
    >>> net.eval()(torch.zeros(1, 3, 64, 96))["out"].shape
    torch.Size([1, 19, 64, 96])
    """
    kind = _kind(name, class_path)
    named = name or str(class_path)
    check_arguments(
        num_classes=num_classes,
        mean=mean,
        std=std,
        backbone_options=backbone_options,
        options=options,
        init_args=init_args,
    )
    check_positive("channels", channels)
    check_positive("aux_channels", aux_channels)
    if size_divisor is not None:
        check_positive("size_divisor", size_divisor)
    if type(aux_head) is not bool:
        raise ModelError(f"aux_head: expected true or false, got {aux_head!r}")
    if type(dropout) not in (int, float) or not 0 <= dropout < 1:
        raise ModelError(f"dropout: expected a share in [0, 1), got {dropout!r}")
    given = {
        "backbone": backbone,
        "backbone_weights": backbone_weights,
        "backbone_options": backbone_options,
        "channels": channels,
        "aux_head": aux_head,
        "aux_channels": aux_channels,
        "dropout": dropout,
        "options": options,
        "init_args": init_args,
        "size_divisor": size_divisor,
    }
    _check_taken(kind, named, given)
    builders: dict[str, _Builder] = {"hf": _of_transformers, "upernet": _upernet, "timm": _of_timm}
    build: _Builder = builders.get(kind, _wrapped)
    taken = {key: given[key] for key in _TAKEN[kind]}
    with limited():
        model, config = build(named, taken, num_classes=num_classes, mean=mean, std=std)
    if kind not in ("hf", "upernet"):
        try_out(model, "class_path" if kind == "class_path" else f"name {name!r}")
    key = "class_path" if kind == "class_path" else "name"
    shared = {"num_classes": num_classes, "mean": model.mean, "std": model.std}
    finish(model, {key: named, **shared, **config}, dealias)
    return model


def _kind(name: Any, class_path: Any) -> str:
    if name is not None and class_path is not None:
        raise ModelError(f"class_path: expected it or a name, got both, {name!r} too")
    if class_path is not None:
        return "class_path"
    kind, colon, rest = name.partition(":") if isinstance(name, str) else ("", "", "")
    if kind in _TAKEN and kind != "class_path" and bool(rest) == (kind != "upernet") == bool(colon):
        return str(kind)
    hint = ""
    if colon and rest.isidentifier() and kind not in _TAKEN:
        hint = f"; code of your own is named by class_path: {kind}.{rest}"
    raise ModelError(
        f"name: expected 'upernet', 'smp:...', 'torchvision:...', 'timm:...' or 'hf:...', got "
        f"{name!r}{hint}"
    )


def _check_taken(kind: str, name: str, given: Mapping[str, Any]) -> None:
    defaults = signature(create_model).parameters
    for key in _OF_SOME:
        if key not in _TAKEN[kind] and (given[key] or None) != (defaults[key].default or None):
            raise ModelError(
                f"{key}: is not for {printable(name)!r}, which takes {', '.join(_TAKEN[kind])}"
            )


def _of_transformers(name: str, given: Mapping[str, Any], **shared: Any) -> _Built:
    return create_transformers_model(name.removeprefix("hf:"), given["options"] or {}, **shared)


def _upernet(_: str, given: Mapping[str, Any], *, num_classes: int, mean: Any, std: Any) -> _Built:
    backbone = given["backbone"] or _UPERNET_BACKBONE
    options = given["backbone_options"] or {}
    heads = {key: given[key] for key in _HEADS}
    weights = given["backbone_weights"]
    built = create_backbone(backbone, options, weights=weights, mean=mean, std=std)
    model = UPerNet(built, num_classes=num_classes, **heads)
    return model, {**given, "backbone": backbone, "backbone_options": options}


def _of_timm(
    name: str, given: Mapping[str, Any], *, num_classes: int, mean: Any, std: Any
) -> _Built:
    options, weights = given["options"] or {}, given["backbone_weights"]
    named = name.removeprefix("timm:")
    built = create_backbone(named, options, weights=weights, mean=mean, std=std)
    return FullyConvolutional(built, num_classes=num_classes), {**given, "options": options}


def _wrapped(
    name: str, given: Mapping[str, Any], *, num_classes: int, mean: Any, std: Any
) -> _Built:
    library, _, rest = name.partition(":")
    part, divisor = None, 1
    if "init_args" in given:
        arguments = {"init_args": given["init_args"] or {}}
        network = create_from_code(name, arguments["init_args"], num_classes=num_classes)
    else:
        arguments = {"options": given["options"] or {}}
        network, part, divisor = _LIBRARIES[library](
            rest, arguments["options"], num_classes=num_classes
        )
    if not network.training:  # as a function may return it; frozen parts stay frozen
        network.train()
    model = WrappedNetwork(
        network.float(),
        num_classes=num_classes,
        mean=tuple(mean or IMAGENET_MEAN),
        std=tuple(std or IMAGENET_STD),
        backbone=given["backbone"] or part,
        size_divisor=given["size_divisor"] or divisor,
    )
    if given["backbone_weights"] is not None:
        load_backbone(model, given["backbone_weights"])
    settled = {"backbone": given["backbone"] or part, "size_divisor": model.size_divisor}
    return model, {**given, **arguments, **settled}


def recreate_model(
    config: Mapping[str, Any], *, source: str, trust: bool = False
) -> SegmentationModel:
    """Build a network from its stored configuration, with random weights.

    Args:
        config: arguments of :func:`create_model`; `backbone_weights` is ignored.
        source: where they come from, for messages.
        trust: import and run a class that the configuration names.

    Raises:
        ModelError: the configuration is broken, or names a class and `trust` is false.
    """
    named = config.get("class_path")
    if named is not None and not trust:
        raise ModelError(
            f"{source}: refused: its network is {printable(str(named))}, a class to import, which "
            f"is a program; --trust allows it, in Python trust=True"
        )
    try:
        dealias = earlier_dealias(config.get("dealias"))
        return create_model(**{**config, "backbone_weights": None, "dealias": dealias})
    except (ValueError, TypeError) as error:
        raise ModelError(f"{source}: {error}") from error
