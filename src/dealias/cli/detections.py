"""``dealias detections``."""

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from dealias.cli.console import output_console, progress
from dealias.files import write_json
from dealias.images import read_photograph
from dealias.outputs import claim_outputs


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("results", type=Path, metavar="RESULTS.json", help="detections in COCO's results format")
    told = "COCO's instances, or boxes only"
    add("--annotations", type=Path, required=True, metavar="FILE.json", help=told)
    add("--images", type=Path, required=True, metavar="DIR", help="folder of the images")
    add(
        "--detection-area",
        choices=["mask", "box"],
        default="mask",
        help="area of a detection for APs, APm and APl of masks; pycocotools uses the box",
    )
    add("--output", type=Path, metavar="FILE.json", help="write the result")
    add("--report", type=Path, metavar="DIR", help="write a page that shows the errors")
    add("--skip-bad", action="store_true", help="leave out bad annotations, and exit with 1")
    add("--overwrite", action="store_true", help="replace existing outputs")


def run(options: Namespace) -> int:
    """Match, write, draw and print."""
    from dealias.cli.instances import print_results
    from dealias.instance import (
        InstanceExample,
        InstanceReportWriter,
        read_annotations,
        read_detections,
    )

    files = [] if options.output is None else [options.output]
    folders = [] if options.report is None else [options.report]
    inputs = [options.results, options.annotations, options.images]
    with claim_outputs(files, folders, inputs, overwrite=options.overwrite):
        instances = read_annotations(
            options.annotations,
            images=options.images,
            skip_bad=options.skip_bad,
            boxes_alone=True,
        )
        area = options.detection_area
        found = read_detections(options.results, instances, detection_area=area)
        print_results(found, output_console())
        if options.output is not None:  # numbers first: drawing may fail
            write_json(found.to_dict(), options.output)
        if options.report is not None:
            with (
                progress(len(found.found)) as advance,
                InstanceReportWriter(options.report) as writer,
            ):
                for image, detections in found.found:
                    writer.add(InstanceExample(image, detections, read_photograph(image.path)))
                    advance()
                writer.finish(found)
    return 1 if found.skipped else 0
