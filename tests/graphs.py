"""What graphs of a module give."""

import copy

import torch
from torch import Tensor, nn


def check_graphs(module: nn.Module, x: Tensor) -> None:
    """One graph when compiled; any batch size when exported."""
    module = copy.deepcopy(module).eval()
    torch._dynamo.reset()
    with torch.no_grad():
        y = module(x)
        compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(x), y)
        batch = {0: torch.export.Dim("batch")}
        exported = torch.export.export(module, (x,), dynamic_shapes=(batch,)).module()
        torch.testing.assert_close(exported(torch.cat((x, x))), torch.cat((y, y)))
        torch.testing.assert_close(module(x), y)
