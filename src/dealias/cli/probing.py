"""The work of ``dealias probe``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

import dealias
from dealias.cli.console import output_console, progress
from dealias.cli.probe_tables import print_shifts, print_sites, print_video
from dealias.environment import environment
from dealias.files import OutputError, write_json
from dealias.images import open_image
from dealias.labels import load_class_set
from dealias.outputs import claim_outputs, fill_folder
from dealias.probe import (
    LoadedNetwork,
    ShiftResult,
    SiteResult,
    capture_maps,
    draw_maps,
    draw_spectra,
    first_filtered,
    image_paths,
    load_network,
    measure_aliasing,
    measure_shifts,
    measure_video,
    pixel_scores,
    read_frames,
    read_image,
    write_scores,
)
from dealias.surgery import Plan, Report, Site
from dealias.text import printable

_BINS = 32
_LARGEST_SHIFT = 32  # pixels along an axis
_DRAWN_IMAGES = 4
_LISTED_CLASSES = 4


@dataclass(frozen=True)
class _Found:
    """The measurements on images, and the step whose maps are drawn, if there is one."""

    paths: Sequence[Path]
    plan: Plan[Site]
    results: list[SiteResult]
    shifted: ShiftResult | None
    would: Report | str
    mapped: SiteResult | None


def probe(options: Namespace) -> None:
    """Probe the network, and print, write and draw the results."""
    files = [] if options.output is None else [options.output]
    folders = [path for path in (options.figures, options.maps) if path is not None]
    inputs = [path for path in (options.images, options.video) if path is not None]
    classes = None if options.classes is None else load_class_set(options.classes).names
    claimed = claim_outputs(files, folders, inputs, overwrite=options.overwrite)
    with claimed, fill_folder(options.maps) as maps, fill_folder(options.figures) as figures:
        paths = None if options.images is None else image_paths(options.images, options.limit)
        if paths is not None and maps is not None:
            _refuse_twins(paths, maps, options)
        network = load_network(options.model, options.weights, trust=options.trust)
        if classes is not None and network.classes is not None:
            held = ", ".join(map(printable, network.classes[:_LISTED_CLASSES]))
            raise ValueError(f"--classes: is for networks without names; this one has {held}, ...")
        frames = None if options.video is None else read_frames(options.video)
        found = None if paths is None else _measure(network, paths, classes, options)
        flicker = None
        if frames is not None:
            flicker = measure_video(network, frames, source=printable(options.video))
        _print(found, flicker, network)
        if maps is not None and found is not None and found.mapped is None:
            raise ValueError("--maps: no step of the network would be filtered")
        if options.output is not None:
            _write(options.output, found, flicker, options)
        if found is not None and found.mapped is not None and maps is not None:
            _write_maps(maps, network, found, found.mapped, options)
        if found is not None and figures is not None:
            _draw(figures, network, found, options)


def _measure(
    network: LoadedNetwork, paths: Sequence[Path], classes: Sequence[str] | None, options: Namespace
) -> _Found:
    spectra = options.figures is not None or options.output is not None
    plan, results = measure_aliasing(
        network,
        paths,
        cutoff=options.cutoff,
        noise=options.noise,
        blur=options.blur,
        bins=_BINS if spectra else 0,
        progress=progress,
    )
    shifted = None
    if options.shifts is not None:
        shifted = measure_shifts(
            network,
            paths,
            plan,
            shifts=options.shifts,
            largest=_LARGEST_SHIFT if options.largest_shift is None else options.largest_shift,
            seed=options.seed or 0,
            circular=options.circular,
            noise=options.noise,
            classes=classes,
            progress=progress,
        )
    would = _would_do(network, paths[0], options.cutoff)
    first = first_filtered(plan, would if isinstance(would, Report) else None)
    mapped = next((found for found in results if first and found.site.name == first.name), None)
    return _Found(paths, plan, results, shifted, would, mapped)


def _print(found: _Found | None, flicker: Mapping[str, Any] | None, network: LoadedNetwork) -> None:
    console = output_console()
    if found is not None:
        print_sites(found.results, len(found.paths), found.shifted, console)
        if found.shifted is not None:
            print_shifts(found.shifted, console)
    if flicker is not None:
        print_video(flicker, console)
    if network.random:
        console.print("The weights are random: --weights loads others.")
    if found is not None:
        console.print(f"dealias.dealias would do this:\n{found.would}", soft_wrap=True)


def _draw(folder: Path, network: LoadedNetwork, found: _Found, options: Namespace) -> None:
    draw_spectra(found.results, folder / "spectra.png")
    for i, path in enumerate(found.paths[:_DRAWN_IMAGES]):
        image = read_image(path, noise=options.noise, seed=i)
        maps = capture_maps(network, found.plan, image, blur=options.blur)
        name = "_".join(path.relative_to(options.images).parts)
        draw_maps(image, maps, found.results, folder / f"map_{name}.png")


def _write_maps(
    folder: Path, network: LoadedNetwork, found: _Found, mapped: SiteResult, options: Namespace
) -> None:
    with progress(len(found.paths)) as advance:
        for i, path in enumerate(found.paths):
            image = read_image(path, noise=options.noise, seed=i)
            features = capture_maps(network, found.plan, image, blur=options.blur)[mapped.site.name]
            size = (image.shape[1], image.shape[2])
            scores = pixel_scores(features, mapped.cutoff, size)[0].numpy()
            with open_image(path) as (whole, _):
                whole_size = (whole.height, whole.width)
            write_scores(_map_of(folder, path, options), scores, whole_size)
            advance()


def _refuse_twins(paths: Sequence[Path], folder: Path, options: Namespace) -> None:
    """Raise OutputError if the maps of two images would be the same file."""
    images: dict[Path, Path] = {}
    for path in paths:
        twin = images.setdefault(_map_of(folder, path, options), path)
        if twin != path:
            raise OutputError(f"--maps: {printable(twin)} and {printable(path)} would have one map")


def _map_of(folder: Path, path: Path, options: Namespace) -> Path:
    """The file for the map of an image."""
    output: Path = folder / path.relative_to(options.images).with_suffix(".png")
    return output


def _would_do(network: LoadedNetwork, path: Path, cutoff: Any) -> Report | str:
    arguments = network.arguments(read_image(path))
    try:
        return dealias.dealias(network.model, arguments, cutoff=cutoff)[1]
    except ValueError as error:
        return str(error)


def _write(
    path: Path, found: _Found | None, flicker: Mapping[str, Any] | None, options: Namespace
) -> None:
    maps = None
    if found is not None and found.mapped is not None and options.maps is not None:
        maps = {"folder": str(options.maps.absolute()), "site": found.mapped.site.name}
    shifted = None if found is None else found.shifted
    settings = {key: options[key] for key in ("model", "cutoff", "noise", "blur")}
    content = {
        "sites": [] if found is None else [result.to_dict() for result in found.results],
        "settings": settings | {"images": 0 if found is None else len(found.paths)},
        "dealias": None if found is None else str(found.would),
        "maps": maps,
        "shifts": None if shifted is None else shifted.to_dict(),
        "video": flicker,
        "environment": environment(),
    }
    write_json(content, path)
