"""From folders of label maps to counts, results and the files they are kept in."""

from dealias.evaluation._digests import digest_file, digest_labels, digest_rows
from dealias.evaluation._error_maps import ERROR_COLORS, draw_errors
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
from dealias.evaluation._warnings import void_warnings

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
    "digest_file",
    "digest_labels",
    "digest_rows",
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
    "reading_processes",
    "void_warnings",
    "write_counts",
    "write_csv",
    "write_json",
    "write_whole",
]
