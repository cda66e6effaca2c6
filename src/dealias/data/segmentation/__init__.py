"""Images with label maps: data sets, augmentation, checks and sheets.

Needs torchvision and Lightning. Import the names from :mod:`dealias.data`.
"""

__all__: list[str] = []
