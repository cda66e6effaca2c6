"""De-aliasing as the paper did it: before the steps, and with frequency mixing."""

import dealias
from dealias.surgery import FILTER_OPTIONS


def put_in(net, x, **options):
    """De-alias a network as the paper did, but for what options say."""
    published = {"place": "before", "mixing": True}
    if options.get("filter", "daf") in FILTER_OPTIONS:
        published["filter_options"] = {"border": "wrap"}
    return dealias.dealias(net, x, **{**published, **options})
