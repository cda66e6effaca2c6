"""Runs in separate processes, several at a time; none of them outlives this process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dealias.files import make_parents
from dealias.text import printable

_PAUSE, _PATIENCE = 0.05, 10.0  # seconds
_TAIL = 2**14  # bytes read from the end of a log
_SHOWN = 6  # lines shown of them


@dataclass(frozen=True)
class Job:
    """The work of a process.

    Attributes:
        name: name in messages.
        task: argument of :mod:`dealias.study.__main__`.
        log: file for its output.
    """

    name: str
    task: Mapping[str, Any]
    log: Path


def run_jobs(
    jobs: Sequence[Job],
    done: Callable[[Job, str | None], None],
    *,
    begin: Callable[[Job], None] = lambda _: None,
    at_once: int = 1,
    threads: int | None = None,
) -> None:
    """Run jobs in processes that end with this one, even if this one is killed.

    Args:
        jobs: the jobs, in the order in which they start.
        done: called with each job that has ended, and what went wrong or None.
        begin: called with each job before it starts.
        at_once: number of processes at a time.
        threads: number of threads of each process; None for PyTorch's default.
    """
    left = deque(jobs)
    running: dict[subprocess.Popen[bytes], Job] = {}
    try:
        while left or running:
            while left and len(running) < at_once:
                job = left.popleft()
                begin(job)
                running[_start(job, threads)] = job
            for process, job in list(running.items()):
                if process.poll() is not None:
                    del running[process]
                    _close(process)
                    done(job, _failure(process.returncode, job.log))
            time.sleep(_PAUSE)
    finally:
        for process in running:
            _end(process)


def _start(job: Job, threads: int | None) -> subprocess.Popen[bytes]:
    environment = dict(os.environ)
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    make_parents(job.log)
    with job.log.open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "dealias.study", json.dumps(dict(job.task))],
            stdin=subprocess.PIPE,  # closed by the system when this process ends
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # Ctrl-C must reach only this process
        )


def _close(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and its reader processes, which would keep its outputs claimed."""
    _close(process)
    grouped = hasattr(os, "killpg")  # not on Windows
    if grouped:
        _signal_group(process, signal.SIGTERM)
    else:
        process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_PATIENCE)
    if grouped:
        _signal_group(process, signal.SIGKILL)  # its readers may still be running
    else:
        process.kill()
    process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # the group has ended
        os.killpg(process.pid, number)


def _failure(code: int, log: Path) -> str | None:
    if code == 0:
        return None
    lines = last_lines(log)
    return f"exit status {code}; the end of {printable(log)}:\n" + "\n".join(lines)


def last_lines(log: Path) -> list[str]:
    """The last lines of a log, without characters that would move the cursor."""
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - _TAIL))
        text = file.read().decode("utf-8", "replace")
    lines = [printable(line.rpartition("\r")[2]) for line in text.split("\n") if line.strip()]
    return [f"  {line}" for line in lines[-_SHOWN:]]


@contextmanager
def ending_with_parent() -> Iterator[None]:
    """In a process of :func:`run_jobs`: end as soon as the process that started it has ended."""

    def watch() -> None:
        # Not through sys.stdin: processes forked meanwhile would wait for its lock.
        while os.read(0, 1):
            pass
        if hasattr(os, "killpg") and os.getpgrp() == os.getpid():  # including its readers
            os.killpg(os.getpid(), signal.SIGKILL)
        os._exit(1)  # files are complete at any moment

    threading.Thread(target=watch, daemon=True).start()
    yield
