"""The report in a real browser: at three widths, in both themes."""

import os
from dataclasses import asdict

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import create_trial
from written import job, write_run, write_suite

from hpo_bench.analysis.summary import summarise
from hpo_bench.report.files import write

VIEWS = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 800}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 820, "height": 1000}},
    "narrow": {
        "color_scheme": "light",
        "viewport": {"width": 390, "height": 800},
        "has_touch": True,
        "is_mobile": True,
    },
}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    storage = optuna.storages.InMemoryStorage()
    write_suite(storage, methods={"random": 0.0, "pso": 0.02, "tpe": 0.1}, seeds=10)
    write_run(storage, [0.7], method="pso", seed=10, finished=None)
    write_suite(storage, suite="other", methods={"random": 0.1, "pso": 0.0, "tpe": 0.1}, seeds=2)
    write_run(storage, [], suite="bare", finished=None)
    folder = tmp_path_factory.mktemp("report")
    for names in (["written"], ["written", "other"], ["bare"]):
        summaries = [summarise(storage, name) for name in names]
        write(folder / f"{'-'.join(names)}.html", summaries, "sqlite:///hpo-bench.db")
    return folder


@pytest.fixture(scope="module")
def page(browser, report):
    """Open a report, with no network, once for all tests: drawing takes seconds on few cores."""
    complaints = []
    pages = {}

    def open_(name="written", view="light"):
        if (name, view) not in pages:
            context = browser.new_context(offline=True, **VIEWS[view])
            opened = pages[name, view] = context.new_page()
            opened.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
            opened.on("pageerror", lambda error: complaints.append(str(error)))
            opened.goto((report / f"{name}.html").as_uri())
            opened.wait_for_function("document.documentElement.dataset.drawn !== undefined")
        opened = pages[name, view]
        opened.evaluate("scrollTo({top: 0, behavior: 'instant'})")
        assert complaints == []
        return opened

    yield open_
    for opened in pages.values():
        opened.context.close()
    assert complaints == []


@pytest.mark.parametrize("view", VIEWS)
def test_every_picture_draws(page, view, tmp_path):
    opened = page(view=view)
    pictures = opened.locator(".plot")
    assert pictures.count() >= 12
    for picture in pictures.all():
        assert picture.locator(".main-svg").first.bounding_box()["width"] > 250
        assert picture.locator(".trace, .bars, .parcoords-line-layers, .parcoords").count() > 0
    folder = os.environ.get("HPO_BENCH_SCREENSHOTS", tmp_path)
    opened.screenshot(path=f"{folder}/report-{view}.png", full_page=True)


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_sticks_out_at_the_side(page, view):
    opened = page(view=view)
    assert opened.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("view", VIEWS)
def test_tables_that_scroll_show_it_and_end_at_their_last_column(page, view):
    opened = page(view=view)
    told = opened.locator(".scroll").evaluate_all(
        """boxes => boxes.filter(box => box.checkVisibility()).map(box => {
          const hidden = box.scrollWidth - box.clientWidth;
          const shown = getComputedStyle(box, "::before").content.includes("more columns");
          const has = {shown, shade: box.classList.contains("more"), tab: box.tabIndex === 0};
          box.scrollLeft = box.scrollWidth;
          const [cell] = [...box.querySelectorAll("td:last-child")].slice(-1);
          const rest = cell.getBoundingClientRect().right - box.getBoundingClientRect().right;
          return [hidden > 1, has, rest];
        })"""
    )
    assert any(scrolls for scrolls, _, _ in told) or view != "narrow"
    for scrolls, has, rest in told:
        assert set(has.values()) == {scrolls}
        assert rest <= 1


def test_keys_go_through_the_page_and_not_through_every_picture(page):
    opened = page()
    stops = "a, button, input, summary, [tabindex]"
    count = f"e => [...e.querySelectorAll('{stops}')].filter(part => part.tabIndex >= 0).length"
    assert opened.locator(".plot .modebar-btn").count() > 50
    assert sum(plot.evaluate(count) for plot in opened.locator(".plot").all()) == 0
    assert opened.locator("body").evaluate(count) < 40


def test_the_table_of_contents_stays_and_leads_to_headings_that_can_be_seen(page):
    opened = page()
    opened.locator("nav a").last.click()
    opened.wait_for_function("scrollY > 1000")
    opened.wait_for_function("new Promise(go => addEventListener('scrollend', () => go(true)))")
    nav = opened.locator("nav").bounding_box()
    assert nav["y"] == pytest.approx(0, abs=1)
    href = opened.locator("nav a").last.get_attribute("href")
    heading = opened.locator(f"[id='{href[1:]}'] h2").bounding_box()
    assert nav["height"] <= heading["y"] < 800


