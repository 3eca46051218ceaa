"""The page of a backtest: whole in itself, honest about what it rests on, legible on a phone and in the dark."""

import json
import re
import shutil
from datetime import timedelta
from functools import partial
from html.parser import HTMLParser

import pytest

from tbot_bot.backtest.charts import Scale, histogram, line_chart
from tbot_bot.backtest.kept_run import run_whole
from tbot_bot.backtest.model import BacktestRequest, EngineChoice
from tests.support.rehearsal import BELL, DAY, SENSITIVE, random_walks, write_csv, write_vix

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
OVERFLOWING = """() => [...document.querySelectorAll('figcaption, h1, h2, p, li, .tile, .x span, .y')]
    .filter(one => one.offsetParent && one.getBoundingClientRect().right > innerWidth + 1)
    .map(one => one.textContent)"""
OVERLAPPING = """() => [...document.querySelectorAll('.x')].filter(row => {
    const shown = [...row.children].filter(one => one.offsetParent).map(one => one.getBoundingClientRect());
    return shown.some((one, place) => place && one.left < shown[place - 1].right + 2);
}).map(row => row.textContent)"""
CONTRAST = """() => {
    const light = colour => {
        const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(part => part / 255)
            .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = light(getComputedStyle(document.body).backgroundColor);
    return Object.fromEntries(['body', '.quiet', '.y', '.up', '.down'].map(name => {
        const text = light(getComputedStyle(document.querySelector(name)).color);
        return [name, (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05)];
    }));
}"""


def page_of(folder, days, settings=None, vix=None):
    """Return the page over `days` (each a dictionary of bars), and the run."""
    data = folder / "bars"
    dates = [DAY + timedelta(number) for number in range(len(days))]
    for date, bars in zip(dates, days, strict=True):
        write_csv(data / f"{date}.csv", bars, BELL + (date - DAY))
    made = run_whole(
        BacktestRequest(
            home=folder / "none", data=data, first=dates[0], last=dates[-1], vix=vix, engine=EngineChoice.EVENT,
            overrides=tuple((SENSITIVE if settings is None else settings).items()),
        )
    )  # fmt: skip
    return made.files["report.html"].decode(), made


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    text, made = page_of(folder, [random_walks(seed) for seed in range(1, 5)], vix=write_vix(folder / "vix.csv"))
    (folder / "report.html").write_text(text)
    return folder / "report.html", text, made


class Seen(HTMLParser):
    """Notes tags that load or run something, and checks that every tag is closed."""

    def __init__(self):
        super().__init__()
        self.open, self.loading = [], []

    def handle_starttag(self, tag, attrs):
        names = dict(attrs)
        if tag in {"script", "link", "img", "iframe", "object", "image", "use"} or {"src", "href"} & names.keys():
            self.loading.append(tag)
        if tag not in {"meta", "br", "rect", "path", "polygon", "polyline"} or tag == "rect":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_in_itself(page):
    _, text, _ = page
    seen = Seen()
    seen.feed(text)
    assert seen.open == []
    assert seen.loading == []
    assert re.search(r"url\(|@import|https?:", text) is None


def test_the_page_tells_what_the_run_came_to(page):
    _, text, made = page
    figures = json.loads(made.files["metrics.json"])["performance"]
    won = figures["trades"]["pnl"]
    assert f"{'-' if won < 0 else ''}${abs(won):,.2f}" in text
    assert f"won of {figures['trades']['trades']} trades" in text
    for name in ("Equity", "Drawdown", "Months", "Trades by result", "Strategy", "Symbol", "Entered from"):
        assert name in text
    assert text.count('class="m in"') == min(12, len(made.result.trades))


def test_the_page_says_what_it_rests_on(page):
    _, text, _ = page
    for word in ("Survivorship", "10 % of a bar", "the stop came first", "Commissions", "No price in these trades"):
        assert word in text


def test_modelled_prices_are_marked(tmp_path):
    settings = {**SENSITIVE, "SHORT_TYPE_OPEN": "LongPut", "SHORT_TYPE_CLOSE": "LongPut"}
    vix = write_vix(tmp_path / "vix.csv")
    text, made = page_of(tmp_path, [random_walks(1)], settings, vix)
    modelled = sum(trade.modelled for trade in made.result.trades)
    assert modelled
    assert f"MODELLED: {modelled} of {len(made.result.trades)} trades" in text
    assert text.count("modelled price") == min(modelled, 12)


def test_a_run_without_trades_has_a_page_too(tmp_path):
    text, made = page_of(tmp_path, [random_walks(1, symbols=1, deviation=0.00001)], {})
    assert made.result.trades == ()
    assert "Nothing was traded" in text
    assert "0.00 %" in text


def test_words_from_outside_cannot_become_markup(tmp_path):
    days = random_walks(1)
    text, _ = page_of(tmp_path / "a<b>&", [days])
    assert "<b>&<" not in text
    (tmp_path / "x").mkdir()
    data = write_csv(tmp_path / "x" / "<script>.csv", days)
    request = BacktestRequest(
        home=tmp_path / "none", data=data, first=DAY, last=DAY, engine=EngineChoice.EVENT,
        overrides=tuple(SENSITIVE.items()),
    )  # fmt: skip
    assert b"&lt;script&gt;.csv" in run_whole(request).files["report.html"]


def note(asked, request):
    asked.append(request.url)


def test_a_scale_holds_its_values_and_its_marks_are_round():
    for low, high in ((0.0, 0.0), (1.0, 1.0), (-3.0, 700.0), (499_990.0, 500_010.0), (1e-5, 2e-5)):
        for zero in (False, True):
            scale = Scale(low, high, zero=zero)
            assert 0 <= scale.at(low) <= scale.at(high) <= 1
            assert 1 <= len(scale.marks()) <= 7
            assert all(-1e-9 <= scale.at(mark) <= 1 + 1e-9 for mark in scale.marks())


def test_a_histogram_counts_every_value_once():
    values = [-1000.0, -3.0, -0.5, 0.0, 0.5, 2.0, 2.5, 1000.0, 0.1]
    counts = re.findall(r": (\d+)</title>", histogram(values, str, about="x"))
    assert sum(map(int, counts)) == len(values)
    assert line_chart([5.0], ["a"], str, about="one day").count("<polyline") == 1


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH to look at the page with")
def test_the_page_is_legible_wide_narrow_light_and_dark(page):
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - starts a driver

    path, _, _ = page
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        grounds = set()
        for scheme in ("light", "dark"):
            for width in (390, 1280):
                seen = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
                asked: list[str] = []
                seen.on("request", partial(note, asked))
                seen.goto(path.as_uri())
                assert seen.evaluate("document.documentElement.scrollWidth") <= width
                assert seen.evaluate(OVERFLOWING) == []
                assert seen.evaluate(OVERLAPPING) == []
                assert asked == [path.as_uri()]
                assert {name: ratio for name, ratio in seen.evaluate(CONTRAST).items() if ratio < 4.5} == {}
                grounds.add(seen.evaluate("getComputedStyle(document.body).backgroundColor"))
                seen.close()
        browser.close()
    assert len(grounds) == 2
