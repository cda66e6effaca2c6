"""Pages, figures and tables that show the errors in results."""

from dealias.report.aliasing import AliasingErrors, error_detection, higher_share, rank_correlation
from dealias.report.comparison import check_comparable, compare_results
from dealias.report.comparison_page import ComparisonError, write_comparison
from dealias.report.drawing import boundary_bands, mark_errors
from dealias.report.examples import Example, Examples
from dealias.report.figures import worst_images, write_figures
from dealias.report.kept import find_examples, page_examples
from dealias.report.page import FINE_GRAINED_NOTES
from dealias.report.result_files import ResultFileError, read_probe, read_result
from dealias.report.tables import (
    Tables,
    class_table,
    escape_latex,
    mean_table,
    write_tables,
)
from dealias.report.widths import width_labels
from dealias.report.writer import ReportPart, ReportWriter, report_folders
from dealias.text import escape_markdown

__all__ = [
    "FINE_GRAINED_NOTES",
    "AliasingErrors",
    "ComparisonError",
    "Example",
    "Examples",
    "ReportPart",
    "ReportWriter",
    "ResultFileError",
    "Tables",
    "boundary_bands",
    "check_comparable",
    "class_table",
    "compare_results",
    "error_detection",
    "escape_latex",
    "escape_markdown",
    "find_examples",
    "higher_share",
    "mark_errors",
    "mean_table",
    "page_examples",
    "rank_correlation",
    "read_probe",
    "read_result",
    "report_folders",
    "width_labels",
    "worst_images",
    "write_comparison",
    "write_figures",
    "write_tables",
]
