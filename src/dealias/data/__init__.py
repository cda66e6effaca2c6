"""Data sets."""

from dealias.data._scenes import ProceduralScenes, Scene, render_scene, write_scenes

__all__ = ["ProceduralScenes", "Scene", "render_scene", "write_scenes"]
