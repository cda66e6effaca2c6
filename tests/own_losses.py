"""Losses as people write them, named by path in tests."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy


class Doubled(nn.Module):
    def __init__(self, factor: float, ignore_index: int = -100) -> None:
        super().__init__()
        self.factor, self.ignore_index = factor, ignore_index

    def forward(self, scores, target):
        return self.factor * cross_entropy(scores, target, ignore_index=self.ignore_index)


class Learned(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(()))


def doubled(scores, target, ignore_index, factor=1.0):
    return factor * cross_entropy(scores, target, ignore_index=ignore_index)


def blind(scores, target):
    return cross_entropy(scores, target)


def vector(scores, target, ignore_index):
    return scores.mean((2, 3))


def nothing(scores, target, ignore_index):
    return None


def failing(scores, target, ignore_index):
    raise IndexError("so it is")
