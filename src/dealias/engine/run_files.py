"""The files of a run: the checkpoint that a command starts from, and what it may write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from dealias.engine.checkpoint_files import CheckpointError, is_checkpoint
from dealias.engine.options import Command
from dealias.files import PART, OutputError
from dealias.models import model_folder
from dealias.outputs import check_apart, check_folder, claim, folders_above
from dealias.processes import main_process
from dealias.text import printable

_LEFT = (f".*.ckpt.????????.{PART}", f"samples/*/.*.????????.{PART}")  # from killed trainings


def default_folder(config_files: Sequence[Path]) -> Path:
    """Default folder of a run, named after the last of its configuration files."""
    if not config_files:
        return Path("runs", "default")
    file = config_files[-1].resolve()
    return Path("runs", file.parent.name, file.stem)


def find_checkpoint(
    asked: Path | str | None, folder: Path, command: Command, network: str
) -> Path | None:
    """The checkpoint whose weights a command uses, or from which training resumes.

    Args:
        asked: a file, a folder of ``dealias convert``, or "best" or "last" in the folder of the
            run. The default is "best", or "last" if there is no "best", and none in fit.
        folder: folder of the run.
        command: the command.
        network: name of the network; for transformers, this may be a folder, whose weights are
            used if the run has no checkpoint.

    Raises:
        CheckpointError: there is no such checkpoint.
    """
    if asked is None and command == "fit":
        return None
    if asked is None:
        found = [folder / f"{name}.ckpt" for name in ("best", "last")]
        asked = next((str(path) for path in found if path.is_file()), None)
        if asked is None and model_folder(network) is not None:
            return None
        if asked is None:
            raise CheckpointError(
                "--ckpt_path: expected a checkpoint, a folder of dealias convert, best or "
                f"last; got none, and {printable(folder)} holds no best.ckpt or last.ckpt"
            )
    asked = str(asked)  # Lightning's type is text or path, in any order
    path = folder / f"{asked}.ckpt" if asked in ("best", "last") else Path(asked)
    if not path.exists():
        raise CheckpointError(f"ckpt_path: {printable(path.absolute())}: no such checkpoint")
    if path.is_dir() and command == "fit":
        raise CheckpointError(f"{printable(path)}: expected a .ckpt to resume, got a folder")
    return path


@dataclass(frozen=True)
class RunFiles:
    """The files and folders that a command writes.

    Attributes:
        command: the command.
        folder: folder of the run.
        tested: folder of the results of a test.
        written: names of the files of a test.
        report: folder of the page of errors; or None.
        unstable_maps: folder for pictures of the pixels that change under shifts; or None.
        label_maps: whether a test writes predictions.
        overwrite: whether outputs of an earlier run may be replaced.
        checkpoint: see :func:`find_checkpoint`.
    """

    command: Command
    folder: Path
    tested: Path
    written: Sequence[str]
    report: Path | None
    unstable_maps: Path | None
    label_maps: bool
    overwrite: bool
    checkpoint: Path | None

    @property
    def resumes(self) -> bool:
        """Whether a training continues in its own folder rather than from another run."""
        checkpoint = self.checkpoint
        return checkpoint is not None and checkpoint.resolve().parent == self.folder.resolve()

    @property
    def checkpoints(self) -> list[Path]:
        """The checkpoints that a training saves."""
        return [self.folder / "last.ckpt", self.folder / "best.ckpt"]

    @property
    def replaced(self) -> list[Path]:
        """Files that ``--overwrite`` may replace."""
        if self.command == "fit" and not self.resumes:
            return [*self.checkpoints, self.folder / "config.yaml"]
        if self.command == "test":
            return [self.tested / name for name in self.written]
        return []

    @property
    def filled(self) -> list[Path]:
        """Folders that the command fills."""
        if self.command == "predict":
            maps = self.unstable_maps
            return [self.folder / "predictions", *([maps] if maps else [])]
        if self.command != "test":
            return []
        folders = [self.report] if self.report else []
        return folders + ([self.tested / "predictions"] if self.label_maps else [])

    def check(self) -> None:
        """Refuse to overwrite existing outputs, unless they may be replaced.

        Raises:
            OutputError: an output exists, or is of the wrong kind.
        """
        for folder in (self.folder, self.tested, *([self.report] if self.report else [])):
            there = next(path for path in (folder, *folder.parents) if path.exists())
            if not there.is_dir():
                raise OutputError(f"{printable(there)}: expected a folder, got a file")
        files, folders = self.replaced, self.filled
        if self.command in ("test", "predict"):
            check_apart(files, folders)
        for path in files:
            if path.exists() and not self.overwrite:
                hint = "--ckpt_path last goes on from it, " if path.suffix == ".ckpt" else ""
                raise OutputError(
                    f"{printable(path)}: exists already; {hint}--overwrite replaces it"
                )
            if path.suffix == ".ckpt" and path.exists() and not is_checkpoint(path):
                raise OutputError(f"{printable(path)}: is no checkpoint; --overwrite keeps it")
        for path in folders:
            check_folder(path, overwrite=self.overwrite)

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold all outputs, so that no other command writes them meanwhile."""
        if not main_process():
            yield
            return
        with ExitStack() as stack:
            written = [*self.replaced, *self.filled]
            if self.command == "fit":
                written += self.checkpoints
            for path in (self.folder, *written):
                stack.enter_context(folders_above(path))
                stack.enter_context(claim(path))
            self.check()
            for names in _LEFT:
                for path in self.folder.glob(names):
                    path.unlink()
            yield
