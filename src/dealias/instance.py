"""All public names for instance segmentation, in the dark and in daylight.

Needs torchvision, Lightning, timm, faster-coco-eval and SciPy. Mask2Former also needs transformers.
"""

import dealias.data.instances
import dealias.metrics.instances
import dealias.models.detectors
import dealias.report.instances
from dealias.data.instances import *  # noqa: F403
from dealias.engine import InstanceTask
from dealias.evaluation.instances import InstanceEvaluation
from dealias.metrics.instances import *  # noqa: F403
from dealias.models.detectors import *  # noqa: F403
from dealias.report.instances import *  # noqa: F403

__all__ = ["InstanceEvaluation", "InstanceTask"]
__all__ += dealias.data.instances.__all__
__all__ += dealias.metrics.instances.__all__
__all__ += dealias.models.detectors.__all__
__all__ += dealias.report.instances.__all__
