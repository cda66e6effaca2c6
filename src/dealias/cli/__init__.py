"""The command line: one file per command, each with `add_arguments` and `run`."""

import contextlib
import importlib
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

import dealias
from dealias.images import MAX_PIXELS_HELP, allow_pixels
from dealias.processes import main_process

__all__ = ["main"]

# Commands of dealias.cli.training, which parse their own options, including configuration files.
OWN_PARSERS = ("fit", "validate", "test", "predict", "data")
COMMANDS = {
    "fit": "Train a network from a configuration file.",
    "validate": "Measure a checkpoint on the validation split.",
    "test": "Measure a checkpoint on the test split, and print every figure.",
    "predict": "Label images with a checkpoint.",
    "data": "Check a data set before you spend hours training on it (dealias data check).",
    "evaluate": "Measure predicted label maps against their targets.",
    "detections": "Measure detections of instances against annotations, in COCO's formats.",
    "merge": "Add up the counts of several shards.",
    "compare": "Compare two results, in numbers or on a page.",
    "figures": "Draw the figures and write the table of results, for a paper.",
    "study": "Train variants over several seeds, test them, and report whether they differ.",
    "demo": "Train a tiny network with and without de-aliasing, and show the difference.",
    "probe": "Show where a network aliases on images, and what would mend it.",
    "convert": "Convert a checkpoint of the published code or of dealias fit to a network folder.",
}


_READ_IMAGES = ("evaluate", "detections", "compare", "figures", "probe")
_ENDING = ("SIGINT", "SIGTERM", "SIGHUP")
_PATIENCE = 5.0  # seconds until the exception of a signal is raised again
_MOST_LINES, _LONGEST_MESSAGE = 18, 4000  # of a message


class MissingPackageError(ValueError):
    """A command needs an optional package."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        0 on success, 1 if something was left out on request, 2 for unusable input or options, 70
        for a bug in dealias, and 128 plus the number of the signal if a signal ended the command.
    """
    for stream in (sys.stdout, sys.stderr):  # the terminal's encoding may lack characters of names
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    program = arguments is None
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    asked = next((argument for argument in arguments if not argument.startswith("-")), None)
    with _unwinding_on_signals(program=program):
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
        code: int = _module("training").main(asked, rest)
        return code
    summary = (dealias.__doc__ or "").split("\n")[0]
    parser = ArgumentParser(prog="dealias", version=dealias.__version__, description=summary)
    commands = parser.add_subcommands(required=True, dest="command")
    for name, help_text in COMMANDS.items():
        command = _Parser(description=help_text)
        if name == asked and name not in OWN_PARSERS:  # libraries of other commands stay unloaded
            _module(name).add_arguments(command)
        if name in _READ_IMAGES:
            command.add_argument("--max-pixels", type=int, metavar="N", help=MAX_PIXELS_HELP)
        commands.add_subcommand(name, command, help=help_text)
    parsed = parser.parse_args(arguments)
    options = parsed[parsed.command]
    if parsed.command in _READ_IMAGES:
        allow_pixels(options.max_pixels)
    return int(_module(parsed.command).run(options))


class _Parser(ArgumentParser):
    """A parser that takes paths literally: parsed as YAML, some file names would be refused."""

    def add_argument(self, *names: Any, **options: Any) -> Any:
        """Declare an option."""
        if options.get("type") is Path:
            options["type"] = _AS_PATH
        return super().add_argument(*names, **options)


class _AsPath:
    """Converts text to a path; help shows the type as "Path"."""

    def __call__(self, text: str) -> Path:
        return Path(text)

    def __repr__(self) -> str:
        return "Path"


_AS_PATH = _AsPath()


def _module(name: str) -> Any:
    return importlib.import_module(f"dealias.cli.{name}")


def _run(command: str, work: Callable[[], int]) -> int:
    try:
        code = _attempt(command, work)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:  # `dealias ... | head`: all files are written by now
        code = 0
        with contextlib.suppress(OSError, ValueError):  # Python flushes it once more at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        code = _say(command, str(error), 2)
    if _signals:
        return 128 + _signals[0]
    return code


def _attempt(command: str, work: Callable[[], int]) -> int:
    try:
        return work()
    except KeyboardInterrupt:
        return _say(command, "interrupted", 130, kind="")
    except SystemExit:
        if not _signals:
            raise
        return 128 + _signals[0]
    except BrokenPipeError:
        raise
    except (ValueError, OSError) as error:
        if os.environ.get("DEALIAS_TRACEBACK"):  # the error may come from the user's own code
            traceback.print_exc()
        return _say(command, str(error), 2)
    except MemoryError as error:
        return _say(command, f"out of memory: {error}" if str(error) else "out of memory", 2)
    except Exception as error:
        if os.environ.get("DEALIAS_TRACEBACK"):
            raise
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = (
            f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno}). This "
            f"is a fault of dealias; with DEALIAS_TRACEBACK=1 it shows where"
        )
        return _say(command, text, 70, kind="internal error: ")


def _say(command: str, text: str, code: int, *, kind: str = "error: ") -> int:
    """Print a message of at most a screen, from the main process only, and return `code`."""
    if _signals:
        text, kind = "interrupted", ""
    if main_process() and sys.stderr is not None:
        lines = text.splitlines() or [""]
        if len(lines) > _MOST_LINES:
            lines = [*lines[:_MOST_LINES], "..."]
        text = "\n".join(lines)
        if len(text) > _LONGEST_MESSAGE:
            text = f"{text[:_LONGEST_MESSAGE]} ..."
        with contextlib.suppress(OSError, ValueError):  # closed
            sys.stderr.write(f"dealias {command}: {kind}{text}\n")
            sys.stderr.flush()
    return code


_signals: list[int] = []  # signals that asked this process to end
_replaced: dict[int, Any] = {}  # handlers that _stop replaced


@contextlib.contextmanager
def _unwinding_on_signals(*, program: bool) -> Iterator[None]:
    """Turn signals into exceptions, so that partial files are removed.

    The exception is raised once more if a library swallows it. Ignored signals stay ignored, as
    under nohup. After its work, a program ends at once, without a traceback from the shutdown of
    the interpreter.
    """
    _signals.clear()
    _replaced.clear()
    if threading.current_thread() is not threading.main_thread():  # no signals arrive here
        yield
        return
    numbers = [getattr(signal, name) for name in _ENDING if hasattr(signal, name)]
    heard = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, _stop) for number in heard}
    if program and signal.SIGINT in before:
        before[signal.SIGINT] = signal.SIG_DFL
    told = sys.unraisablehook
    sys.unraisablehook = lambda found: None if _is_half_made(found) else told(found)
    try:
        yield
    finally:
        sys.unraisablehook = told
        if _signals and hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in (before | ({} if program else _replaced)).items():
            signal.signal(number, handler or signal.SIG_DFL)


def _is_half_made(unraisable: Any) -> bool:
    """Whether a finaliser failed because a signal or an error left its object half made."""
    ends = getattr(unraisable.object, "__name__", "") == "__del__"
    return bool(_signals) or (ends and issubclass(unraisable.exc_type, AttributeError))


def _stop(number: int, _frame: object) -> None:
    _signals.append(number)
    if hasattr(signal, "setitimer"):  # not on Windows
        for other, handler in ((signal.SIGCHLD, signal.SIG_DFL), (signal.SIGALRM, _stop)):
            _replaced.setdefault(other, signal.getsignal(other))
            signal.signal(other, handler)  # workers are stopped too: no error
        signal.setitimer(signal.ITIMER_REAL, _PATIENCE)
    if _signals[0] == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + _signals[0])
