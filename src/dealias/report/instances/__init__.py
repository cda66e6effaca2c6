"""The page of instances.

Needs faster-coco-eval.
"""

from dealias.report.instances.writer import InstanceReportPart, InstanceReportWriter

__all__ = [
    "InstanceReportPart",
    "InstanceReportWriter",
]
