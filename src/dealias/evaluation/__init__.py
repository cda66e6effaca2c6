"""From folders of label maps to counts, results and the files they are kept in."""

from dealias.evaluation._error_maps import ERROR_COLORS, draw_errors, read_photograph
from dealias.evaluation._files import OutputError, check_outputs, write_whole
from dealias.evaluation._processes import ProcessError, gather, main_process, reading_processes
from dealias.evaluation._result import (
    CountsFileError,
    Evaluation,
    ImageRow,
    Settings,
    environment,
    merge_counts,
    read_counts,
    write_counts,
    write_csv,
    write_json,
)
from dealias.evaluation._run import (
    EvaluationError,
    Options,
    evaluate_folders,
    evaluate_maps,
    evaluate_pair,
    evaluate_pairs,
)
from dealias.evaluation._sources import Sources, read_pair

__all__ = [
    "ERROR_COLORS",
    "CountsFileError",
    "Evaluation",
    "EvaluationError",
    "ImageRow",
    "Options",
    "OutputError",
    "ProcessError",
    "Settings",
    "Sources",
    "check_outputs",
    "draw_errors",
    "environment",
    "evaluate_folders",
    "evaluate_maps",
    "evaluate_pair",
    "evaluate_pairs",
    "gather",
    "main_process",
    "merge_counts",
    "read_counts",
    "read_pair",
    "read_photograph",
    "reading_processes",
    "write_counts",
    "write_csv",
    "write_json",
    "write_whole",
]
