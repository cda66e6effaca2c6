"""Parts that all kinds of pages share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dealias.evaluation import COVERED, ERROR_COLORS
from dealias.labels import ClassSet
from dealias.metrics.functional import ARROWS, ERROR_KINDS, MEANS
from dealias.report.drawing import Drawn
from dealias.report.folder import PageFolder
from dealias.report.packing import to_script
from dealias.report.rendering import render
from dealias.report.sections import probe_section

NOTES = {
    "IoU": "Intersection over union of all pixels, averaged over classes.",
    "BIoU": "The same, inside the boundary bands only.",
    "BAcc": "Class recall inside the boundary bands.",
    "FErr": "False responses: the share missed near predicted boundaries.",
    "MErr": "Merging mistakes: the share missed near the boundaries of the target.",
    "DErr": "Displacements: the share missed where both have a boundary.",
}
# Image-by-image mIoU, with its names in the literature.
FINE_GRAINED_NOTES = {
    "mIoU_I": "Mean over images of the mean IoU of the classes in each target.",
    "mIoU_I_worst_tenth": "The same over the worst tenth of the images.",
    "mIoU_C": "Mean over classes of the mean IoU over the images that have the class.",
    "mIoU_C_worst_tenth": "The same over the worst tenth of the images of each class.",
}
# Short titles for the headings of narrow columns, and titles for a single pixel.
_SHORT = {
    "false_response": ("+ false", "false response"),
    "merging_mistake": ("+ merging", "merging mistake"),
    "displacement": ("+ displ.", "displacement"),
    "interior": ("+ interior", "interior error"),
}
# The layers of the viewer, with the photograph at the bottom.
PHOTOGRAPH: dict[str, Any] = {
    "key": "image",
    "title": "Photograph",
    "type": "photograph",
    "folder": "images",
    "opacity": 1,
    "optional": 1,
}
COUNTING = ("protocol", "band_width", "ignore_index")  # settings of counting that pages show
_SECTIONS = {
    "figures": "Figures",
    "kinds": "Kinds",
    "classes": "Classes",
    "pairs": "Pairs",
    "confusions": "Confusions",
    "widths": "Widths",
    "objects": "Objects",
    "gallery": "Images",
}
OVERLAID = 0.55  # opacity of errors over the photograph
DARKENED = 0.35  # opacity of the darkening of the photograph under errors alone


def write_page(
    folder: PageFolder,
    template: str,
    data: Mapping[str, Any],
    context: Mapping[str, Any],
    *,
    title: str,
    pictures: bool = True,
    probe: Mapping[str, Any] | None = None,
) -> None:
    """Write index.html and the data for its scripts, after the files of the images.

    Args:
        folder: folder of the page.
        template: name of the template.
        data: values for the scripts: classes, kinds, layers and rows, and values for this kind of
            page.
        context: values for the template; `sections` lists the sections of this kind of page.
        title: heading.
        pictures: whether the page shows images.
        probe: result of `dealias probe`, for a section on the network.

    Raises:
        OutputError: the page can't be written.
        ValueError: Jinja2 is not installed.
    """
    shown = {"title": title, "pictures": pictures, **data}
    folder.write("data.js", to_script("dealias.start", shown).encode("ascii"))
    common: dict[str, Any] = {
        "title": title,
        "aliasing": None,
        "shifts": None,
        "widths": None,
        "covered_share": COVERED,
        "probe": None if probe is None else probe_section(probe),
        "comparison": False,
        "changes": None,
        "outlines": (),
        "scored": False,
    }
    filled = common | dict(context)
    more = (
        ("aliasing", "Aliasing", filled["aliasing"]),
        ("shifts", "Shifts", filled["shifts"]),
        ("network", "Network", filled["probe"]),
    )
    filled["sections"] = [*filled["sections"], *(entry[:2] for entry in more if entry[2])]
    folder.finish(render(template, pictures, filled))


def sections(*keys: str, **named: str) -> list[tuple[str, str]]:
    """Return the ids and names of sections for the navigation; `named` overrides names."""
    return [(key, (_SECTIONS | named)[key]) for key in keys]


def counting_facts(result: Mapping[str, Any]) -> list[str]:
    """Describe how pixels were counted, for the line below the heading."""
    return [f"protocol {result['protocol']}", f"bands of {result['band_width']} px"]


def heat_layer(key: str, title: str) -> dict[str, Any]:
    """Return a layer of the viewer that shows the scores in a plane, for images that have it."""
    return {
        "key": key,
        "title": title,
        "type": "heat",
        "plane": key,
        "opacity": 0.75,
        "optional": 1,
    }


def label_layer(key: str, title: str) -> dict[str, Any]:
    """Return a layer of the viewer that shows the labels of a plane."""
    return {"key": key, "title": title, "type": "labels", "plane": key, "opacity": 0.6}


def error_layer(key: str, title: str, prediction: str) -> dict[str, Any]:
    """Return a layer of the viewer that shows the errors of a prediction."""
    return {
        "key": key,
        "title": title,
        "type": "errors",
        "plane": key,
        "prediction": prediction,
        "opacity": OVERLAID,
        "ground": DARKENED,
    }


def error_sorts(kinds: Iterable[Any]) -> list[tuple[str, str]]:
    """Return the options to sort images by these kinds of error."""
    return [(kind.key, f"{kind.title.lower()}, most first") for kind in kinds]


def metric_columns() -> list[dict[str, str]]:
    """Return the metrics in the order of the paper, with arrows and explanations."""
    return [
        {
            "name": name,
            "mean": MEANS.get(name, name),
            "arrow": arrow,
            "note": NOTES[name],
        }
        for name, arrow in ARROWS.items()
    ]


def kind_rows() -> list[dict[str, Any]]:
    """Return the kinds of error with their colours."""
    return [
        {
            "key": kind.key,
            "title": kind.title,
            "short": _SHORT[kind.key][0],
            "single": _SHORT[kind.key][1],
            "description": kind.description,
            "color": ERROR_COLORS[kind.key],
        }
        for kind in ERROR_KINDS
    ]


def is_present(row: Mapping[str, Any]) -> bool:
    """Whether a class of a result or of a comparison occurs in the targets or in predictions."""
    value = row["IoU"]
    sides = [value["a"], value["b"]] if isinstance(value, dict) else [value]
    return any(side is not None for side in sides)


def class_rows(classes: ClassSet) -> list[dict[str, Any]]:
    """Return the names and colours of the classes for the scripts."""
    return [
        {"name": name, "color": color}
        for name, color in zip(classes.names, classes.colors().tolist(), strict=True)
    ]


def script_kinds() -> list[dict[str, Any]]:
    """Return the kinds of error for the scripts."""
    keys = ("key", "title", "single", "color")
    return [{key: kind[key] for key in keys} for kind in kind_rows()]


def script_row(
    drawn: Drawn, scores: Sequence[float | None], pairs: Sequence[tuple[int, int]] = ()
) -> list[Any]:
    """Return the row of an image for the scripts, with the scores that it is sorted by.

    Args:
        drawn: the image.
        scores: scores in the order of the page's sort options.
        pairs: pairs of target and predicted class that the page links to.
    """
    number = {pair: index for index, pair in enumerate(pairs)}
    counted = [] if drawn.by_pair is None else drawn.by_pair.tolist()
    by_pair = [
        value
        for target, preds, *counts in counted
        if (target, preds) in number
        for value in (number[target, preds], *counts)
    ]
    rounded = [None if score is None else round(score, 5) for score in scores]
    return [
        drawn.name,
        drawn.key,
        drawn.height,
        drawn.width,
        drawn.has,
        rounded,
        drawn.counts,
        drawn.by_class,
        by_pair,
    ]
