"""The page in a real browser, without a network: colours, keys, search, candidates, themes, and a long text."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ifog.data import CharTokenizer
from ifog.inspection import inspect, render_report
from ifog.models import LanguageModel

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium in PATH")

LETTERS = "abcdefgh .\n"
TEXT = "a bad cab.\nbadge hag bed\n\n" * 30


def made(hidden_size: int) -> Any:
    torch.manual_seed(1)
    model = LanguageModel(len(LETTERS), hidden_size=hidden_size)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-1.5, 1.5)
    model.tokenizer = CharTokenizer(LETTERS)
    return model.eval()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(render_report(made(6), TEXT), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture
def page(browser: Any, file: Path) -> Iterator[Any]:
    yield from opened(browser, file)


def opened(browser: Any, file: Path, **options: Any) -> Iterator[Any]:
    """The page once it is ready; whatever it says or asks for beyond the file is a failure."""
    context = browser.new_context(viewport={"width": 1100, "height": 700}, offline=True, **options)
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: request.url.startswith("file://") or wrong.append(request.url))
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-ready]", timeout=20_000)
    yield page
    context.close()
    assert not wrong


def colours(page: Any, number: int = 40) -> list[tuple[int, int, int]]:
    """The backgrounds of the first tokens."""
    script = f"[...document.querySelectorAll('#rows b')].slice(0,{number}).map(b=>getComputedStyle(b).backgroundColor)"
    return [tuple(map(int, re.findall(r"\d+", colour)[:3])) for colour in page.evaluate(script)]


def chosen(page: Any) -> str:
    return page.text_content("#name")


def until(page: Any, expression: str, wanted: object = True) -> None:
    """Wait until an expression has a value; the page itself forbids what Playwright's own waiting would evaluate."""
    for _ in range(200):
        found = page.evaluate(expression)
        if found == wanted or (wanted is True and found):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{expression} is {found!r}, not {wanted!r}")


def press(page: Any, key: str, name: str | None = None) -> None:
    """Press a key, and wait until the unit `name` is shown."""
    page.keyboard.press(key)
    if name is not None:
        until(page, "document.getElementById('name').textContent", name)


def test_the_text_has_the_colours_of_the_unit(page: Any) -> None:
    first = page.inner_text("#rows > div:first-child")
    assert first.replace("\xa0", " ").startswith("a bad cab.")
    values = inspect(made(6), TEXT)[chosen(page)]
    for (red, _, blue), value in zip(colours(page), values, strict=False):
        assert abs(value) < 0.1 or (red > blue) == (value > 0)
    assert len(set(colours(page))) > 5


def test_arrow_keys_go_through_units_and_values(page: Any) -> None:
    names = page.eval_on_selector_all("#units li span", "all => all.map(one => one.textContent)")
    assert len(names) == 6
    before = colours(page)
    press(page, "ArrowDown", f"layer0.h:{names[1]}")
    assert colours(page) != before
    press(page, "ArrowUp", f"layer0.h:{names[0]}")
    assert colours(page) == before
    press(page, "ArrowRight", f"layer0.c:{names[0]}")
    press(page, "ArrowLeft", f"layer0.h:{names[0]}")
    press(page, "ArrowLeft", "surprise")
    assert page.get_attribute("#values button[data-value=surprise]", "aria-selected") == "true"


def test_the_mouse_chooses_a_value_and_a_unit(page: Any) -> None:
    page.click("#values button[data-value='layer0.f']")
    until(page, "document.getElementById('name').textContent.startsWith('layer0.f')")
    page.click("#units li:nth-child(4)")
    number = page.text_content("#units li:nth-child(4) span")
    until(page, "document.getElementById('name').textContent", f"layer0.f:{number}")
    assert page.get_attribute("#units li:nth-child(4)", "aria-selected") == "true"
    assert page.text_content("#low") == "0.00"
    assert page.text_content("#high") == "1.00"


