"""Pages of the site that lie outside docs/: results, and what is said of security."""

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
_KINDS = {".json", ".md", ".png"}


def on_files(files: Files, config: Any) -> Files:
    """Add SECURITY.md and the folders of results."""
    files.append(File.generated(config, "security.md", abs_src_path=str(ROOT / "SECURITY.md")))
    for path in sorted((ROOT / "results").rglob("*")):
        if path.suffix in _KINDS:
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files
