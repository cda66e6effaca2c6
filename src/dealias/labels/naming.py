"""Read from a file's name which image it belongs to, and its role."""

import re
from pathlib import Path, PurePath
from typing import Literal

FileRole = Literal["image", "prediction", "target"]

# Endings that data sets and tools append to the name of an image.
_WORDS: dict[FileRole, str] = {
    "image": "leftImg8bit|(?i:image|img|rgb|sat)",
    "prediction": "(?i:preds?|predictions?|predicted|out|output)",
    # In CamVid, L follows a number; in other names it means left or large.
    "target": r"gtFine|gtCoarse|labelIds|labelTrainIds|(?<=\d_)L"
    r"|(?i:gt|ground_?truth|targets?|labels?|masks?|seg|segmentation|annotation)",
}
_ENDING = re.compile("|".join(rf"[_-](?P<{role}>{words})$" for role, words in _WORDS.items()))
_WORD = "|".join(_WORDS.values())
_SUFFIX = "(?i:jpe?g|png|webp|tiff?|bmp)"
_KNOWN = re.compile(rf"[\W_]*(?:(?:{_WORD}|{_SUFFIX})[\W_]+)*(?:{_WORD}|{_SUFFIX})?")
_EITHER_END = {
    role: re.compile(rf"(?:{words})(?=[\W_]|$)|.*[\W_](?:{words})$")
    for role, words in _WORDS.items()
}
_ROLES: tuple[FileRole, ...] = ("prediction", "target", "image")
# Endings of colour or instance files next to the label map of an image.
_COMPANION = re.compile(r"(.+)_(color|instanceIds|instanceTrainIds)")


def names_of(path: Path) -> list[str]:
    """List the stem of a file, then the stem with one more ending removed at a time.

    At least one character always remains.

    >>> names_of(Path("x_gtFine_labelIds.png"))
    ['x_gtFine_labelIds', 'x_gtFine', 'x']
    """
    names = [path.stem]
    while (ending := _ENDING.search(names[-1])) and ending.start() > 0:
        names.append(names[-1][: ending.start()])
    return names


def root_of(path: Path) -> str:
    """Return the stem of a file without endings: the name of the image it belongs to."""
    return names_of(path)[-1]


def endings_of(path: Path) -> str:
    """Return the endings that :func:`root_of` removes.

    >>> endings_of(Path("x_leftImg8bit_pred.png"))
    '_leftImg8bit_pred'
    """
    return path.stem[len(root_of(path)) :]


def role_of(path: Path) -> FileRole | None:
    """Return the role that the endings of a file give; a prediction may be named after its target.

    >>> role_of(Path("x_gtFine_labelIds_pred.png"))
    'prediction'
    """
    endings = (_ENDING.search(name) for name in names_of(path)[:-1])
    roles = {ending.lastgroup for ending in endings if ending}
    return next((role for role in _ROLES if role in roles), None)


def role_within(path: PurePath) -> FileRole | None:
    """Return the role given by a word at either end of the stem or of a folder's name.

    Args:
        path: path relative to the folder that was given; folders above it say nothing about a file.

    >>> role_within(PurePath("case_1/gt.png")), role_within(PurePath("predictions/1.png"))
    ('target', 'prediction')
    """
    parts = [*path.parts[:-1], path.stem]
    return next((role for role in _ROLES if any(map(_EITHER_END[role].match, parts))), None)


def is_known(affix: str) -> bool:
    """Whether a prefix or suffix is empty, or has only known words and suffixes of image files.

    >>> is_known("pred_"), is_known("/ground_truth"), is_known(".jpg"), is_known("unet_")
    (True, True, True, False)
    """
    return _KNOWN.fullmatch(affix) is not None


def companion_of(path: Path) -> str | None:
    """Return the image that a colour or instance file belongs to; None for other files.

    >>> companion_of(Path("x_leftImg8bit_color.png"))
    'x'
    """
    found = _COMPANION.fullmatch(root_of(path))
    return root_of(Path(f"{found[1]}.png")) if found else None