def test_the_table_stands_before_the_pictures(page):
    opened = page()
    table = opened.locator("table").first.bounding_box()
    assert table["y"] + table["height"] < 800
    assert table["y"] < opened.locator(".plot").first.bounding_box()["y"]
    assert "1 not finished yet" in opened.locator("main").inner_text()


def test_the_legend_hides_a_method(page):
    opened = page()
    picture = opened.locator("#plot-0-curve-epochs")
    picture.scroll_into_view_if_needed()
    visible = (
        "() => document.querySelector('#plot-0-curve-epochs')._fullData"
        ".filter(trace => trace.visible === true).length"
    )
    before = opened.evaluate(visible)
    picture.locator(".legendtoggle").first.click()
    opened.wait_for_function(f"({visible})() < {before}")
    assert opened.evaluate(visible) == before - 3  # the median and both edges of the band


def test_a_finger_meets_no_bar_over_the_legend(page):
    opened = page(view="narrow")
    assert opened.locator("#plot-0-curve-epochs .legendtoggle").count() > 0
    assert opened.locator(".modebar").count() == 0
    assert page(view="dark").locator(".modebar").count() > 0


def test_the_theme_can_be_changed_and_changed_back(page):
    opened = page()
    ground = "getComputedStyle(document.body).backgroundColor"
    ink = "document.querySelector('#plot-0-times')._fullLayout.font.color"
    light = opened.evaluate(ground), opened.evaluate(ink)
    opened.locator("#theme").click()
    opened.wait_for_function(f"{ink} !== '{light[1]}'")
    assert opened.evaluate(ground) != light[0]
    opened.locator("#theme").click()
    opened.wait_for_function(f"{ink} === '{light[1]}'")
    assert opened.evaluate(ground) == light[0]


def test_it_can_be_printed(page, tmp_path):
    page(view="dark").pdf(path=tmp_path / "report.pdf", format="A4")
    assert (tmp_path / "report.pdf").stat().st_size > 50_000


EVIL = (
    "</script><script>document.title = 'ran'</script>",
    "<img src=https://example.org/x.png onerror=\"document.title = 'ran'\">",
    '<a href="https://example.org/">x</a>',
    "<a href=\"javascript:document.title = 'ran'\">x</a>",
    "&lt;script&gt;document.title = 'ran'&lt;/script&gt;",
    "<style>@import url(https://example.org/x.css)</style>",
    "url(https://example.org/x.png)",
    "\u202e\x1b[31m\ud800",
    "$(touch ran)\n`touch ran`",
)


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory):
    """A report of a storage in which every name and text is one that does something somewhere."""
    storage = optuna.storages.InMemoryStorage()
    space = {text: CategoricalDistribution((text, None, True)) for text in EVIL}
    for seed in range(7):
        for text in EVIL:
            name = text.replace("/", "\u2215")
            study = write_run(
                storage,
                [0.1 * seed, None],
                method=name,
                seed=seed,
                metric=EVIL[0],
                finished=text,
                attributes={"cpu": text, text: text, "method_options": {text: text}, "data": text},
            )
            for choice in (text, None, True):
                told = {"jobs": [asdict(job(0.1 * seed, epochs=3))], "error": text}
                params = dict.fromkeys(EVIL, None) | {text: choice}
                made = create_trial(
                    value=0.1 * seed, params=params, distributions=space, user_attrs=told
                )
                study.add_trial(made)
    path = tmp_path_factory.mktemp("hostile") / "page.html"
    write(path, [summarise(storage, "written")], EVIL[0])
    return path


def test_the_page_of_a_hostile_storage_runs_nothing_and_asks_for_nothing(browser, hostile_page):
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    opened = context.new_page()
    asked, complaints = [], []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(hostile_page.as_uri())
    opened.wait_for_function("document.documentElement.dataset.drawn !== undefined")
    title = opened.title()
    for picture in opened.locator(".plot").all():
        picture.hover()
    assert opened.title() == title == "written"
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert len([url for url in asked if url.startswith("file:")]) == 1
    assert complaints == []
    foreign = "a:not([href^='#']), img[src^=http], main style, [onerror], iframe, object, embed"
    within = "e => e.outerHTML.includes('example.org') || e.outerHTML.includes('javascript')"
    found = opened.locator(foreign).evaluate_all(f"all => all.filter({within}).length")
    assert found == 0
    assert EVIL[2] in opened.locator("main").inner_text()
    context.close()


@pytest.mark.parametrize("name", ["written-other", "bare"])
def test_other_reports_open_without_complaint(page, name):
    opened = page(name)
    text = opened.locator("main").inner_text()
    expected = {
        "written-other": "Across objectives",
        "bare": "No finished run has found anything yet.",
    }
    assert expected[name] in text
