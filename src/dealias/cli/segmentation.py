"""What commands print about segmentation: the check of a data set, and a test."""

from rich.console import Console
from rich.table import Table

from dealias.cli.console import list_sizes, print_list
from dealias.cli.evaluation_tables import print_evaluation
from dealias.cli.tables import add_row, percent
from dealias.data import DataCheck, SplitCheck
from dealias.text import printable

print_results = print_evaluation


def print_check(found: DataCheck[SplitCheck], console: Console) -> None:
    """Print the contents of the splits of a data set."""
    for split in found.splits:
        _print_split(split, console)


def _print_split(split: SplitCheck, console: Console) -> None:
    names = split.classes
    title = (
        f"{split.part}: split {printable(split.split)}, {split.samples:,} images of "
        f"{list_sizes(split.sizes)}; {percent(split.void_share)} % void"
    )
    console.print(title, soft_wrap=True)
    table = Table("class")
    for head in ("pixels (%)", "images", "pixels"):
        table.add_column(head, justify="right")
    rows = zip(names, split.shares, split.images, split.pixels, strict=True)
    for name, share, images, pixels in rows:
        add_row(table, name, percent(share), f"{images:,}", f"{pixels:,}")
    console.print(table)
    if split.unseen:
        absent = ", ".join(printable(names[label]) for label in split.unseen)
        console.print(f"without a pixel: {absent}", soft_wrap=True)
    for message in split.warnings:
        console.print(f"warning: {printable(message)}", soft_wrap=True)
    for what, lines in (
        ("files without a partner", list(map(str, split.unpaired))),
        ("files that can't be used", split.problems),
    ):
        if lines:
            console.print(f"{len(lines):,} {what}:")
            print_list(lines, console)
