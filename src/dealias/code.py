"""Find code that options name by its path, and call it with its own options.

The code runs with the rights of the person who named it. Callers require ``--trust`` first.
"""

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

from dealias.text import on_a_line, printable

_LONGEST_ERROR = 1000  # characters
# Classes of other libraries that dealias itself names.
_OF_LIBRARIES = re.compile(r"segmentation_models_pytorch\.losses\.\w+")
_refused = False
# Messages of jsonargparse, once their lines are joined.
_KEY = re.compile(r'Parser key "([^"]+)": ')
_OF_CLASS = re.compile(
    r"Problem with given class_path '([^']+)': (.+?)(?= - Expected an? | Given value type: |$)"
)
_ONE_TYPE = re.compile(r"Expected an? (.+?)\. Got value: (.*)")
_UNION = re.compile(
    r"Does not validate against any of the Union subtypes .*? Errors: (- .+?) "
    r"Given value type: .+? Given value: (.*)"
)
_WRITTEN_AS = (  # types, and how they are written in a file
    (re.compile(r"<class 'NoneType'>"), "null"),
    (re.compile(r"dot import path string: .*"), "the name of a class"),
    (re.compile(r"<class '([\w.]+)'>"), r"\1"),
    (re.compile(r"typing\.Literal\[([^\]]*)\]"), r"\1"),
)


@contextmanager
def no_programs() -> Iterator[None]:
    """Restrict :func:`find_code` to the library's own choices, whoever calls it."""
    global _refused
    before, _refused = _refused, True
    try:
        yield
    finally:
        _refused = before


def allow_programs() -> None:
    """Let options name classes of modules in the working directory, as ``python -m`` does."""
    if "" not in sys.path:
        sys.path.append("")


class CodeError(ValueError):
    """The code does not exist, or can't be called as asked."""


def find_code(path: str) -> Callable[..., Any]:
    """Import a class or function by its path, also from the working directory.

    Args:
        path: such as ``my.module.Net``, or ``my.module.Net.of_size`` for a method of a class.

    Raises:
        CodeError: nothing has this path, or its module can't be imported.

    >>> find_code("torch.nn.Conv2d")
    <class 'torch.nn.modules.conv.Conv2d'>
    """
    if not isinstance(path, str) or not all(part.isidentifier() for part in path.split(".")):
        raise CodeError(f"expected a path like module.Class, got {printable(str(path))!r}")
    if _refused and not _OF_LIBRARIES.fullmatch(path):
        raise CodeError(f"{path}: refused: it is a program; --trust allows it")
    allow_programs()
    *names, last = path.split(".")
    if not names:
        raise CodeError(f"expected a path like module.Class, got {path!r}")
    for count in range(len(names), 0, -1):
        module = ".".join(names[:count])
        try:
            found: Any = importlib.import_module(module)
            for name in (*names[count:], last):
                found = getattr(found, name, None)
        except ModuleNotFoundError as error:
            outer = error.name is not None and f"{module}.".startswith(f"{error.name}.")
            if outer and count > 1:
                continue  # the last name may be a class
            raise CodeError(f"{path}: {error}") from error
        except Exception as error:  # the module runs, and may raise anything
            raise CodeError(f"{path}: {type(error).__name__}: {on_a_line(error)}") from error
        if not callable(found):
            raise CodeError(f"{path}: {module} has no such class or function")
        return found  # type: ignore[no-any-return]
    raise AssertionError  # the import of the outermost module succeeds or raises


