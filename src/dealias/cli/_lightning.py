"""``dealias fit``, ``validate``, ``test`` and ``predict``."""

from collections.abc import Sequence
from pathlib import Path

from dealias._text import printable
from dealias.cli._console import output_console, print_evaluation
from dealias.engine import Command, Commands
from dealias.evaluation import Evaluation, main_process, write_counts, write_csv, write_json


def main(command: Command, arguments: Sequence[str]) -> int:
    """Run a command.

    Returns:
        0 if all went well, 1 if files were left out as asked.
    """
    cli = Commands(command, arguments)
    if not main_process():
        return 0
    console = output_console()
    if command == "fit":
        skipped = cli.model.skipped
        console.print(f"checkpoints, logs and pictures: {printable(cli.output)}")
    elif command == "predict":
        skipped = cli.writer.skipped
        console.print(f"{cli.writer.written:,} label maps: {printable(cli.writer.folder)}")
    else:
        skipped = []
        results = cli.model.results
        if command == "test":
            write_results(results, cli.output / "test")
        print_evaluation(results, console)
    for message in skipped:
        console.print(f"skipped {printable(message)}", soft_wrap=True)
    return 1 if skipped or (cli.model.results and cli.model.results.skipped) else 0


def write_results(results: Evaluation, folder: Path) -> None:
    """Write what a test found, as JSON, as a table and as counts."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(results, folder / "result.json")
    write_csv(results, folder / "result.csv")
    write_counts(results, folder / "counts.npz")
