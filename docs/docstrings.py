"""Docstrings as pages show them: roles are links, and doctests are code."""

import importlib
import re
from pathlib import Path
from typing import Any

import griffe

_ROLE = re.compile(r":(?:func|class|meth|mod|attr|exc|data):`~?([\w.]+)`")
_DOCTEST = re.compile(r"^>>> .*\n?(?:^(?!\s*$).*\n?)*", re.MULTILINE)
_DOCUMENTED = re.compile(r"^::: ([\w.]+)$", re.MULTILINE)


class Readable(griffe.Extension):
    """Rewrites every docstring before it is parsed."""

    def __init__(self) -> None:
        self.packages = [
            _DOCUMENTED.findall(page.read_text(encoding="utf-8"))[0]
            for page in sorted((Path(__file__).parent / "api").glob("*.md"))
            if page.stem != "index"
        ]
        self.places: dict[str, str] = {}  # full names of public ones, by the last part
        for package in sorted(self.packages, key=len, reverse=True):
            module = importlib.import_module(package)
            for name in module.__all__:
                if callable(getattr(module, name)):  # constants have no entry
                    self.places.setdefault(name, f"{package}.{name}")

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Turn roles into references, and doctests into fenced code."""
        if obj.docstring is None:
            return
        text = _ROLE.sub(lambda found: self._reference(found[1]), obj.docstring.value)
        obj.docstring.value = _DOCTEST.sub(
            lambda found: f"```pycon\n{found[0].rstrip()}\n```\n", text
        )

    def _reference(self, name: str) -> str:
        """A link to a public name; the others have no page."""
        if name in self.packages:
            return f"[`{name}`][{name}]"
        parts = name.split(".")
        first = 1 if parts[0] == "dealias" and len(parts) > 1 else 0
        for index, part in enumerate(parts):
            if index >= first and part in self.places:
                return f"[`{name}`][{'.'.join([self.places[part], *parts[index + 1 :]])}]"
        return f"`{name}`"
