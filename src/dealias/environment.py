"""Describe what a result depends on besides its inputs."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch


def environment() -> dict[str, str]:
    """Return the software versions that a result depends on."""
    packages = {name: version(name) for name in ("dealias", "torch", "numpy", "pillow")}
    system = f"{platform.system()} {platform.machine()}"
    return packages | {"python": platform.python_version(), "platform": system}


def hardware() -> dict[str, Any]:
    """Describe the processor, cores, threads, memory and accelerator."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gib": _memory_gib(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _memory_gib() -> int | None:
    if not hasattr(os, "sysconf"):  # Windows
        return None
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


def commit() -> str | None:
    """Return the commit of the checkout that this code runs from, with "-dirty" if files differ.

    Changes to tracked result files do not count. Returns None outside a checkout, for instance for
    an installed package.
    """
    here = Path(__file__).resolve()
    root = _git("rev-parse", "--show-toplevel", folder=here.parent)
    if root is None or _git("ls-files", "--error-unmatch", str(here), folder=here.parent) is None:
        return None
    described = _git("describe", "--always", folder=here.parent)
    differs = ["diff", "--quiet", "HEAD", "--", ".", ":!benchmarks/results", ":!results"]
    changed = _git(*differs, folder=Path(root)) is None
    return f"{described}-dirty" if changed else described


def _git(*arguments: str, folder: Path) -> str | None:
    """Return the output of git; None if it fails or is not installed."""
    try:
        run = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return run.stdout.strip() if run.returncode == 0 else None
