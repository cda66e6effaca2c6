"""Commands in processes of their own."""

import os
import subprocess
import sys


def process(*arguments, **options):
    """Start Python with arguments, and with what this process can import."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, *arguments], env=environment, **options)


def in_two(*arguments):
    """Run a command of dealias in two processes; its exit code, and what it said to each stream."""
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "dealias"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with process(*launch, *map(str, arguments), **pipes) as two:
        said, errors = two.communicate(timeout=300)
    return two.returncode, said, errors
