"""``python -m benchmarks``: run them all, each in a process whose memory no other has shaped."""

import pkgutil
import subprocess
import sys

import benchmarks

for module in pkgutil.iter_modules(benchmarks.__path__):
    if not module.name.startswith("_"):
        subprocess.run([sys.executable, "-m", f"benchmarks.{module.name}"], check=True)
