"""From folders of label maps to counts, results and the files they are kept in."""

from dealias.evaluation._error_maps import ERROR_COLORS, draw_errors
from dealias.evaluation._files import OutputError, check_output, check_output_folder, write_whole
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
    evaluate_pair,
    evaluate_pairs,
)

__all__ = [
    "ERROR_COLORS",
    "CountsFileError",
    "Evaluation",
    "EvaluationError",
    "ImageRow",
    "Options",
    "OutputError",
    "Settings",
    "check_output",
    "check_output_folder",
    "draw_errors",
    "environment",
    "evaluate_folders",
    "evaluate_pair",
    "evaluate_pairs",
    "merge_counts",
    "read_counts",
    "write_counts",
    "write_csv",
    "write_json",
    "write_whole",
]
