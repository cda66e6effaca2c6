"""How near to orthogonal the filters of a convolution are."""

import torch
from torch import Tensor, nn


def filter_orthogonality(weight: Tensor, *, groups: int = 1) -> Tensor:
    """Mean absolute cosine similarity between the filters of a convolution or a linear layer.

    0 where all are orthogonal, so that each adds samples of its own and the equivalent sampling
    rate holds; 1 where all are parallel. Published values for downsampling steps lie between 0.046
    and 0.072 (Chen, Gu and Fu, ICLR 2024). Filters of different groups see different channels
    and are orthogonal; a filter of zeros is orthogonal to every other.

    Args:
        weight: [C_out, ...], floating point.
        groups: of the convolution.

    Returns:
        Scalar in [0, 1]; NaN for a single filter, which has no other to compare with.

    Raises:
        ValueError: ``weight`` has fewer than two dimensions or is not real floating point, or
            ``groups`` does not divide its first dimension.

    >>> filter_orthogonality(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
    tensor(0.)
    """
    if weight.ndim < 2 or not weight.is_floating_point():
        raise ValueError(
            "weight must be [C_out, ...] and real floating point, "
            f"got shape {tuple(weight.shape)} and {weight.dtype}"
        )
    filters = weight.shape[0]
    if groups < 1 or filters % groups:
        raise ValueError(f"groups must divide the {filters} filters, got {groups!r}")
    if filters == 1:
        return weight.new_full((), torch.nan)
    unit = nn.functional.normalize(weight.reshape(groups, filters // groups, -1).float(), dim=-1)
    cosine = (unit @ unit.mT).abs()
    diagonal = cosine.diagonal(dim1=-2, dim2=-1).sum()
    return ((cosine.sum() - diagonal) / (filters * (filters - 1))).to(weight.dtype)
