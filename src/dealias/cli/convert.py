"""``dealias convert``."""

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from dealias.cli.console import output_console
from dealias.outputs import claim_outputs, folders_above
from dealias.text import printable


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    told = "checkpoint of dealias fit, or of a UPerNet of the published code or MMSegmentation"
    add("checkpoint", type=Path, metavar="FILE", help=told)
    add("--output", type=Path, required=True, metavar="DIR", help="folder to write the network to")
    add(
        "--filtered",
        action="store_true",
        help="the published checkpoint was trained with the filters but without frequency mixing "
        "(filters have no weights, so the file cannot tell)",
    )
    add("--trust", action="store_true", help="run the network class that the checkpoint names")
    add("--card", action="store_true", help="also write README.md, a card for the Hugging Face Hub")
    told = "for the card: result.json of dealias test for this network"
    add("--result", type=Path, metavar="FILE.json", help=told)
    add("--dataset", metavar="NAME", help="for the card: data set of the result")
    add("--license", metavar="ID", help="for the card: licence, such as apache-2.0")
    add("--overwrite", action="store_true", help="replace existing outputs")


def run(options: Namespace) -> int:
    """Read and convert the checkpoint, write the network and describe it."""
    from dealias.models import convert, network_name, save, save_pretrained
    from dealias.report import read_result

    inputs = [options.checkpoint, *([] if options.result is None else [options.result])]
    of_card = {name: getattr(options, name) for name in ("dataset", "license")}
    with (
        folders_above(options.output),
        claim_outputs([], [options.output], inputs, overwrite=options.overwrite),
    ):
        result = None if options.result is None else read_result(options.result)
        converted = convert(options.checkpoint, filtered=options.filtered, trust=options.trust)
        model = converted.model
        if options.card or result is not None or any(of_card.values()):
            more = {"result": result, **of_card, "overwrite": options.overwrite}
            save_pretrained(model, options.output, **more)
        else:
            save(model, options.output, overwrite=options.overwrite)
    console = output_console()
    named, backbone = network_name(model.config), model.config.get("backbone")
    named = f"{named} on {backbone}" if named == "upernet" else named
    parameters = sum(p.numel() for p in model.parameters())
    kind = "plain" if model.dealias_report is None else "de-aliased"
    console.print(
        f"{named}, {kind}, "
        f"{model.num_classes} classes, {parameters / 1e6:.2f} M parameters: "
        f"{printable(options.output)}",
        soft_wrap=True,
    )
    for part in converted.left:
        console.print(f"left out: {part}", soft_wrap=True)
    return 0
