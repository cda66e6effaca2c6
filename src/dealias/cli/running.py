"""The work of ``dealias fit``, ``validate``, ``test`` and ``predict``."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch.distributed as dist
from lightning_fabric.utilities.exceptions import MisconfigurationException

from dealias.cli.console import output_console, tell
from dealias.cli.tables import percent
from dealias.engine import Command, Commands, ConfigError
from dealias.processes import main_process
from dealias.text import printable


def run(command: Command, arguments: Sequence[str]) -> int:
    """Run a command.

    Returns:
        0 on success, 1 if files were left out on request.
    """
    try:
        return _run(command, arguments)
    finally:
        if dist.is_available() and dist.is_initialized():
            dist.destroy_process_group()  # its threads might otherwise abort the ending process


def _run(command: Command, arguments: Sequence[str]) -> int:
    try:
        cli = Commands(command, arguments, tell=tell)
    except MisconfigurationException as error:  # options of the trainer
        raise ConfigError(str(error)) from error
    except SystemExit as leaving:  # Lightning raises it when it is interrupted
        if isinstance(leaving.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from leaving
        raise
    if not main_process():
        return 0
    console = output_console()
    results = cli.model.results
    if command == "fit":
        done, asked_for = cli.trainer.global_step, cli.trainer.max_steps
        if done < asked_for:  # a callback stopped the training
            console.print(f"stopped at step {done:,} of {asked_for:,}")
        console.print(f"checkpoints, logs and pictures: {printable(cli.output)}")
    elif results is not None:
        asked = {"interval": True} if cli.config[command].interval else {}
        importlib.import_module(cli.task.printed).print_results(results, console, **asked)
    if command == "test":
        console.print(f"results of {cli.weights}: {printable(cli.tested)}", soft_wrap=True)
        if cli.shifted is not None:
            console.print(_shift_line(cli.shifted.more["shifts"]), soft_wrap=True)
        if cli.report is not None:
            page = printable(cli.report.folder / "index.html")
            console.print(f"page: {page}", soft_wrap=True)
    if cli.writer is not None:
        console.print(f"{cli.writer.written:,} predictions: {printable(cli.writer.folder)}")
    shown = [] if command == "fit" or results is None else results.skipped
    for message in cli.skipped:
        if message not in shown:
            console.print(f"skipped {printable(message)}", soft_wrap=True)
    if command == "fit" or results is None:
        for note in getattr(cli.datamodule, "notes", []):
            console.print(printable(note), soft_wrap=True)
    return 1 if cli.skipped else 0


def _shift_line(found: Mapping[str, Any]) -> str:
    finding = found["errors_against_instability"]["boundary"]["AUROC"]
    return (
        f"shift agreement: {percent(found['agreement'])} % of all pixels, "
        f"{percent(found['agreement_preds_band'])} % in the bands of the prediction, "
        f"{percent(found['agreement_target_band'])} % in those of the target; "
        f"{found['shifts']} shifts of each image; "
        f"AUROC of instability for errors in the bands: {percent(finding)} %"
    )
