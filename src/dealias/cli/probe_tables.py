"""What ``dealias probe`` prints."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from dealias.cli.tables import add_row, percent
from dealias.probe import ShiftResult, SiteResult
from dealias.surgery import rate_text


def print_sites(
    results: Sequence[SiteResult], images: int, shifted: ShiftResult | None, console: Console
) -> None:
    """Print the aliasing score of each step and, with `shifted`, its equivariance error."""
    table = Table(title=f"{images:,} images; scores in percent", title_justify="left")
    table.add_column("site", overflow="fold")
    for heading in ("kernel", "stride", "channels", "ESR", "Nyquist", "score", "±", "|cos|"):
        table.add_column(heading, justify="right")
    if shifted is not None:
        table.add_column("equivariance error", justify="right")
    for result in results:
        row = result.site.row
        table.add_row(
            *(row[key] for key in ("site", "kernel", "stride", "channels", "ESR")),
            rate_text(result.site.nyquist),
            percent(result.score),
            percent(result.spread),
            "-" if result.orthogonality is None else f"{result.orthogonality:.3f}",
            *([] if shifted is None else [percent(shifted.equivariance.get(result.site.name))]),
        )
    console.print(table)


def print_shifts(shifted: ShiftResult, console: Console) -> None:
    """Print the shift agreement of a network and, if it labels pixels, of each predicted class."""
    found = shifted.to_dict()
    bands = found["agreement_preds_band"]
    inside = "" if bands is None else f", {percent(bands)} % in the bands of the prediction"
    compared = int(shifted.counts[0, 0].sum())
    of_images = compared == shifted.images * shifted.shifts
    kept = "of shifts keep the class of the image" if of_images else "of pixels keep their class"
    console.print(
        f"shift agreement: {percent(found['agreement'])} % {kept}{inside}; "
        f"{shifted.shifts} shifts of each image",
        soft_wrap=True,
    )
    if of_images:
        return
    table = Table("class")
    for heading in ("compared pixels", "agreement", "in the bands of the prediction"):
        table.add_column(heading, justify="right")
    for row in found["classes"]:
        name = row.get("name", str(row["class"]))
        shares = (percent(row[key]) for key in ("agreement", "agreement_preds_band"))
        add_row(table, name, f"{row['compared']:,}", *shares)
    console.print(table)


def print_video(flicker: Mapping[str, Any], console: Console) -> None:
    """Print how often tracked points of a video keep their class between frames."""
    console.print(
        f"video: {percent(flicker['agreement'])} % of the points that could be followed "
        f"keep their class from frame to frame, {percent(flicker['agreement_preds_band'])} "
        f"% in the bands of the prediction; {flicker['frames']} frames, "
        f"{percent(flicker['compared'])} % of points followed",
        soft_wrap=True,
    )
