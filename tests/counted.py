"""Tables of counts that tests of margins and intervals share."""

import torch

from dealias.metrics.functional import MarginTable, margins, pack_margins


def tables_of(number, seed=0, classes=5):
    """Tables of counts of images, [N, 4, C, C]; some lack classes, one is void."""
    generator = torch.Generator().manual_seed(seed)
    tables = torch.randint(0, 40, (number, 4, classes, classes), generator=generator)
    for image, table in enumerate(tables):
        absent = torch.rand(classes, generator=generator) < 0.4
        table[:, absent] = 0
        if image % 3:
            table[:, :, absent] = 0
    if number > 1:
        tables[1] = 0
    return tables


def margin_table(tables):
    return MarginTable.of([pack_margins(margins(table)) for table in tables], tables.shape[-1])
