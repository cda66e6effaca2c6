"""Networks in the form of the Hugging Face Hub: a folder with a model card, and its upload."""

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dealias.models.network import ModelError, network_name
from dealias.models.saved import check_known, load, save
from dealias.models.segmentation import SegmentationModel
from dealias.models.weights import digest_weights
from dealias.text import escape_markdown, printable, shorten, told_conditions

_TASK = "image-segmentation"
# Keys of a result, and the Hub's names of the metrics; the last three are errors.
_METRICS = {
    "mIoU": "mean_iou",
    "BIoU": "boundary_iou",
    "BAcc": "boundary_accuracy",
    "FErr": "false_response_error",
    "MErr": "merging_error",
    "DErr": "displacement_error",
}
_AGREEMENT = {
    "agreement": "Agreement under shifts",
    "agreement_preds_band": "Agreement in the predicted bands",
    "agreement_target_band": "Agreement in the target's bands",
}
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,60}")


def save_pretrained(
    model: SegmentationModel,
    folder: Path | str,
    *,
    result: Mapping[str, Any] | None = None,
    dataset: str | None = None,
    license: str | None = None,  # noqa: A002 - the Hub's word
    overwrite: bool = False,
) -> None:
    """Write a network with its model card: model.safetensors, config.json and README.md.

    :func:`dealias.models.save` writes the same without the card.

    Args:
        model: the network.
        folder: the folder; created if it does not exist.
        result: for the card, like the next two; see :func:`model_card`.
        dataset: name of the data set of the result.
        license: licence of the network.
        overwrite: whether to replace a network that was written to the folder before.

    Raises:
        OutputError: the folder is not empty and may not be overwritten, or can't be written.
        ValueError: see :func:`model_card` and :func:`dealias.models.save`.
    """
    card = model_card(model, result=result, dataset=dataset, license=license)
    save(model, folder, card=card, overwrite=overwrite)


def from_pretrained(
    name: Path | str, *, revision: str | None = None, trust: bool = False
) -> SegmentationModel:
    """Read a network that :func:`save_pretrained` wrote; nothing is downloaded.

    Args:
        name: a folder, or the name of a repository of the Hub, such as "user/network", that
            ``hf download`` has put into the local cache.
        revision: branch, tag or commit of the repository in the cache, by default "main".
        trust: import and run a user-defined network class that the folder names.

    Returns:
        The network in evaluation mode, on the CPU, in float32: see :func:`dealias.models.load`.

    Raises:
        ModelError: there is neither such a folder nor such a repository in the cache, or a revision
            is given with a folder; see also :func:`dealias.models.load`.
        WeightsError: see :func:`dealias.models.load`.
    """
    folder = Path(name)
    if not folder.is_dir():
        folder = _cached(str(name), revision)
    elif revision is not None:
        raise ModelError(f"revision: expected none with a folder, got {shorten(revision)}")
    return load(folder, trust=trust)


def push_to_hub(
    model: SegmentationModel,
    repo_id: str,
    *,
    result: Mapping[str, Any] | None = None,
    dataset: str | None = None,
    license: str | None = None,  # noqa: A002 - the Hub's word
    private: bool | None = None,
    revision: str | None = None,
    token: str | None = None,
    commit_message: str = "Upload a network of dealias",
) -> str:
    """Upload a network with its model card to a repository of the Hugging Face Hub.

    The repository is created if it does not exist. Files of other names in it are kept.

    Args:
        model: the network.
        repo_id: "user/network" or "organisation/network".
        result: for the card, like the next two; see :func:`model_card`.
        dataset: name of the data set of the result.
        license: licence of the network.
        private: whether a new repository is private; by default as set in the account.
        revision: the branch, by default "main".
        token: token of the account, by default the one of ``hf auth login``.
        commit_message: message of the commit.

    Returns:
        The address of the commit.

    Raises:
        ModelError: huggingface_hub is missing or set to be offline.
        ValueError: see :func:`model_card` and :func:`dealias.models.save`. Errors of the connection
            and of the Hub are those of huggingface_hub.
    """
    hub = _library()
    card = model_card(model, name=repo_id, result=result, dataset=dataset, license=license)
    api = hub.HfApi(token=token)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "network"
        save(model, folder, card=card)
        try:
            api.create_repo(repo_id, private=private, exist_ok=True)
            commit = api.upload_folder(
                repo_id=repo_id,
                folder_path=folder,
                revision=revision,
                commit_message=commit_message,
                ignore_patterns=[".*"],
            )
        except hub.errors.OfflineModeIsEnabled as error:
            raise ModelError("HF_HUB_OFFLINE: expected 0 for an upload, got 1") from error
    return str(commit.commit_url)