def test_the_search_finds_units_by_value_and_number(page: Any) -> None:
    press(page, "/")
    page.keyboard.type("layer0.o 3")
    until(page, "document.querySelectorAll('#units li').length === 1")
    press(page, "Enter", "layer0.o:3")
    press(page, "/")
    page.keyboard.type("3")
    until(page, "document.querySelectorAll('#units li').length === 6")
    press(page, "Escape")
    until(page, "!document.getElementById('search').value")
    press(page, "/")
    page.keyboard.type("c")  # in the search a letter is a letter
    assert page.get_attribute("#candidates", "aria-pressed") == "false"


def test_candidates_stand_under_each_character(page: Any) -> None:
    trace = inspect(made(6), TEXT)
    press(page, "c")
    page.wait_for_selector("#rows span i")
    third = page.eval_on_selector_all(
        "#rows > div:first-child > span:nth-child(3) i", "all => all.map(i => i.textContent)"
    )
    wanted = [LETTERS[i] for i in trace.candidates.ids[2]]
    assert [guess.strip() for guess in third] == [w.replace("\n", "↵").strip() for w in wanted]
    hits = page.eval_on_selector_all("#rows > div:first-child > span:nth-child(3) i.hit", "all => all.length")
    assert hits == (TEXT[3] in wanted)
    press(page, "c")
    until(page, "!document.querySelector('#rows span i')")


def test_a_click_marks_a_character_and_orders_the_units_by_their_colour_there(page: Any) -> None:
    page.click("#rows > div:first-child b:nth-child(5)")
    assert "1, 5" in page.inner_text("#here")
    page.select_option("#order", "here")
    until(page, "document.querySelector('#units em').textContent.match(/^-?\\d\\.\\d\\d$/)")
    shown = page.eval_on_selector_all("#units li", "all => all.map(i => i.querySelector('em').textContent)")
    units = page.eval_on_selector_all("#units li", "all => all.map(i => i.querySelector('span').textContent)")
    values = inspect(made(6), TEXT)["layer0.h"]
    h, reach = values[4], np.quantile(np.abs(values), 0.995, axis=0)
    shares = [h[int(u)] / reach[int(u)] for u in units]
    assert shares == pytest.approx(sorted(shares, reverse=True), abs=0.01)
    assert [float(x) for x in shown] == pytest.approx([h[int(u)] for u in units], abs=0.02)
    press(page, "Escape")
    assert page.query_selector("#rows .marked") is None


def test_dark_and_light_follow_the_system_and_the_switch(browser: Any, file: Path) -> None:
    for page in opened(browser, file, color_scheme="dark"):
        dark = colours(page)
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        press(page, "t")
        until(page, "document.documentElement.dataset.theme === 'light'")
        assert colours(page) != dark


def test_every_colour_can_be_read_on(page: Any) -> None:
    """WCAG asks for a contrast of 4.5 between text and what is behind it."""
    for _ in range(2):
        contrast = page.evaluate("""() => Array.from({length: 41}, (_, k) => {
            const b = document.createElement("b"); b.className = `v${k}`; document.getElementById("rows").append(b);
            const light = (c) => { const [r, g, u] = c.match(/\\d+/g).map((x) => (x /= 255) <= 0.04045 ? x / 12.92
                : ((x + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * u + 0.05; };
            const style = getComputedStyle(b), x = light(style.color), y = light(style.backgroundColor); b.remove();
            return Math.max(x, y) / Math.min(x, y); })""")
        assert min(contrast) > 4.5
        press(page, "t")


def test_a_long_text_has_few_elements_and_ends_where_it_ends(browser: Any, tmp_path: Path) -> None:
    words = np.random.default_rng(0).choice(["bad", "cab", "a", "deaf", "hag.\n"], 80_000)
    text = " ".join(words) + " cafe"
    path = tmp_path / "long.html"
    path.write_text(render_report(made(3), text, candidates=1), encoding="utf-8")
    for page in opened(browser, path):
        assert page.evaluate("document.querySelectorAll('#rows > div').length") < 60
        page.evaluate("document.getElementById('scroller').scrollTop = 1e9")
        until(page, "document.getElementById('rows').lastElementChild.innerText.trim().endsWith('cafe')")
        assert page.evaluate("document.querySelectorAll('#rows > div').length") < 60
        press(page, "ArrowDown")
        until(page, "document.getElementById('rows').lastElementChild.innerText.trim().endsWith('cafe')")
