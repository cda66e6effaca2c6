"""Segmentation networks from transformers."""

import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dealias.models.huggingface_files import (
    check_backbones,
    check_model_folder,
    offline,
    read_pretrained,
    stored_normalisation,
)
from dealias.models.network import IMAGENET_MEAN, IMAGENET_STD, ModelError
from dealias.models.segmentation import Criterion, SegmentationModel, resize
from dealias.text import on_a_line, printable

# These predict masks and a class for each mask. All other networks of transformers score pixels.
_MASK_TYPES = ("mask2former", "maskformer")
# No downloads and no code from a folder; if not set, transformers would ask on the terminal.
_LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
_BACKBONES = dict.fromkeys(_MASK_TYPES, "model.pixel_level_module.encoder") | {
    "upernet": "backbone"
}


class _TransformersModel(SegmentationModel):
    """A network of transformers for semantic segmentation; see :class:`SegmentationModel`."""

    def __init__(
        self,
        network: nn.Module,
        *,
        num_classes: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
    ) -> None:
        super().__init__(num_classes=num_classes, mean=mean, std=std)
        self.network: Any = network
        self.aux_weight = getattr(network.config, "auxiliary_loss_weight", self.aux_weight)

    @property
    def backbone(self) -> nn.Module:  # type: ignore[override]
        """The encoder, a submodule of `network`."""
        network = self.network
        prefix = _BACKBONES.get(network.config.model_type, network.base_model_prefix)
        module: nn.Module = network.get_submodule(prefix)
        return module


class PixelNetwork(_TransformersModel):
    """A network of transformers that scores pixels, such as SegFormer or UperNet."""

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Score the pixels: see :meth:`SegmentationModel.forward`."""
        network = self.network
        if self.training and getattr(network, "auxiliary_head", None) is not None:
            # The library's forward pass does not return the output of the auxiliary head.
            features = network.backbone(images).feature_maps
            scores = {"out": network.decode_head(features), "aux": network.auxiliary_head(features)}
        else:
            scores = {"out": network(pixel_values=images).logits}
        return {name: resize(logits, images.shape[-2:]) for name, logits in scores.items()}


class MaskNetwork(_TransformersModel):
    """A network of transformers that predicts masks and their classes, such as Mask2Former."""

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Score the pixels: "out" is the logarithm of the masks' probabilities, summed by class.

        As in Mask2Former's own evaluation, mask logits are first resized to the size of the image.
        The post-processing of transformers resizes them to 384x384 instead, for any image.
        """
        outputs = self.network(pixel_values=images)
        classes = outputs.class_queries_logits.float().softmax(-1)[..., :-1]
        masks = resize(outputs.masks_queries_logits.float(), images.shape[-2:]).sigmoid()
        scores = torch.einsum("bqc,bqhw->bchw", classes, masks)
        return {"out": scores.clamp_min(torch.finfo(scores.dtype).tiny).log()}

    def loss(
        self,
        images: Tensor,
        target: Tensor,
        *,
        ignore_index: int,
        criterion: Criterion | None = None,
    ) -> dict[str, Tensor]:
        """Return the library's loss as "match": masks are matched to the classes of each image.

        Void pixels are in no mask. Images that are entirely void are left out.

        Raises:
            ModelError: a criterion is given.
        """
        if criterion is not None:
            raise ModelError(
                "losses: expected none for a network of masks, which has a loss of its own"
            )
        pairs = [_masks(labels, ignore_index) for labels in target]
        kept = [i for i, (classes, _) in enumerate(pairs) if len(classes)]
        if not kept:
            outputs = self.network(pixel_values=images)
            total = outputs.class_queries_logits.sum() + outputs.masks_queries_logits.sum()
            return {"match": 0 * total}
        outputs = self.network(
            pixel_values=images[kept],
            class_labels=[pairs[i][0] for i in kept],
            mask_labels=[pairs[i][1] for i in kept],
        )
        return {"match": outputs.loss.squeeze()}