def model_card(
    model: SegmentationModel,
    *,
    name: str | None = None,
    result: Mapping[str, Any] | None = None,
    dataset: str | None = None,
    license: str | None = None,  # noqa: A002 - the Hub's word
) -> str:
    """Write the model card of a network: Markdown after a YAML header that the Hub reads.

    The card says how to load the network, what was de-aliased, its classes, and the figures of a
    result.

    Args:
        model: the network.
        name: name on the Hub, for the card's code that loads it; by default the code loads a
            folder.
        result: result of ``dealias test`` or ``evaluate`` for this network, as returned by
            :func:`dealias.report.read_result`. The card has its six figures, its agreement under
            shifts if there is one, the number of images and the protocol; the header has the
            figures as fractions. Undefined figures are left out.
        dataset: name of the data set of the result. By default the card names only the class set of
            its label maps.
        license: identifier of the Hub, such as "apache-2.0"; by default the card has none.

    Raises:
        ModelError: huggingface_hub is missing.
        ValueError: the result is not one, or belongs to other classes or weights than the
            network's; there is a data set but no result; or the licence is not an identifier.
    """
    hub = _library()
    if license is not None and not _LICENSE.fullmatch(license):
        raise ValueError(
            f"license: expected an identifier such as apache-2.0, got {shorten(license)}"
        )
    if result is None and dataset is not None:
        raise ValueError(f"dataset: expected a result that is of it, got {shorten(dataset)} alone")
    kind = network_name(model.config)
    # In other networks, the backbone is a submodule, such as "encoder".
    on = model.config["backbone"] if kind == "upernet" else None
    parts = [kind.rpartition(":")[2], *([str(on)] if on else [])]
    title = "-".join(parts)
    check_known(model)
    mended = [] if model.dealias_report is None else ["anti-aliasing"]
    figures: list[Any] = []
    tested: list[str] = []
    if result is not None:
        try:
            _check_classes(model, result)
            _check_weights(model, result)
            figures = [hub.EvalResult(**entry) for entry in _figures(result, dataset)]
            tested = list(_result_lines(result, dataset))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"result: expected one of dealias test or evaluate, got {shorten(result)}"
            ) from error
    header = hub.ModelCardData(
        library_name="dealias",
        pipeline_tag=_TASK,
        license=license,
        tags=[
            "semantic-segmentation",
            *parts,
            *mended,
        ],
        model_name=title if figures else None,
        eval_results=figures or None,
    )
    lines = [
        f"# {escape_markdown(title)}",
        "",
        f"A network for semantic segmentation with {model.num_classes} classes, made with dealias.",
        "",
        *_loading_lines(name, of_code="class_path" in model.config),
        *_dealias_lines(model),
        *tested,
        *_class_lines(model, result),
    ]
    return f"---\n{header.to_yaml().strip()}\n---\n\n" + "\n".join(lines) + "\n"


def _library() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise ModelError(f"{error}; pip install huggingface_hub") from error
    return huggingface_hub


def _cached(name: str, revision: str | None) -> Path:
    """The folder of a repository in the local cache."""
    hub = _library()
    try:
        return Path(hub.snapshot_download(name, revision=revision, local_files_only=True))
    except (hub.errors.LocalEntryNotFoundError, hub.errors.HFValidationError) as error:
        at = "" if revision is None else f" at {shorten(revision)}"
        raise ModelError(
            f"{printable(name)}: no such folder, and none of that name{at} in the local cache, "
            "into which hf download puts it"
        ) from error


def _check_classes(model: SegmentationModel, result: Mapping[str, Any]) -> None:
    names = [row["name"] for row in result["classes"]]
    known = None if model.classes is None else model.classes["names"]
    if len(names) != model.num_classes or known not in (None, names):
        wanted = model.num_classes if known is None else shorten(known)
        raise ValueError(f"result: expected classes {wanted}, got {len(names)}: {shorten(names)}")


def _check_weights(model: SegmentationModel, result: Mapping[str, Any]) -> None:
    """Refuse figures of other weights; results from label maps in files do not name weights."""
    if "weights" in result and result["weights"] != digest_weights(model):
        raise ValueError("result: expected one of this network, got one of other weights")
    # Filters have no tensors, so other filters would go unnoticed.
    ours = model.config.get("dealias")
    if "dealias" in result and result["dealias"] != json.loads(json.dumps(ours)):
        raise ValueError("result: expected one of this network, got one of other filters")


def _figures(result: Mapping[str, Any], dataset: str | None) -> Iterator[dict[str, Any]]:
    """Arguments of the Hub's record for each defined figure."""
    name = dataset or result["class_set"]
    common = {
        "task_type": _TASK,
        "task_name": "Semantic segmentation",
        "dataset_type": re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "unknown",
        "dataset_name": _data_of(result, dataset),
        "dataset_args": {"images": result["images"]},
    }
    shifts = result.get("shifts") or {}
    for key, kind in _METRICS.items():
        if result["metrics"][key] is not None:
            yield common | {
                "metric_type": kind,
                "metric_name": key,
                "metric_value": round(result["metrics"][key], 6),
                "metric_config": _how(result),
            }
    for key, words in _AGREEMENT.items():
        if shifts.get(key) is not None:
            yield common | {
                "metric_type": key,
                "metric_name": words,
                "metric_value": round(shifts[key], 6),
                "metric_config": f"{_how(result)}, {_moves(shifts)}",
            }


