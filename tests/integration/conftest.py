import shutil

import pytest

from browsing import Watched
from runs import CONFIG, command


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome")
    executable = next(filter(None, map(shutil.which, names)), None)
    if executable is None:
        pytest.skip(f"no browser: none of {', '.join(names)} is on the path")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, pages):
    opened = []

    def open_one(name, fragment="", **context):
        opened.append(Watched(browser, pages / name, fragment, **context))
        return opened[-1]

    yield open_one
    for one in opened:
        inside = one.address.rsplit("/", 1)[0]
        strangers = [url for url in one.requests if not url.startswith(inside)]
        one.context.close()
        assert strangers == []
        assert one.errors == []


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The folder of a run."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.yaml").write_text(CONFIG, encoding="utf-8")
    assert command("fit", folder / "tiny.yaml", folder / "run") == 0
    return folder / "run"
