"""The command line: one file a command, each with `add_arguments` and `run`."""

import importlib
import io
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from jsonargparse import ArgumentParser

import dealias
from dealias.images import MAX_PIXELS_HELP, allow_pixels
from dealias.processes import main_process

__all__ = ["main"]

# Commands that read their options themselves, configuration files among them, and their modules.
OWN_PARSERS = {
    **dict.fromkeys(("fit", "validate", "test", "predict"), "training"),
    "data": "data",
}
COMMANDS = {
    "fit": "Train a network from a configuration file.",
    "validate": "Measure a checkpoint on the validation split.",
    "test": "Measure a checkpoint on the test split, with the whole table for an answer.",
    "predict": "Label images with a checkpoint.",
    "data": "Look through a data set before hours are spent on it: dealias data check.",
    "evaluate": "Measure predicted label maps against their targets.",
    "merge": "Add up the counts of several shards.",
    "compare": "Put two results side by side, in numbers or on a page.",
    "figures": "Draw a result for a paper, and set its table.",
    "demo": "Train a tiny network with and without de-aliasing, and show the difference.",
    "probe": "Show where a network aliases on images, and what would mend it.",
    "convert": "Make a network of a checkpoint of the published code, or of one of dealias fit.",
}


_READ_IMAGES = ("evaluate", "compare", "figures", "probe")


class MissingPackageError(ValueError):
    """A command needs an optional package."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        0 if all went well, 1 if something was left out as asked, 2 for input or options that
        can't be used, 130 or 143 if interrupted or terminated.
    """
    signal.signal(signal.SIGTERM, _terminate)
    for stream in (sys.stdout, sys.stderr):  # names need not fit the terminal's encoding
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    asked = next((argument for argument in arguments if not argument.startswith("-")), None)
    return _run(str(asked), lambda: _answer(asked, arguments))


def _answer(asked: str | None, arguments: list[str]) -> int:
    try:
        return _dispatch(asked, arguments)
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        if error.name is None or missing == "dealias":
            raise
        raise MissingPackageError(
            f"the package {missing} is not there: pip install 'dealias[instance,probe]' has all"
        ) from error


def _dispatch(asked: str | None, arguments: list[str]) -> int:
    if asked in OWN_PARSERS and arguments[0] == asked:
        rest = arguments[arguments.index(asked) + 1 :]
        code: int = _module(OWN_PARSERS[asked]).main(asked, rest)
        return code
    summary = (dealias.__doc__ or "").split("\n")[0]
    parser = ArgumentParser(prog="dealias", version=dealias.__version__, description=summary)
    commands = parser.add_subcommands(required=True, dest="command")
    for name, help_text in COMMANDS.items():
        command = ArgumentParser(description=help_text)
        if name == asked and name not in OWN_PARSERS:  # the libraries of the others stay unloaded
            _module(name).add_arguments(command)
        if name in _READ_IMAGES:
            command.add_argument("--max-pixels", type=int, metavar="N", help=MAX_PIXELS_HELP)
        commands.add_subcommand(name, command, help=help_text)
    parsed = parser.parse_args(arguments)
    options = parsed[parsed.command]
    if parsed.command in _READ_IMAGES:
        allow_pixels(options.max_pixels)
    return int(_module(parsed.command).run(options))


def _module(name: str) -> Any:
    return importlib.import_module(f"dealias.cli.{name}")


def _run(command: str, work: Callable[[], int]) -> int:
    try:
        return work()
    except (ValueError, OSError) as error:
        if main_process():
            sys.stderr.write(f"dealias {command}: error: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f"dealias {command}: interrupted\n")
        return 130


def _terminate(*_: object) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # workers are terminated too: no error
    raise SystemExit(143)  # unwinds, so that partial files are removed
