import os
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

# Machines are busy, and what takes a millisecond may take seconds.
_UNHEEDED = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile("busy", deadline=None, suppress_health_check=_UNHEEDED)
settings.load_profile("busy")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", help="device of the tensors under test")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse names that show a set: its order, and so the name, differs between processes, and
    workers would collect different tests.
    """
    for item in items:
        call = getattr(item, "callspec", None)
        sets = [value for value in call.params.values() if isinstance(value, set)] if call else []
        if any(len(value) > 1 and str(value) in item.name for value in sets):
            raise pytest.UsageError(f"{item.nodeid}: names of tests can't show a set")


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.config.getoption("--device"))


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    torch.manual_seed(0)


def _folder_from(variable: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set")
    folder = Path(value)
    if not folder.is_dir():
        pytest.skip(f"{variable} names {folder}, which is not a folder")
    return folder


@pytest.fixture(scope="session")
def camvid() -> Path:
    """The CamVid images and label maps: train, trainannot, val, valannot."""
    return _folder_from("DEALIAS_CAMVID")


@pytest.fixture(scope="session")
def parity() -> Path:
    """Random inputs with the results of the published modules and networks on them."""
    return Path(__file__).parent / "data" / "parity"


@pytest.fixture(scope="session")
def official_evaluation() -> Path:
    """Label maps made from CamVid, with the results of the published evaluation on them."""
    return _folder_from("DEALIAS_PARITY")


@pytest.fixture(scope="session")
def predictions() -> Path:
    """Label maps that public networks predicted: camvid_espnet, camvid_espnet_two_shifts, voc."""
    return _folder_from("DEALIAS_PREDICTIONS")
