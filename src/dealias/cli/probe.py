"""``dealias probe``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

import dealias
from dealias.cli.console import output_console, progress
from dealias.cli.probe_tables import print_shifts, print_sites, print_video
from dealias.environment import environment
from dealias.files import write_json
from dealias.images import open_image
from dealias.labels import builtin_class_sets, load_class_set
from dealias.outputs import claim_outputs, fill_folder
from dealias.probe import (
    SPECS,
    Network,
    ShiftResult,
    SiteResult,
    capture_maps,
    draw_maps,
    draw_spectra,
    first_filtered,
    list_images,
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
_DRAWN_IMAGES = 4
_LISTED_CLASSES = 4


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--model", type=str, required=True, metavar="SPEC", help=SPECS)
    add("--weights", type=Path, metavar="FILE", help="weights to load: .pth, .ckpt, .safetensors")
    add("--images", type=Path, metavar="DIR", help="photographs; not needed with --video")
    add("--limit", type=int, metavar="N", help="the first N of them")
    add("--cutoff", type=float | str, default="auto", help="auto, or cycles per pixel for all")
    add("--noise", type=float, default=0.0, metavar="SIGMA", help="Gaussian noise, of 255")
    add("--blur", type=int, metavar="SIZE", help="binomial blur of each map, 2 to 7")
    add("--shifts", type=int, metavar="N", help="compare the output with that of N shifts an image")
    add("--seed", type=int, default=0, help="of the shifts")
    add("--largest-shift", type=int, default=32, help="in pixels along an axis")
    sets = "|".join(builtin_class_sets())
    add("--classes", type=str, metavar=f"{sets}|FILE.yaml", help="names, if it has none")
    add("--circular", action="store_true", help="shift images circularly, not by cropping")
    add("--video", type=Path, metavar="DIR|FILE", help="frames, to count changes of class between")
    add("--output", type=Path, metavar="FILE.json", help="write the result")
    add("--figures", type=Path, metavar="DIR", help="draw spectra and aliasing maps")
    add("--maps", type=Path, metavar="DIR", help="write the aliasing score of each pixel")
    add("--trust", action="store_true", help="run the code that the model names or holds")
    add("--overwrite", action="store_true", help="replace outputs that exist")


@dataclass(frozen=True)
class _Found:
    """What was measured on images, and the step whose maps are drawn, if there is one."""

    paths: Sequence[Path]
    plan: Plan[Site]
    results: list[SiteResult]
    shifted: ShiftResult | None
    would: Report | str
    mapped: SiteResult | None


def run(options: Namespace) -> int:
    """Probe, print, write and draw."""
    files = [] if options.output is None else [options.output]
    folders = [path for path in (options.figures, options.maps) if path is not None]
    inputs = [path for path in (options.images, options.video) if path is not None]
    _check(options)
    classes = None if options.classes is None else load_class_set(options.classes).names
    claimed = claim_outputs(files, folders, inputs, overwrite=options.overwrite)
    with claimed, fill_folder(options.maps) as maps, fill_folder(options.figures) as figures:
        paths = None if options.images is None else list_images(options.images, options.limit)
        network = load_network(options.model, options.weights, trust=options.trust)
        if classes is not None and network.classes is not None:
            held = ", ".join(map(printable, network.classes[:_LISTED_CLASSES]))
            raise ValueError(f"--classes: is for networks without names; this one has {held}, ...")
        found = None if paths is None else _measure(network, paths, classes, options)
        flicker = None
        if options.video is not None:
            source = printable(options.video)
            flicker = measure_video(network, read_frames(options.video), source=source)
        _print(found, flicker, options)
        if maps is not None and found is not None and found.mapped is None:
            raise ValueError("--maps: no step of the network would be filtered")
        if options.output is not None:
            _write(options.output, found, flicker, options)
        if found is not None and found.mapped is not None and maps is not None:
            _write_maps(maps, network, found.plan, found.mapped, found.paths, options)
        if found is not None and figures is not None:
            _draw(figures, network, found.plan, found.results, found.paths, options)
    return 0


def _check(options: Namespace) -> None:
    if options.images is None:
        if options.video is None:
            raise ValueError("--images: expected photographs, or frames as --video; got neither")
        others = ("limit", "blur", "shifts", "figures", "maps")
        given = [name for name in others if options[name] is not None]
        given += ["noise"] if options.noise else []
        given += ["cutoff"] if options.cutoff != "auto" else []
        if given:
            raise ValueError(f"--{given[0]}: is for --images, and there are none")
    for name in ("circular", "classes"):
        if options.shifts is None and options[name]:
            raise ValueError(f"--{name}: is for --shifts")
    for name, least in (("shifts", 1), ("largest_shift", 1), ("seed", 0)):
        if options[name] is not None and options[name] < least:
            option = name.replace("_", "-")
            raise ValueError(f"--{option}: expected at least {least}, got {options[name]}")


def _measure(
    network: Network, paths: Sequence[Path], classes: Sequence[str] | None, options: Namespace
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
            largest=options.largest_shift,
            seed=options.seed,
            circular=options.circular,
            noise=options.noise,
            classes=classes,
            progress=progress,
        )
    would = _would_do(network, paths[0], options.cutoff)
    first = first_filtered(plan, would if isinstance(would, Report) else None)
    mapped = next((found for found in results if first and found.site.name == first.name), None)
    return _Found(paths, plan, results, shifted, would, mapped)


def _print(found: _Found | None, flicker: Mapping[str, Any] | None, options: Namespace) -> None:
    console = output_console()
    if found is not None:
        print_sites(found.results, len(found.paths), found.shifted, console)
        if found.shifted is not None:
            print_shifts(found.shifted, console)
    if flicker is not None:
        print_video(flicker, console)
    if options.weights is None and options.model.startswith(("timm:", "torchvision:")):
        console.print("The weights are random: --weights loads others.")
    if found is not None:
        console.print(f"dealias.dealias would do this:\n{found.would}", soft_wrap=True)


def _draw(
    folder: Path,
    network: Network,
    plan: Plan[Site],
    results: Sequence[SiteResult],
    paths: Sequence[Path],
    options: Namespace,
) -> None:
    draw_spectra(results, folder / "spectra.png")
    for path in paths[:_DRAWN_IMAGES]:
        image = read_image(path, noise=options.noise)
        maps = capture_maps(network, plan, image)
        name = "_".join(path.relative_to(options.images).parts)
        draw_maps(image, maps, results, folder / f"map_{name}.png")


def _write_maps(
    folder: Path,
    network: Network,
    plan: Plan[Site],
    mapped: SiteResult,
    paths: Sequence[Path],
    options: Namespace,
) -> None:
    with progress(len(paths)) as advance:
        for i, path in enumerate(paths):
            image = read_image(path, noise=options.noise, seed=i)
            features = capture_maps(network, plan, image)[mapped.site.name]
            size = (image.shape[1], image.shape[2])
            scores = pixel_scores(features, mapped.cutoff, size)[0].numpy()
            with open_image(path) as (whole, _):
                whole_size = (whole.height, whole.width)
            output = folder / path.relative_to(options.images).with_suffix(".png")
            write_scores(output, scores, whole_size)
            advance()


def _would_do(network: Network, path: Path, cutoff: Any) -> Report | str:
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
