"""Commands in processes that fork from one which has imported everything, to start in no time."""

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


class Server:
    """Starts commands of dealias, each in a group of its own with its messages in a file."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(exist_ok=True)
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.count = 0
        self.read()

    def read(self):
        return json.loads(self.process.stdout.readline())

    def start(self, *arguments):
        """The process of a command."""
        self.count += 1
        said = self.folder / f"{self.count}.txt"
        self.process.stdin.write(json.dumps([str(said), *map(str, arguments)]) + "\n")
        self.process.stdin.flush()
        return Forked(self.read(), said)

    def run(self, *arguments):
        """The exit code of a command and what it said."""
        forked = self.start(*arguments)
        return forked.wait(), forked.said.read_text()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Forked:
    def __init__(self, pid, said):
        self.pid, self.said = pid, said

    def send(self, number):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self, timeout=120.0):
        """The exit code, or the negative number of the signal; all of the group have ended."""
        code = self.said.with_suffix(".code")
        deadline = time.monotonic() + timeout
        while not code.exists() or self.alive():
            if time.monotonic() > deadline:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.pid, signal.SIGKILL)
                raise TimeoutError(self.said.read_text())
            time.sleep(0.005)
        return int(code.read_text())

    def alive(self):
        """Whether any process of the group, such as a worker, is running."""
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        return True


def serve():
    import dealias.cli
    import dealias.demo
    import dealias.report
    import dealias.study

    for name in (*dealias.cli.COMMANDS, "running", "probing", "evaluation_tables"):
        dealias.cli._module("training" if name in dealias.cli.OWN_PARSERS else name)
    commands = os.fdopen(os.dup(0))
    answers = os.fdopen(os.dup(1), "w")

    def reap(*_):
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                code = files.pop(pid).with_suffix(".code")
                new = code.with_suffix(".new")
                new.write_text(str(os.waitstatus_to_exitcode(status)))
                new.replace(code)

    files = {}
    print("0", file=answers, flush=True)
    for line in commands:
        said, *arguments = json.loads(line)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        child = os.fork()
        if child == 0:
            become(said, arguments)
        files[child] = Path(said)
        signal.signal(signal.SIGCHLD, reap)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
        print(child, file=answers, flush=True)


def become(said, arguments):
    code = 70
    try:
        os.setsid()
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        handle = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        import dealias.cli

        sys.argv[1:] = arguments
        code = dealias.cli.main()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:  # as the interpreter would say it
        import traceback

        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()  # which end the workers that are left
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
