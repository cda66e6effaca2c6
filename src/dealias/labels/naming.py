"""What the name of a file says: which image it is of, and whether it is predicted."""

import re
from pathlib import Path
from typing import Literal

FileRole = Literal["image", "prediction", "target"]

# What data sets and tools put behind the name of an image.
_WORDS: dict[FileRole, str] = {
    "image": "leftImg8bit|(?i:image|img|rgb|sat)",
    "prediction": "(?i:preds?|predictions?|predicted|out|output)",
    # CamVid's L follows a number; elsewhere it stands for left, or large.
    "target": r"gtFine|gtCoarse|labelIds|labelTrainIds|(?<=\d_)L"
    r"|(?i:gt|ground_?truth|targets?|labels?|masks?|seg|segmentation|annotation)",
}
_ENDING = re.compile("|".join(rf"[_-](?P<{role}>{words})$" for role, words in _WORDS.items()))
# What lies beside the label map of an image, for people or for instances.
_COMPANION = re.compile(r"(.+)_(color|instanceIds|instanceTrainIds)")


def names_of(path: Path) -> list[str]:
    """The stem of a file, then with one ending after the other taken off, at least one letter left.

    >>> names_of(Path("x_gtFine_labelIds.png"))
    ['x_gtFine_labelIds', 'x_gtFine', 'x']
    """
    names = [path.stem]
    while (ending := _ENDING.search(names[-1])) and ending.start() > 0:
        names.append(names[-1][: ending.start()])
    return names


def root_of(path: Path) -> str:
    """The stem of a file without any ending: the name of the image that it is of."""
    return names_of(path)[-1]


def endings_of(path: Path) -> str:
    """What :func:`root_of` leaves out.

    >>> endings_of(Path("x_leftImg8bit_pred.png"))
    '_leftImg8bit_pred'
    """
    return path.stem[len(root_of(path)) :]


def role_of(path: Path) -> FileRole | None:
    """What the endings of a file say that it is; a prediction may be named after its target.

    >>> role_of(Path("x_gtFine_labelIds_pred.png"))
    'prediction'
    """
    endings = (_ENDING.search(name) for name in names_of(path)[:-1])
    roles = {ending.lastgroup for ending in endings if ending}
    known: tuple[FileRole, ...] = ("prediction", "target", "image")
    return next((role for role in known if role in roles), None)


def companion_of(path: Path) -> str | None:
    """The image that a file of colours or instances is of; None for other files.

    >>> companion_of(Path("x_leftImg8bit_color.png"))
    'x'
    """
    found = _COMPANION.fullmatch(root_of(path))
    return root_of(Path(f"{found[1]}.png")) if found else None