def _data_of(result: Mapping[str, Any], dataset: str | None) -> str:
    return printable(dataset or f"label maps in the classes of {result['class_set']}")


def _how(result: Mapping[str, Any]) -> str:
    told = told_conditions(result)
    extra = f", images {told}" if told else ""
    width = result["band_width"]
    return f"protocol {result['protocol']}, boundary bands {width:,} pixels wide{extra}"


def _moves(shifts: Mapping[str, Any]) -> str:
    return f"{shifts['shifts']:,} shifts of up to {shifts['largest']:,} pixels an image"


def _result_lines(result: Mapping[str, Any], dataset: str | None) -> Iterator[str]:
    yield "## How good it is"
    yield ""
    data = escape_markdown(_data_of(result, dataset))
    yield f"On {result['images']:,} images, {data}: {escape_markdown(_how(result))}."
    yield ""
    shifts = result.get("shifts") or {}
    ranges = (result.get("intervals") or {}).get("metrics", {})
    yield "| figure | % | 95 % interval |"
    yield "|---|--:|--:|"
    for key in _METRICS:
        arrow = "↓" if key.endswith("Err") else "↑"
        limits = ranges.get(key)
        between = "" if limits is None else f"{100 * limits[0]:.2f} to {100 * limits[1]:.2f}"
        yield f"| {key} {arrow} | {_percent(result['metrics'][key])} | {between} |"
    for key, words in _AGREEMENT.items():
        if key in shifts:
            yield f"| {words} ↑ | {_percent(shifts[key])} | |"
    yield ""
    if shifts:
        yield f"Agreement: the share of pixels that keep their class, {_moves(shifts)}."
        yield ""
    skipped = len(result["skipped"])
    notes = [f"{skipped:,} files were left out"] if skipped else []
    for note in [*notes, *result.get("warnings", [])]:
        yield f"- {escape_markdown(note)}"
    if notes or result.get("warnings"):
        yield ""


def _percent(value: float | None) -> str:
    return "undefined" if value is None else f"{100 * value:.2f}"


def _loading_lines(name: str | None, *, of_code: bool) -> Iterator[str]:
    yield "## Load it"
    yield ""
    if name is not None:
        yield from ("```sh", f"hf download {name}  # dealias itself downloads nothing", "```", "")
    yield "```python"
    yield "import torch"
    yield ""
    yield "from dealias.models import from_pretrained"
    yield ""
    trust = ", trust=True" if of_code else ""  # needed to import the class of the network
    yield f'model = from_pretrained("{"FOLDER" if name is None else name}"{trust})'
    yield "mean, std = (torch.tensor(value).view(3, 1, 1) for value in (model.mean, model.std))"
    yield "images = torch.rand(1, 3, 512, 1024)  # RGB in [0, 1]"
    yield "with torch.inference_mode():"
    yield '    labels = model((images - mean) / std)["out"].argmax(1)  # [1, 512, 1024]'
    yield "```"
    yield ""


def _dealias_lines(model: SegmentationModel) -> Iterator[str]:
    yield "## What was de-aliased"
    yield ""
    if model.dealias_report is None:
        yield "Nothing: no filter was put into the network."
        yield ""
        return
    yield "| step | put in | place | cutoff in cycles per pixel |"
    yield "|---|---|---|---|"
    for row in model.dealias_report.rows:
        cells = (escape_markdown(row["site"]), row["put in"], row["place"], row["cutoff"])
        yield f"| {' | '.join(cells)} |"
    left = len(model.dealias_report.left)
    yield ""
    if left:
        yield f"Steps without a filter: {left:,}."
        yield ""
    options = {k: v for k, v in model.config["dealias"].items() if k not in ("cutoff", "sites")}
    yield "Options of `dealias.dealias`:"
    yield from ("", "```json", json.dumps(options), "```", "")


def _class_lines(model: SegmentationModel, result: Mapping[str, Any] | None) -> Iterator[str]:
    yield "## Classes"
    yield ""
    rows = [] if result is None else result["classes"]
    names = [row["name"] for row in rows] if model.classes is None else model.classes["names"]
    if not names:
        yield f"The names of its {model.num_classes} classes are not known."
        return
    yield "| label | class |" + (" IoU in % ↑ |" if rows else "")
    yield "|--:|---|" + ("--:|" if rows else "")
    for label, own in enumerate(names):
        iou = f" {_percent(rows[label]['IoU'])} |" if rows else ""
        yield f"| {label} | {escape_markdown(own)} |{iou}"
