"""What each kind of page shows."""

from dealias.report.pages.comparison import finish_comparison
from dealias.report.pages.segmentation import finish_report

__all__ = ["finish_comparison", "finish_report"]
