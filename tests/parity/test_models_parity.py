import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from dealias.cli import main
from dealias.models import SegmentationModel, UPerNet, create_model, load
from dealias.models.official import official_config, official_name


def filled(key: str, shape: list[int]) -> torch.Tensor:
    a = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape).astype(np.float32)
    name = key.rsplit(".", 1)[1]
    if name == "num_batches_tracked":
        return torch.zeros((), dtype=torch.int64)
    if name == "running_var":
        a = 1 + 0.1 * np.abs(a)
    elif len(shape) == 1:
        a = 1 + 0.1 * a if name == "weight" else 0.1 * a
    else:
        a = a / np.sqrt(np.prod(shape[1:]))
    return torch.from_numpy(np.asarray(a, np.float32))


NAMES = [
    "upernet_r50_baseline",
    "upernet_r50_dealiased",
    "upernet_r101_dealiased",
]


def checkpoint(parity: Path, name: str) -> dict[str, torch.Tensor]:
    shapes = json.loads((parity / f"{name}_keys.json").read_text())
    return {key: filled(key, shape) for key, shape in shapes.items()}


@pytest.fixture(scope="module", params=NAMES)
def case(request: pytest.FixtureRequest, parity: Path) -> tuple[str, SegmentationModel]:
    state = checkpoint(parity, request.param)
    model = create_model(**official_config(state))
    model.load_state_dict({official_name(key): value for key, value in state.items()}, strict=True)
    return request.param, model.eval()


@torch.no_grad()
def test_every_stage(case: tuple[str, UPerNet], parity: Path, device: torch.device) -> None:
    name, model = case
    model.to(device)
    images = np.random.RandomState(7).standard_normal((2, 3, 64, 96)).astype(np.float32)
    x = torch.from_numpy(images).to(device)
    stages = zip(*(model.features(i[None]) for i in x), strict=True)
    features = [torch.cat(stage) for stage in stages]
    upsampled = torch.cat([model(i[None])["out"] for i in x])
    assert model.aux_head is not None
    actual = {f"stage{i}_mean": f.mean((2, 3)) for i, f in enumerate(features, 1)}
    actual |= {
        "head_logits": model.decode_head(features),
        "aux_logits": model.aux_head(features[-2]),
        "upsampled_logits": upsampled[..., ::4, ::4],
    }
    with np.load(parity / f"{name}.npz") as expected:
        assert set(actual) == set(expected)
        for key in expected:
            largest = np.abs(expected[key]).max()
            error = np.abs(actual[key].cpu().numpy() - expected[key]).max() / largest
            assert error < 1e-3, f"{key}: {error:.1e} of the largest value"


def test_parameters_of_the_published_table(parity: Path) -> None:
    model = create_model("upernet", num_classes=19)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(31.16, abs=0.005)


def test_places_of_the_published_code(case: tuple[str, SegmentationModel]) -> None:
    name, model = case
    report = model.dealias_report
    if "baseline" in name:
        assert report is None
        return
    assert report is not None
    blocks = {2: 4, 3: 23 if "r101" in name else 6, 4: 3}
    assert [i.site for i in report.inserted] == [
        *(f"layer{layer}.0" for layer in blocks),
        *(f"layer{layer}.{b}.conv2" for layer, count in blocks.items() for b in range(count)),
    ]
    assert {item.cutoff for item in report.inserted} == {0.35}


@pytest.mark.parametrize("name", ["upernet_r50_baseline", "upernet_r50_dealiased"])
def test_a_converted_checkpoint_gives_the_published_outputs(
    name: str, parity: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    meta = {"CLASSES": [f"class {i}" for i in range(19)], "epoch": 1, "config": "model = dict()"}
    torch.save({"meta": meta, "state_dict": checkpoint(parity, name)}, tmp_path / "official.pth")
    assert (
        main(["convert", str(tmp_path / "official.pth"), "--output", str(tmp_path / "ours")]) == 0
    )
    kind, millions = ("plain", "31.16") if "baseline" in name else ("de-aliased", "31.54")
    said = f"upernet on resnet50c, {kind}, 19 classes, {millions} M parameters: {tmp_path}/ours"
    assert capsys.readouterr().out.strip() == said
    model = load(tmp_path / "ours")
    assert model.classes == {"names": meta["CLASSES"], "palette": None}
    images = np.random.RandomState(7).standard_normal((2, 3, 64, 96)).astype(np.float32)
    with torch.no_grad():
        actual = torch.cat([model(torch.from_numpy(i)[None])["out"] for i in images]).numpy()
    expected = np.load(parity / f"{name}.npz")["upsampled_logits"]
    assert np.abs(actual[..., ::4, ::4] - expected).max() < 1e-3 * np.abs(expected).max()
