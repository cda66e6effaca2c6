"""Aliasing doing harm: one tiny network trained with and without de-aliasing."""

from dealias.demo._run import run

__all__ = ["run"]
