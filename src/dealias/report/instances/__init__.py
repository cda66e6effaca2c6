"""The page of an instance segmentation test.

Needs faster-coco-eval.
"""

from dealias.report.instances.writer import (
    InstanceExample,
    InstanceReportPart,
    InstanceReportWriter,
)

__all__ = [
    "InstanceExample",
    "InstanceReportPart",
    "InstanceReportWriter",
]
