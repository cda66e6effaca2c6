"""Pages and figures on which a person sees the errors."""

from dealias.report._aliasing import AliasingErrors, higher_share, rank_correlation
from dealias.report._comparison import ComparisonError, write_comparison
from dealias.report._difference import check_comparable, compare_results
from dealias.report._evaluated import report_evaluation
from dealias.report._examples import Example, Examples, FolderExamples
from dealias.report._figures import worst_images, write_figures
from dealias.report._finding import find_examples
from dealias.report._page_examples import PageExamples
from dealias.report._report import write_report
from dealias.report._result_file import ResultFileError, read_probe, read_result
from dealias.report._tables import (
    Tables,
    class_table,
    escape_latex,
    escape_markdown,
    mean_table,
    write_tables,
)
from dealias.report._writer import ReportPart, ReportWriter

__all__ = [
    "AliasingErrors",
    "ComparisonError",
    "Example",
    "Examples",
    "FolderExamples",
    "PageExamples",
    "ReportPart",
    "ReportWriter",
    "ResultFileError",
    "Tables",
    "check_comparable",
    "class_table",
    "compare_results",
    "escape_latex",
    "escape_markdown",
    "find_examples",
    "higher_share",
    "mean_table",
    "rank_correlation",
    "read_probe",
    "read_result",
    "report_evaluation",
    "worst_images",
    "write_comparison",
    "write_figures",
    "write_report",
    "write_tables",
]
