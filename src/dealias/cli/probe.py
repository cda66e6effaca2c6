"""``dealias probe``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from rich.table import Table

import dealias
from dealias.cli.console import output_console, percent, progress
from dealias.environment import environment
from dealias.files import write_json
from dealias.images import open_image
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
from dealias.surgery import Plan, Report, Site, rate_text
from dealias.text import printable

_BINS = 32
_DRAWN_IMAGES = 4


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--model", type=str, required=True, metavar="SPEC", help=SPECS)
    add("--weights", type=Path, metavar="FILE", help="weights to load: .pth, .ckpt, .safetensors")
    add("--images", type=Path, required=True, metavar="DIR", help="photographs")
    add("--limit", type=int, metavar="N", help="the first N of them")
    add("--cutoff", type=float | str, default="auto", help="auto, or cycles per pixel for all")
    add("--noise", type=float, default=0.0, metavar="SIGMA", help="Gaussian noise, of 255")
    add("--blur", type=int, metavar="SIZE", help="binomial blur of each map, 2 to 7")
    add("--shifts", type=int, metavar="N", help="compare the output with that of N shifts an image")
    add("--seed", type=int, default=0, help="of the shifts")
    add("--largest-shift", type=int, default=32, help="in pixels along an axis")
    add("--circular", action="store_true", help="shift images circularly, not by cropping")
    add("--video", type=Path, metavar="DIR|FILE", help="frames, to count changes of class between")
    add("--output", type=Path, metavar="FILE.json", help="write the result")
    add("--figures", type=Path, metavar="DIR", help="draw spectra and aliasing maps")
    add("--maps", type=Path, metavar="DIR", help="write the aliasing score of each pixel")
    add("--trust", action="store_true", help="run the code that the model names or holds")
    add("--overwrite", action="store_true", help="replace outputs that exist")


def run(options: Namespace) -> int:
    """Probe, print, write and draw."""
    files = [] if options.output is None else [options.output]
    folders = [path for path in (options.figures, options.maps) if path is not None]
    inputs = [options.images, *([] if options.video is None else [options.video])]
    _check(options)
    claimed = claim_outputs(files, folders, inputs, overwrite=options.overwrite)
    with claimed, fill_folder(options.maps) as maps, fill_folder(options.figures) as figures:
        paths = list_images(options.images, options.limit)
        network = load_network(options.model, options.weights, trust=options.trust)
        plan, results = measure_aliasing(
            network,
            paths,
            cutoff=options.cutoff,
            noise=options.noise,
            blur=options.blur,
            bins=_BINS if figures is not None or options.output is not None else 0,
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
                progress=progress,
            )
        flicker = None
        if options.video is not None:
            source = printable(options.video)
            flicker = measure_video(network, read_frames(options.video), source=source)
        console = output_console()
        console.print(_table(results, len(paths), shifted))
        if shifted is not None:
            _print_shifts(shifted, console)
        if flicker is not None:
            console.print(
                f"video: {percent(flicker['agreement'])} % of the points that could be followed "
                f"keep their class from frame to frame, {percent(flicker['agreement_preds_band'])} "
                f"% in the bands of the prediction; {flicker['frames']} frames, "
                f"{percent(flicker['compared'])} % of points followed",
                soft_wrap=True,
            )
        would = _would_do(network, paths[0], options.cutoff)
        if options.weights is None and options.model.startswith(("timm:", "torchvision:")):
            console.print("The weights are random: --weights loads others.")
        console.print(f"dealias.dealias would do this:\n{would}", soft_wrap=True)
        first = first_filtered(plan, would if isinstance(would, Report) else None)
        mapped = next((found for found in results if first and found.site.name == first.name), None)
        if maps is not None and mapped is None:
            raise ValueError("--maps: no step of the network would be filtered")
        written = None
        if mapped is not None and options.maps is not None:
            written = {"folder": str(options.maps.absolute()), "site": mapped.site.name}
        if options.output is not None:
            settings = {key: options[key] for key in ("model", "cutoff", "noise", "blur")}
            settings |= {"images": len(paths)}
            found = {"shifts": None if shifted is None else shifted.to_dict(), "video": flicker}
            _write(options.output, results, settings, would, {"maps": written} | found)
        if mapped is not None and maps is not None:
            _write_maps(maps, network, plan, mapped, paths, options)
        if figures is not None:
            _draw(figures, network, plan, results, paths, options)
    return 0


def _check(options: Namespace) -> None:
    if options.shifts is None and options.circular:
        raise ValueError("--circular: is for --shifts")
    for name in ("shifts", "largest_shift"):
        if options[name] is not None and options[name] < 1:
            option = name.replace("_", "-")
            raise ValueError(f"--{option}: expected at least 1, got {options[name]}")


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


def _print_shifts(shifted: ShiftResult, console: Console) -> None:
    found = shifted.to_dict()
    bands = found["agreement_preds_band"]
    inside = "" if bands is None else f", {percent(bands)} % in the bands of the prediction"
    compared = int(shifted.counts[0, 0].sum())
    of_images = compared == shifted.images * shifted.shifts
    kept = "of shifts keep the class of the image" if of_images else "of pixels keep their class"
    console.print(
        f"shift agreement: {percent(found['agreement'])} % {kept}{inside}; "
        f"{shifted.shifts} shifts of each image",
        soft_wrap=True,
    )


def _table(results: list[SiteResult], images: int, shifted: ShiftResult | None) -> Table:
    table = Table(title=f"{images:,} images; scores in percent", title_justify="left")
    table.add_column("site", overflow="fold")
    for heading in ("kernel", "stride", "channels", "ESR", "Nyquist", "score", "±", "|cos|"):
        table.add_column(heading, justify="right")
    if shifted is not None:
        table.add_column("equivariance error", justify="right")
    for result in results:
        row = result.site.row
        table.add_row(
            *(row[key] for key in ("site", "kernel", "stride", "channels", "ESR")),
            rate_text(result.site.nyquist),
            percent(result.score),
            percent(result.spread),
            "-" if result.orthogonality is None else f"{result.orthogonality:.3f}",
            *([] if shifted is None else [percent(shifted.equivariance.get(result.site.name))]),
        )
    return table


def _write(
    path: Path,
    results: list[SiteResult],
    settings: dict[str, Any],
    would: Report | str,
    more: dict[str, Any],
) -> None:
    content = {
        "sites": [result.to_dict() for result in results],
        "settings": settings,
        "dealias": str(would),
        **more,
        "environment": environment(),
    }
    write_json(content, path)