def _masks(labels: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
    """The classes [N] in a label map `[H, W]`, and their masks `[N, H, W]`."""
    classes: Tensor = torch.unique(labels).long()
    classes = classes[classes != ignore_index]
    return classes, (labels == classes[:, None, None]).float()


def create_transformers_model(
    name: str,
    options: Mapping[str, Any],
    *,
    num_classes: int,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> tuple[SegmentationModel, dict[str, Any]]:
    """Build a network of transformers; nothing is downloaded.

    Args:
        name: a type of network, such as "segformer", with random weights; or a folder or a name in
            the local cache, with its weights if it has any. A folder that is called as a type needs
            "./" before its name. A head for another number of classes gets random weights.
        options: options that differ from the default configuration.
        num_classes: number of classes.
        mean: mean of the images; by default the one in the folder, or that of ImageNet.
        std: standard deviation of the images, with the same default.

    Returns:
        The network, and the arguments that build it again without the folder.

    Raises:
        ModelError: there is no such network, it has a backbone that timm does not know, weights of
            its backbone are missing, or the mean or standard deviation in the folder is not three
            finite numbers.
    """
    try:
        transformers = importlib.import_module("transformers")
    except ImportError as error:
        raise ModelError(f"name 'hf:{name}': {error}; pip install transformers") from error
    has_file = name not in transformers.CONFIG_MAPPING
    check_backbones(options, "options")
    try:
        if has_file and Path(name).is_dir():
            check_model_folder(Path(name))
        with offline():
            config = _configuration(transformers, name, options, num_classes, has_file)
            builder = _builder(transformers, config)
            network = _from_file(builder, name, config) if has_file else builder.from_config(config)
    except ModelError:
        raise
    except Exception as error:  # the library may raise any kind of error
        reason = on_a_line(error)
        raise ModelError(f"name 'hf:{name}': {type(error).__name__}: {reason}") from error
    stored = stored_normalisation(name) if has_file else (IMAGENET_MEAN, IMAGENET_STD)
    kind = MaskNetwork if config.model_type in _MASK_TYPES else PixelNetwork
    model = kind(
        network.float().train(),
        num_classes=num_classes,
        mean=tuple(mean or stored[0]),
        std=tuple(std or stored[1]),
    )
    whole = json.loads(config.to_json_string(use_diff=False))
    general = transformers.PretrainedConfig().to_dict()  # options unrelated to the architecture
    return model, {
        "name": f"hf:{config.model_type}",
        "num_classes": num_classes,
        "options": {key: value for key, value in whole.items() if key not in general},
        "mean": model.mean,
        "std": model.std,
    }


def _configuration(
    transformers: Any, name: str, options: Mapping[str, Any], num_classes: int, has_file: bool
) -> Any:
    def make(**given: Any) -> Any:
        if not has_file:
            return transformers.AutoConfig.for_model(name, **given)
        return transformers.AutoConfig.from_pretrained(name, **_LOCAL, **given)

    try:
        general = make()
    except OSError as error:
        raise ModelError(
            f"name 'hf:{printable(name)}': no such type of network, no such folder, and none of "
            f"that name in the local cache"
        ) from error
    known = {"num_labels", *general.to_dict(), *general.attribute_map}
    unknown = [key for key in options if key not in known]
    if unknown or "num_labels" in options:
        raise ModelError(
            f"options: {', '.join(unknown) or 'num_labels, which num_classes gives'}: no such "
            f"options of {general.model_type!r}"
        )
    config = make(**options, num_labels=num_classes)
    for part in (config, getattr(config, "backbone_config", None)):
        if part is not None and getattr(part, "use_pretrained_backbone", False):
            part.use_pretrained_backbone = False  # otherwise it would be downloaded
    if config.model_type != "upernet" and getattr(config, "use_auxiliary_head", False):
        config.use_auxiliary_head = False  # the library does not return its output
    return config


def _builder(transformers: Any, config: Any) -> Any:
    if config.model_type in _MASK_TYPES:
        return transformers.AutoModelForUniversalSegmentation
    builder = transformers.AutoModelForSemanticSegmentation
    if type(config) not in builder._model_mapping:
        known = sorted({*_MASK_TYPES, *(kind.model_type for kind in builder._model_mapping)})
        raise ModelError(
            f"name: expected a type among {', '.join(known)}, got {config.model_type!r}"
        )
    return builder


def _from_file(builder: Any, name: str, config: Any) -> Any:
    options = {"ignore_mismatched_sizes": True, "output_loading_info": True}
    found = read_pretrained(builder, name, config=config, **options)
    if found is None:  # a configuration without weights
        return builder.from_config(config, trust_remote_code=False)
    network, info = found
    prefix = _BACKBONES.get(config.model_type, network.base_model_prefix) + "."
    lacking = [*info["missing_keys"], *(mismatch[0] for mismatch in info["mismatched_keys"])]
    of_backbone = sorted(key for key in lacking if key.startswith(prefix))
    if of_backbone:
        raise ModelError(
            f"name 'hf:{printable(name)}': its weights lack {len(of_backbone)} tensors of the "
            f"backbone, such as {of_backbone[0]}"
        )
    return network
