"""Networks in folders: model.safetensors beside config.json."""

from pathlib import Path
from typing import Any

from torch import Tensor

import dealias
from dealias.files import to_json
from dealias.inputs import read_json
from dealias.models.conversion import classes_of
from dealias.models.creation import recreate_model
from dealias.models.segmentation import SegmentationModel
from dealias.models.weight_files import read_safetensors
from dealias.models.weights import WeightsError, load_weights
from dealias.outputs import OutputFolder, check_folder
from dealias.surgery import check_inserted, report_of
from dealias.text import FileError, printable

_WEIGHTS, _CONFIG, _CARD = "model.safetensors", "config.json", "README.md"


def save(
    model: SegmentationModel,
    folder: Path | str,
    *,
    card: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write a network: its tensors, and the configuration to build it again.

    Either all files are written completely, or the folder is left unchanged.

    Args:
        model: the network.
        folder: the folder; created if it does not exist.
        card: text of README.md, see :func:`dealias.models.model_card`; None for no such file.
        overwrite: whether to replace a network that was written to the folder before.

    Raises:
        OutputError: the folder is not empty and may not be overwritten, or can't be written.
        ValueError: the network was built without :func:`dealias.models.create_model`; the backbone
            has lost an inserted module, see :func:`dealias.surgery.check_inserted`; or
            :func:`dealias.dealias` inserted modules that the network's configuration does not
            contain.
    """
    from safetensors.torch import save as to_bytes

    check_known(model)
    folder = Path(folder)
    check_folder(folder, overwrite=overwrite)
    content = {
        "network": {k: v for k, v in model.config.items() if k != "backbone_weights"},
        "classes": model.classes,
        "dealias": dealias.__version__,
    }
    tensors = {k: v.detach().cpu().clone().contiguous() for k, v in model.state_dict().items()}
    with OutputFolder(folder) as output:
        output.write(_CONFIG, to_json(content))
        output.write(_WEIGHTS, to_bytes(tensors, {"format": "pt"}))
        if card is not None:
            output.write(_CARD, card.encode())
        output.finish()


def check_known(model: SegmentationModel) -> None:
    """Refuse a network that its configuration would not build again with all inserted modules.

    Raises:
        ValueError: see :func:`save`.
    """
    if not model.config:
        raise ValueError(
            f"model: expected a network of create_model, got a {type(model).__name__} without the "
            "configuration that builds it again"
        )
    report = report_of(model)
    if model.dealias_report is not None:
        check_inserted(model.backbone, model.dealias_report)
    elif report is not None:
        raise ValueError(
            f"{report.inserted[0].module}: dealias.dealias put it in, and the network would be "
            "built without it: create_model(..., dealias={...}) puts it in by the configuration, "
            "and load_state_dict takes the weights"
        )


def load(folder: Path | str, *, trust: bool = False) -> SegmentationModel:
    """Read a network that :func:`save` or ``dealias convert`` wrote.

    Args:
        folder: the folder.
        trust: import and run a user-defined network class that the folder names.

    Returns:
        The network in evaluation mode, on the CPU, in float32, with exactly the values that were
        saved; those of float64 are rounded.

    Raises:
        WeightsError: a file is missing or can't be read, or the tensors do not fit.
        ModelError: the configuration can't build a network, or names a class and `trust` is false.
    """
    folder = Path(folder)
    path = folder / _CONFIG
    content = _read_config(path)
    model = recreate_model(content["network"], source=printable(path), trust=trust)
    model.classes = classes_of(content.get("classes"), model.num_classes)
    if model.classes is None and content.get("classes") is not None:
        raise WeightsError(f"{printable(path)}: classes: expected {model.num_classes} names")
    weights = folder / _WEIGHTS
    load_weights(model, read_safetensors(weights), source=printable(weights))
    return model.eval()


def read_saved(folder: Path) -> tuple[dict[str, Tensor], Any]:
    """The tensors of a folder written by :func:`save`, and its classes as a mapping, or None.

    Raises:
        WeightsError: a file is missing or can't be read.
    """
    content = _read_config(folder / _CONFIG)
    return read_safetensors(folder / _WEIGHTS), content.get("classes")


def _read_config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise WeightsError(f"{printable(path)}: no such file; dealias.models.save writes one")
    try:
        content = read_json(path)
    except FileError as error:
        raise WeightsError(str(error)) from error
    if not isinstance(content, dict) or not isinstance(content.get("network"), dict):
        raise WeightsError(f'{printable(path)}: expected an object with "network", got none')
    return content
