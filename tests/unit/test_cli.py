"""How commands end: their exit codes and what they say."""

import os
import signal
import subprocess
import sys
import time

import pytest

import dealias.cli
from dealias.cli import main


@pytest.fixture
def command(monkeypatch):
    """Makes `dealias merge` do what a function does."""

    class Module:
        @staticmethod
        def add_arguments(parser):
            pass

    def become(run):
        Module.run = staticmethod(run)
        monkeypatch.setattr(dealias.cli, "_module", lambda _: Module)

    return become


def raising(error):
    def run(_):
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ValueError("a.png: broken"), 2, "dealias merge: error: a.png: broken\n"),
        (OSError(28, "No space left on device", "a"), 2, "No space left on device: 'a'\n"),
        (MemoryError(), 2, "dealias merge: error: out of memory\n"),
        (KeyboardInterrupt(), 130, "dealias merge: interrupted\n"),
        (BrokenPipeError(), 0, ""),
    ],
)
def test_exit_codes(error, code, said, command, capsys):
    command(raising(error))
    assert main(["merge"]) == code
    assert capsys.readouterr().err.endswith(said)


@pytest.mark.parametrize("error", [TypeError("a\nb"), RecursionError("x"), KeyError("y")])
def test_a_fault_of_our_own(error, command, capsys, monkeypatch):
    monkeypatch.delenv("DEALIAS_TRACEBACK", raising=False)
    command(raising(error))
    assert main(["merge"]) == 70
    said = capsys.readouterr().err
    assert f"internal error: {type(error).__name__}" in said
    assert "test_cli.py" in said
    assert "Traceback" not in said
    monkeypatch.setenv("DEALIAS_TRACEBACK", "1")
    with pytest.raises(type(error)):
        main(["merge"])


@pytest.mark.parametrize("text", ["x" * 10**6, "x\n" * 10**5])
def test_a_message_fits_a_screen(text, command, capsys):
    command(raising(ValueError(text)))
    assert main(["merge"]) == 2
    said = capsys.readouterr().err
    assert len(said) < 5000
    assert said.count("\n") <= 20


def broken_pipe():
    reading, writing = os.pipe()
    os.close(reading)
    return writing


MERGE = [sys.executable, "-m", "dealias", "merge"]


@pytest.mark.parametrize("asked", [["--help"], ["merge", "--help"]])
def test_a_reader_that_has_enough(asked):
    """As `dealias --help | head -1` has: nothing is wrong."""
    command = [sys.executable, "-m", "dealias", *asked]
    found = subprocess.run(command, stdout=broken_pipe(), stderr=subprocess.PIPE, check=False)
    assert (found.returncode, found.stderr) == (0, b"")


def test_nobody_who_listens(tmp_path):
    command = [*MERGE, str(tmp_path / "none.npz")]
    assert subprocess.run(command, stderr=broken_pipe(), check=False).returncode == 2
    closed = ["sh", "-c", 'exec "$@" 2>&-', "sh", *command]
    assert subprocess.run(closed, check=False).returncode == 2


# Whatever the tests themselves were started with.
HEARD = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
"""


def stopped(program, number):
    """How a program ends that says that it is ready and then gets a signal."""
    process = subprocess.Popen(
        [sys.executable, "-c", HEARD + program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert "Traceback" not in said
    return process.returncode


SWALLOWING = """
import sys, time
import dealias.cli
class Module:
    add_arguments = staticmethod(lambda parser: None)
    @staticmethod
    def run(options):
        print("ready", flush=True)
        try:
            time.sleep(60)
        except BaseException:
            if {swallow}:
                raise RuntimeError("a worker died") if {swallow} == 2 else None
            raise
        time.sleep(60)
dealias.cli._module = lambda name: Module
dealias.cli._PATIENCE = 0.3
raise SystemExit(dealias.cli.main(["merge"]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("swallow", [0, 1, 2])
def test_signals(number, swallow):
    """Whatever a library makes of what the signal raises."""
    program = SWALLOWING.replace("{swallow}", str(swallow))
    assert stopped(program, number) == 128 + number


@pytest.mark.parametrize(("error", "told"), [(AttributeError, 0), (ValueError, 1)])
def test_the_end_of_an_object_that_is_half_made(error, told, command, monkeypatch):
    """Python has no way but to print what is raised there."""
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", seen.append)

    class HalfMade:
        def __del__(self):
            raise error

    def run(_):
        HalfMade()
        raise ValueError

    command(run)
    assert main(["merge"]) == 2
    assert len(seen) == told
    assert sys.unraisablehook == seen.append


EXITING = """
import atexit, sys, time
import dealias.cli
atexit.register(lambda: (print("ready", flush=True), time.sleep(60)))
sys.argv[1:] = ["merge", "none.npz"]
raise SystemExit(dealias.cli.main())
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_as_the_interpreter_ends(number):
    assert stopped(EXITING, number) == -number


def test_one_that_is_ignored_stays_so():
    """As nohup asks for."""
    program = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    program += SWALLOWING.replace("{swallow}", "0")
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM


@pytest.mark.parametrize("ended", [False, True])
def test_handlers_are_put_back(ended, command, monkeypatch):
    def handlers():
        names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGCHLD", "SIGALRM")
        return [signal.getsignal(getattr(signal, name)) for name in names]

    monkeypatch.setattr("dealias.cli._signals", [])
    others = (signal.SIGCHLD, signal.SIGALRM)
    kept = [signal.signal(number, lambda *_: None) for number in others]
    try:
        before = handlers()
        command(lambda _: os.kill(os.getpid(), signal.SIGTERM) if ended else 0)
        assert main(["merge"]) == (128 + signal.SIGTERM if ended else 0)
        assert handlers() == before
    finally:
        for number, handler in zip(others, kept, strict=True):
            signal.signal(number, handler)
