"""Procedural street scenes."""

from dealias.data.scenes.rendering import ProceduralScenes, Scene, render_scene, write_scenes

__all__ = [
    "ProceduralScenes",
    "Scene",
    "render_scene",
    "write_scenes",
]
