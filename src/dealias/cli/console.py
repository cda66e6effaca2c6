"""Tables and progress on the terminal."""

import contextlib
import io
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from dealias.processes import main_process
from dealias.text import printable

_PIPE_WIDTH = 100
_LISTED = 10


def output_console() -> Console:
    """Standard output: as wide as the terminal, or of fixed width when piped."""
    output = sys.stdout or io.StringIO()  # stdout is None if it was closed
    width = None if output.isatty() else _PIPE_WIDTH
    return Console(file=output, width=width, markup=False, highlight=False, emoji=False)


def tell(text: str) -> None:
    """Print text as it is, line by line."""
    for line in text.splitlines():
        output_console().print(printable(line), soft_wrap=True)


@contextlib.contextmanager
def progress(total: int) -> Iterator[Callable[[], object]]:
    """Show a progress bar on a terminal, and nothing elsewhere."""
    console = Console(stderr=True)
    # If FORCE_COLOR is set, as in notebooks and CI services, rich takes a pipe for a terminal.
    on_terminal = sys.stderr is not None and sys.stderr.isatty() and console.is_terminal
    if not (on_terminal and main_process()):
        yield lambda: None
        return
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        """Images per second so far."""
        return Text("" if task.speed is None else f"{task.speed:,.1f}/s")


def short_names(paths: Sequence[Path]) -> list[str]:
    """Short distinct names of files: the name without suffix, or as much of the path as needed.

    >>> short_names([Path("runs/plain/result.json"), Path("runs/filtered/result.json")])
    ['plain', 'filtered']
    """
    stems = [path.stem for path in paths]
    if len(set(stems)) == len(stems):
        return stems
    for depth in range(1, 1 + min(len(path.parts) for path in paths)):
        names = [path.parts[-depth] for path in paths]
        if len(set(names)) == len(names):
            return names
    return [str(path.with_suffix("")) for path in paths]


def print_list(lines: Sequence[str], console: Console) -> None:
    """Print the first lines of a list, and the number of the others."""
    for line in lines[:_LISTED]:
        console.print(f"  {printable(line)}", soft_wrap=True)
    if len(lines) > _LISTED:
        console.print(f"  and {len(lines) - _LISTED:,} more")


def list_sizes(sizes: Mapping[tuple[int, int], int]) -> str:
    """The first sizes (H, W) of images, and the number of the others.

    >>> list_sizes({(360, 480): 7, (720, 960): 1})
    '480x360, 960x720'
    """
    listed = [f"{width}x{height}" for height, width in sizes]
    more = f" and {len(listed) - 3:,} other sizes" if len(listed) > 3 else ""
    return f"{', '.join(listed[:3]) or 'no size'}{more}"


def arrow(way: str, console: Console) -> str:
    """An arrow, in ASCII if the terminal cannot show it."""
    return way if console.encoding.startswith("utf") else {"↑": "^", "↓": "v"}[way]
