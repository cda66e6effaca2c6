"""Images with label maps: data sets, augmentation, checks and sheets.

Needs torchvision and Lightning. :mod:`dealias.data` has the names.
"""

__all__: list[str] = []
