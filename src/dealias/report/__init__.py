"""Pages and figures on which a person sees the errors."""

from dealias.report._aliasing import AliasingErrors, higher_share, rank_correlation
from dealias.report._evaluated import report_evaluation
from dealias.report._examples import Example, Examples, FolderExamples
from dealias.report._folder import PageFolder, page_folder
from dealias.report._report import (
    count_aliasing,
    counting_of,
    draw_example,
    finish_report,
    write_report,
)
from dealias.report._result_file import ResultFileError, read_probe, read_result

__all__ = [
    "AliasingErrors",
    "Example",
    "Examples",
    "FolderExamples",
    "PageFolder",
    "ResultFileError",
    "count_aliasing",
    "counting_of",
    "draw_example",
    "finish_report",
    "higher_share",
    "page_folder",
    "rank_correlation",
    "read_probe",
    "read_result",
    "report_evaluation",
    "write_report",
]
