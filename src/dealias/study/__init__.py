"""Studies: variants of a network, trained over several seeds, tested and compared."""

from dealias.study.asked import Study
from dealias.study.statistics import Figures, Row, Summary, summarise
from dealias.study.study import run_study
from dealias.study.tables import UNDEFINED, Table, markdown, mean_cell
from dealias.study.variants import StudyError, Variant, read_variants
from dealias.study.work import Found

__all__ = [
    "UNDEFINED",
    "Figures",
    "Found",
    "Row",
    "Study",
    "StudyError",
    "Summary",
    "Table",
    "Variant",
    "markdown",
    "mean_cell",
    "read_variants",
    "run_study",
    "summarise",
]
