"""What a result depends on besides its inputs."""

import platform
from importlib.metadata import version


def environment() -> dict[str, str]:
    """Versions that a result depends on."""
    packages = {name: version(name) for name in ("dealias", "torch", "numpy", "pillow")}
    system = f"{platform.system()} {platform.machine()}"
    return packages | {"python": platform.python_version(), "platform": system}
