"""What ``dealias data check`` says of images with instances."""

from rich.console import Console
from rich.table import Table

from dealias.cli.console import add_row, list_sizes, print_list
from dealias.instance import (
    InstanceCheck,
    InstanceSplitCheck,
    check_instances,
    write_instance_contact_sheet,
)
from dealias.text import printable

check = check_instances
write_sheet = write_instance_contact_sheet

_COLUMNS = ("instances", "images", "small", "medium", "large", "crowds")


def print_splits(found: InstanceCheck, console: Console) -> None:
    """Print what is in the splits of a data set."""
    for split in found.splits:
        _print_split(split, console)


def _print_split(split: InstanceSplitCheck, console: Console) -> None:
    title = (
        f"{split.part}: split {printable(split.split)}, {split.images:,} images of "
        f"{list_sizes(split.sizes)}; {split.empty:,} of them without an instance"
    )
    console.print(title, soft_wrap=True)
    table = Table("class")
    for head in _COLUMNS:
        table.add_column(head, justify="right")
    for counts in split.classes:
        add_row(table, counts.name, *(f"{getattr(counts, key):,}" for key in _COLUMNS))
    console.print(table)
    if split.unseen:
        absent = ", ".join(map(printable, split.unseen))
        console.print(f"classes without an instance: {absent}", soft_wrap=True)
    if split.ignored:
        listed = ", ".join(f"{printable(name)} {count:,}" for name, count in split.ignored.items())
        console.print(f"left out, as they are no classes: {listed}", soft_wrap=True)
    for note in split.notes:
        console.print(printable(note), soft_wrap=True)
    if split.problems:
        console.print(f"annotations or images that can't be used: {len(split.problems):,}")
        print_list(split.problems, console)
