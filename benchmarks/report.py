"""A report of 5,000 images: memory to write it, and time until a browser shows it."""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks._record import memory_of, record
from dealias.data import write_scenes
from dealias.evaluation import Options
from dealias.labels import load_class_set
from dealias.report import report_folders

IMAGES, FEW, DRAWN = 5000, 500, 40
SIZE = (64, 96)
FILTERINGS = 15
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_WATCH = """
new MutationObserver((_, observer) => {
  if (!document.querySelector(".card")) return;
  window.firstCards = performance.now();
  observer.disconnect();
}).observe(document, { childList: true, subtree: true });
"""
_FILTER = """
({ name, value }) => {
  const select = document.getElementById(name);
  const start = performance.now();
  select.value = value;
  select.dispatchEvent(new Event("change"));
  document.body.getBoundingClientRect();
  return performance.now() - start;
}
"""


def write_images(folder: Path, images: int) -> None:
    """Write scenes with predictions; the first are drawn, the others are links to them."""
    names = write_scenes(folder, DRAWN, size=SIZE)
    (folder / "predictions").mkdir()
    random = np.random.default_rng(0)
    for name in names:
        labels = np.asarray(Image.open(folder / "labels" / f"{name}.png"))
        moved = np.roll(labels, random.integers(-3, 4, 2), (0, 1))
        confused = random.random(256) < 0.15  # each class is sometimes another
        classes = len(load_class_set("scenes"))
        table = np.where(confused, random.integers(0, classes, 256), np.arange(256))
        table[255] = 0
        prediction = table[moved].astype(np.uint8)
        Image.fromarray(prediction).save(folder / "predictions" / f"{name}.png")
    for index in range(DRAWN, images):
        for part in ("images", "labels", "predictions"):
            path = folder / part / f"scene_{index:05d}.png"
            path.hardlink_to(folder / part / f"{names[index % DRAWN]}.png")


def write_page(folder: Path) -> None:
    """Evaluate the images and write their page, in this process."""
    report_folders(
        folder / "page",
        folder / "predictions",
        folder / "labels",
        Options(load_class_set("scenes")),
        images=folder / "images",
    )


def build(folder: Path, images: int) -> dict[str, float]:
    """Peak MiB and seconds of a fresh process that writes `images` images and their page."""
    write_images(folder, images)
    command = [sys.executable, "-m", "benchmarks.report", str(folder)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(run.stdout)
    return found


def look(page_folder: Path) -> dict[str, Any] | None:
    """Time until Chromium shows a page and filters its images; None without a browser."""
    executable = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if executable is None:
        return None
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.add_init_script(_WATCH)
        page.goto((page_folder / "index.html").as_uri())
        page.wait_for_selector(".card")
        paints = "performance.getEntriesByType('paint').map(entry => entry.startTime)"
        first_paint = min(page.evaluate(paints))
        first_cards = page.evaluate("window.firstCards")
        kinds = ["displacement", "false_response", "merging_mistake", "interior", ""]
        classes = ["pole", "car", ""]
        filterings = []
        for turn in range(FILTERINGS):
            by_kind = {"name": "gallery-kind", "value": kinds[turn % len(kinds)]}
            by_class = {"name": "gallery-class", "value": classes[turn % len(classes)]}
            filterings += [page.evaluate(_FILTER, by_kind), page.evaluate(_FILTER, by_class)]
        browser.close()
    return {
        "first_paint_ms": round(first_paint),
        "first_images_ms": round(first_cards),
        "filtering_ms": round(statistics.median(filterings), 1),
        "slowest_filtering_ms": round(max(filterings), 1),
    }


def main() -> None:
    """Measure writing few and many images, and the page of many."""
    result: dict[str, Any] = {"images": IMAGES, "size": list(SIZE)}
    with tempfile.TemporaryDirectory() as folder:
        few = build(Path(folder), FEW)
    with tempfile.TemporaryDirectory() as folder:
        many = build(Path(folder), IMAGES)
        page = Path(folder) / "page"
        result["peak_memory_mib"] = {str(FEW): few["peak"], str(IMAGES): many["peak"]}
        result["seconds_to_write"] = many["seconds"]
        files = [path for path in page.rglob("*") if path.is_file()]
        result["page_mib"] = round(sum(path.stat().st_size for path in files) / 2**20, 1)
        result["data_js_mib"] = round((page / "assets" / "data.js").stat().st_size / 2**20, 2)
        result["browser"] = look(page)
    record("report", result)


def _report_peak(folder: Path) -> None:
    torch.set_num_threads(1)
    start = time.perf_counter()
    _, peak = memory_of(lambda: write_page(folder))
    seconds = time.perf_counter() - start
    print(json.dumps({"peak": round(peak, 1), "seconds": round(seconds)}))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _report_peak(Path(sys.argv[1]))
    else:
        main()
