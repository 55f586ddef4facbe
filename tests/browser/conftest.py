"""A browser for these tests; `tox run -e browser` brings all but the browser itself."""

import os
import shutil

import pytest

NAMED = os.environ.get("HPO_BENCH_BROWSER")
USUAL = ("chromium", "chromium-browser", "google-chrome")
# One that is named and not there is an error, where none at all skips these tests.
BROWSER = NAMED or next(filter(shutil.which, USUAL), None)


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    if BROWSER is None:
        pytest.skip("no Chromium: apt-get install chromium, or its path in HPO_BENCH_BROWSER")
    with playwright.sync_playwright() as running:
        # Root, as in a container, has no sandbox; without a graphics card, software draws.
        arguments = ["--no-sandbox", "--enable-unsafe-swiftshader"]
        opened = running.chromium.launch(
            executable_path=shutil.which(BROWSER) or BROWSER, args=arguments
        )
        yield opened
        opened.close()