def call_code(path: str, arguments: Mapping[str, Any], **offered: Any) -> Any:
    """Call a class or function with arguments from a file, checked against its type hints.

    An argument that expects an object may itself be a mapping with ``class_path`` and
    ``init_args``.

    Args:
        path: see :func:`find_code`.
        arguments: by name.
        offered: further arguments, passed if the callable accepts them and `arguments` does not
            have them.

    Raises:
        CodeError: there is no such code, it has no such argument, an argument is missing or of the
            wrong type, or the code itself raises an error.

    >>> call_code("torch.nn.Conv2d", {"in_channels": 3, "kernel_size": 1}, out_channels=8, n=2)
    Conv2d(3, 8, kernel_size=(1, 1), stride=(1, 1))
    """
    from jsonargparse import ArgumentError, ArgumentParser

    code = find_code(path)
    if not isinstance(arguments, Mapping) or not all(isinstance(key, str) for key in arguments):
        raise CodeError(f"{path}: init_args: expected arguments by name, got {arguments!r}")
    passed = {
        name: value
        for name, value in offered.items()
        if name not in arguments and takes(code, name)
    }
    untyped = {name for name in arguments if _is_untyped(code, name)}
    parser = ArgumentParser(exit_on_error=False)
    options: dict[str, Any] = {"fail_untyped": False, "skip": {*passed, *untyped}}
    try:
        if inspect.isclass(code):
            added = parser.add_class_arguments(code, "init_args", instantiate=False, **options)
        else:
            added = parser.add_function_arguments(code, "init_args", **options)
        known = [name.removeprefix("init_args.") for name in added]
        more = {k: v for k, v in arguments.items() if k not in known and k not in untyped}
        if more and not _takes_any(code):
            near = get_close_matches(next(iter(more)), known) or known
            raise CodeError(
                f"{path}: init_args: no such argument {', '.join(map(repr, more))}; there are: "
                f"{', '.join(near) or 'none'}"
            )
        given = {name: value for name, value in arguments.items() if name in known}
        typed = {name: _created(arguments[name]) for name in untyped}
        if known:
            read = parser.instantiate(parser.parse_object({"init_args": given}))
            # Arguments that are not given are left out: a default may come from a base class.
            typed |= {name: read.init_args[name] for name in given}
        return code(**typed, **more, **passed)
    except CodeError:
        raise
    except ArgumentError as error:
        raise CodeError(f"{path}: {in_brief(str(error))}") from error
    except Exception as error:  # the code may raise anything
        raise CodeError(f"{path}: {type(error).__name__}: {on_a_line(error)}") from error


def takes(code: Callable[..., Any], name: str) -> bool:
    """Whether a class or function has an argument of this name."""
    return name in _parameters(code)


def _parameters(code: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(code).parameters
    except (TypeError, ValueError):  # a built-in without a signature
        return {}


def _is_untyped(code: Callable[..., Any], name: str) -> bool:
    """Whether an argument has no type hint, so that its value must be passed as it is."""
    parameter = _parameters(code).get(name)
    return parameter is not None and parameter.annotation is inspect.Parameter.empty


def _created(value: Any) -> Any:
    """Return a value with the objects that it describes created in their places."""
    if isinstance(value, Mapping):
        if "class_path" in value:
            return call_code(value["class_path"], value.get("init_args") or {})
        return {key: _created(inside) for key, inside in value.items()}
    return [_created(inside) for inside in value] if isinstance(value, list) else value


def _takes_any(code: Callable[..., Any]) -> bool:
    """Whether a callable has ``**kwargs``."""
    kinds = [parameter.kind for parameter in _parameters(code).values()]
    return inspect.Parameter.VAR_KEYWORD in kinds


def names_class(message: str) -> bool:
    """Whether a message of jsonargparse is about a class that can't be created."""
    return _OF_CLASS.search(" ".join(message.split())) is not None


def in_brief(message: str) -> str:
    """Shorten a message of jsonargparse to a line: the option, what was expected and what came.

    >>> in_brief("Expected a <class 'float'>. Got value: fast")
    'expected float, got fast'
    """
    text = printable(" ".join(message.split()))
    key = _KEY.match(text)
    option, text = (f"{key[1]}: ", text[key.end() :]) if key else ("", text)
    of_class, one, union = _OF_CLASS.search(text), _ONE_TYPE.fullmatch(text), _UNION.search(text)
    if of_class is not None:
        text = f"{of_class[1]}: {of_class[2]}"
    elif one is not None:
        text = f"expected {_written(one[1])}, got {one[2]}"
    elif union is not None:
        kinds = [_written(kind) for kind in re.findall(r"- Expected an? (.+?)(?= - |$)", union[1])]
        text = f"expected {' or '.join(dict.fromkeys(kinds))}, got {union[2]}"
    text = f"{option}{text}"
    return text if len(text) <= _LONGEST_ERROR else f"{text[:_LONGEST_ERROR]} ..."


def _written(kind: str) -> str:
    for pattern, text in _WRITTEN_AS:
        kind = pattern.sub(text, kind)
    return kind
