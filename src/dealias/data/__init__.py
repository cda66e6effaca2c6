"""Data sets."""

from dealias.data._scenes import ProceduralScenes, Scene, render_scene

__all__ = ["ProceduralScenes", "Scene", "render_scene"]
