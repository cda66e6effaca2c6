"""Pages in a browser, watched for errors and requests."""

import io
import json

import numpy as np
from PIL import Image


class Watched:
    """A page whose errors and requests are kept."""

    def __init__(self, browser, folder, fragment="", **context):
        settings = {"viewport": {"width": 1200, "height": 800}} | context
        self.context = browser.new_context(**settings)
        self.page = self.context.new_page()
        self.errors, self.requests = [], []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", lambda dialog: self.errors.append(f"dialog {dialog.message}"))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("requestfailed", self._lost)
        self.folder = folder
        self.address = (folder / "index.html").as_uri()
        self.page.goto(self.address + fragment)
        self.page.wait_for_selector(".card")

    def _console(self, message):
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def _lost(self, request):
        if request.failure != "net::ERR_ABORTED":  # the page was left before
            self.errors.append(f"lost {request.url}")

    def names(self):
        return self.page.locator(".card-name").all_inner_texts()

    def state(self):
        return self.page.evaluate("Object.fromEntries(new URLSearchParams(location.hash.slice(1)))")

    def width(self):
        return self.page.evaluate("document.documentElement.scrollWidth")


def until(page, expression, argument=None):
    """Wait until a condition holds; Playwright's own way is stopped by the pages' policy."""
    for _ in range(100):
        if page.evaluate(expression, argument):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never came true: {expression}")


def opened_image(watched, name=None):
    if name is None:
        watched.page.locator(".card").first.click()
    watched.page.wait_for_selector("#viewer-stage canvas")
    until(watched.page, "document.querySelector('#viewer-layers li') != null")
    return watched.page


def stage_picture(page):
    page.mouse.move(0, 0)
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))")
    box = page.locator("#viewer-stage").bounding_box()
    clip = box | {"y": box["y"] + box["height"] / 2 + 40, "height": 60}
    return np.asarray(Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB"))


def data_of(watched):
    text = (watched.folder / "assets" / "data.js").read_text()
    return json.loads(text.removeprefix("dealias.start(").removesuffix(");\n"))
