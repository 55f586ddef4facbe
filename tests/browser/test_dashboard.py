"""The real optuna-dashboard, on what the harness writes into a storage."""

import math
import os
import socket
import subprocess
import sys

import optuna
import pytest
from optuna.trial import TrialState, create_trial
from written import SPACE, write_default, write_run, write_suite

playwright = pytest.importorskip("playwright.sync_api")


@pytest.fixture(scope="module")
def address(browser, tmp_path_factory):
    """The address of `hpo-bench dashboard --notes` on a suite, and on a run of failures and NaN."""
    url = f"sqlite:///{tmp_path_factory.mktemp('dashboard') / 'runs.db'}"
    write_suite(url, methods={"random": 0.0, "my-sampler": 0.1}, seeds=2, evaluations=4)
    write_default(url, 0.6, seed=0)
    odd = write_run(url, [0.5, None, 0.6], suite="odd", tests=[0.4, None, math.nan])
    odd.add_trial(create_trial(state=TrialState.FAIL, distributions=SPACE, params={"x": 1, "y": 1}))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["dashboard", "--notes", "--storage", url, "--port", str(port)]
    command = [sys.executable, "-m", "hpo_bench", *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as server:
        try:
            for line in server.stdout:
                if "Listening on" in line:
                    break
            yield f"http://127.0.0.1:{port}", url
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def page(browser, address):
    """A page there; what its console complains of fails the test."""
    complaints = []
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    opened.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    yield opened
    context.close()
    assert complaints == []


def visit(page, address, name, part=""):
    base, url = address
    studies = {study.study_name: study._study_id for study in optuna.get_all_study_summaries(url)}
    page.goto(f"{base}/dashboard/studies/{studies[name]}{part}")


def shoot(page, name):
    if folder := os.environ.get("HPO_BENCH_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/dashboard-{name}.png", full_page=True)


def test_the_list_begins_with_the_summaries_of_suites(page, address):
    page.goto(f"{address[0]}/dashboard")
    page.get_by_text("written/random/seed-00").wait_for()
    shoot(page, "list")
    words = page.locator("body").inner_text()
    assert words.index("written+summary") < words.index("written/random/seed-00")


@pytest.mark.parametrize(
    "name", ["written+summary", "written/my-sampler/seed-00", "odd/random/seed-00"]
)
def test_the_pictures_of_a_study_are_whole(page, address, name):
    visit(page, address, name)
    title = page.locator(".gtitle", has_text=f"{name.partition('/')[0].partition('+')[0]}: ")
    title.nth(1).wait_for(timeout=20_000)
    shoot(page, name.replace("/", "-"))
    clipped = page.locator(".js-plotly-plot", has=page.locator(".gtitle-subtitle")).evaluate_all(
        """plots => plots.map(plot => {
          const box = plot.getBoundingClientRect();
          return [...plot.querySelectorAll(".gtitle, .gtitle-subtitle, .legend, .xtitle, .ytitle")]
            .map(part => [part.textContent, part.getBoundingClientRect()])
            .filter(([_, r]) => r.left < box.left - 1 || r.right > box.right + 1
                             || r.top < box.top - 1 || r.bottom > box.bottom + 1)
            .map(([text]) => text);
        })"""
    )
    assert len(clipped) == 2
    assert clipped == [[], []]


def test_a_note_can_be_read(page, address):
    visit(page, address, "written+summary", "/note")
    page.get_by_text("The suite written").wait_for()
    shoot(page, "note")
    words = page.locator("body").inner_text()
    assert "my-sampler" in words
    assert "\\" not in words
    assert "0.7" in words
