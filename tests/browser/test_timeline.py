"""The timeline in a real browser: drawn, zoomed, pointed at, and steered by keys, in both languages and themes."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page

from analysis import page, timeline
from analysis.blocks import Section
from analysis.language import Text
from analysis.timeline import Block, Pair
from tests import traces
from tests.browser.conftest import Opener
from tests.traces import Sqlite, recorded

HOSTILE = "<script>alert(1)</script>"
SHORTENED = "<script>alert(1)"
ENGLISH_TERMS = {"CUDA", "GPU", "Graph", "kernel", "launch", "attention", "stream"}
ONE_GPU, EIGHT_GPUS, MADE = 0, 1, 2
RANGE = "(() => { const { start, end } = Bokeh.documents[0].get_model_by_name('time'); return [start, end]; })()"
# Two frames: what was asked for is on the screen after the second.
DRAWN = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recorded traces of one GPU and of eight, and a made one whose kernel has a hostile name."""
    folder = tmp_path_factory.mktemp("timeline")
    real = [
        Pair(label=label, mark="RECORDED", off=recorded(engine, tp, "off"), on=recorded(engine, tp, "on"))
        for label, engine, tp in (("vLLM TP1", "vllm", 1), ("SGLang TP8", "sglang", 8))
    ]
    halves = {
        name: _hostile(traces.decode(steps=12, graphs=name == "on")).write(folder / f"{name}.sqlite")
        for name in ("off", "on")
    }
    block = timeline.page([*real, Pair(label=f"made {HOSTILE}", mark="MADE", **halves)])
    assert block is not None
    (folder / "page.html").write_text(_page(block), encoding="utf-8")
    return folder / "page.html"


def _page(block: Block) -> str:
    """The timeline alone, under the policy that the report has."""
    section = Section(id="timeline", title=Text("Timeline"), inline_styles=True, **vars(block))
    policy = page.policy([section], block.styles, block.scripts)
    head = [
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Timeline</title>',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        *(f"<style>{style}</style>" for style in block.styles),
    ]
    return "\n".join([*head, f"</head><body>{block.html}", *(f"<script>{one}</script>" for one in block.scripts)])


def _hostile(trace: Sqlite) -> Sqlite:
    for row in trace.tables["StringIds"]:
        row["value"] = HOSTILE if row["value"] == "norm" else row["value"]
    return trace


@pytest.fixture
def shown(open_page: Opener, page_file: Path) -> Callable[..., Page]:
    """Opens the page with a pair shown."""

    def show(pair: int = ONE_GPU, **how: str) -> Page:
        page = open_page(page_file, **how).page
        page.wait_for_selector("#timeline-block[data-shown='0']")
        if pair:
            page.select_option("#timeline-block select", str(pair))
            page.wait_for_selector(f"#timeline-block[data-shown='{pair}']")
        page.evaluate(DRAWN)
        return page

    return show


def _plot(page: Page, half: str) -> Locator:
    return page.locator(".bk-events").nth(("off", "on").index(half))


def _range(page: Page) -> tuple[float, float]:
    start, end = page.evaluate(RANGE)
    return start, end


def _colours(page: Page, half: str) -> set[tuple[int, ...]]:
    """The colours of all pixels of a plot."""
    found = page.evaluate(
        """(half) => {
          const { primary } = Bokeh.index.find_one(Bokeh.documents[0].get_model_by_name(half)).canvas_view;
          const copy = new OffscreenCanvas(primary.canvas.width, primary.canvas.height);
          const context = copy.getContext("2d", { willReadFrequently: true });
          context.drawImage(primary.canvas, 0, 0);
          return [...new Set(new Uint32Array(context.getImageData(0, 0, copy.width, copy.height).data.buffer))];
        }""",
        half,
    )
    return {(value & 255, value >> 8 & 255, value >> 16 & 255) for value in found}


def _point(page: Page, half: str, begins_ms: float, *, row: int) -> None:
    """Move the mouse to a time in a row, counted from the top."""
    name = f"Bokeh.documents[0].get_model_by_name('{half}')"
    x, y = page.evaluate(
        f"(() => {{ const plot = {name}, {{ frame }} = Bokeh.index.find_one(plot);"
        f"return [frame.x_scale.compute({begins_ms}), frame.y_scale.compute(plot.left[0].ticker.ticks[{row}])]; }})()"
    )
    box = _plot(page, half).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + x, box["y"] + y)


@pytest.mark.parametrize("screen", ["desktop", "phone"])
def test_both_halves_are_drawn_with_work_launches_and_idle_time(shown: Callable[..., Page], screen: str) -> None:
    page = shown(ONE_GPU, screen=screen)
    for _ in range(3):
        page.get_by_role("button", name="Zoom in").click()
    page.evaluate(DRAWN)
    matrix_product, launch, late = (0, 114, 178), (51, 51, 51), (213, 94, 0)
    assert {matrix_product, launch, late} <= _colours(page, "off")
    assert matrix_product in _colours(page, "on") and late not in _colours(page, "on")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_zoom_moves_both_halves_alike(shown: Callable[..., Page]) -> None:
    page = shown(ONE_GPU)
    before = _range(page)
    page.get_by_role("button", name="Zoom in").click()
    after = _range(page)
    assert after[1] - after[0] == pytest.approx((before[1] - before[0]) / 2)
    drawn = page.evaluate(
        "['off', 'on'].map((half) => Bokeh.documents[0].get_model_by_name(half).x_range.end)",
    )
    assert drawn == [after[1], after[1]]
    page.get_by_role("button", name="One iteration").click()
    assert _range(page) == pytest.approx(before)


def test_what_comes_into_sight_is_drawn(shown: Callable[..., Page]) -> None:
    page = shown(ONE_GPU)
    for name, times in (("Zoom in", 4), ("Later", 6)):
        for _ in range(times):
            page.get_by_role("button", name=name).click()
    page.evaluate(DRAWN)
    for half in ("off", "on"):
        assert (0, 114, 178) in _colours(page, half)


def test_a_wheel_scrolls_the_page_until_the_timeline_was_clicked(shown: Callable[..., Page]) -> None:
    page = shown(ONE_GPU)
    whole = _range(page)
    _point(page, "off", 6.0, row=0)
    page.mouse.wheel(0, -120)
    page.evaluate(DRAWN)
    assert _range(page) == whole
    page.mouse.down()
    page.mouse.up()
    page.mouse.wheel(0, -120)
    page.evaluate(DRAWN)
    start, end = _range(page)
    assert whole[0] < start < 6.0 < end < whole[1]


def test_dragging_pans(shown: Callable[..., Page]) -> None:
    page = shown(ONE_GPU)
    page.get_by_role("button", name="Zoom in").click()
    before = _range(page)
    _point(page, "off", sum(before) / 2, row=0)
    page.mouse.down()
    box = _plot(page, "off").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 3, box["y"] + 40, steps=4)
    page.mouse.up()
    after = _range(page)
    assert after[0] > before[0] and after[1] - after[0] == pytest.approx(before[1] - before[0])


def test_pointing_at_an_operation_tells_its_name_duration_gap_and_cause(shown: Callable[..., Page]) -> None:
    page = shown(MADE)
    _point(page, "off", 75e-6, row=1)
    told = page.locator(".tl-tip").inner_text().split("\n")
    assert told[0] == "gemm"
    facts = dict(zip(told[1::2], told[2::2], strict=True))
    assert facts["lasts"] == "0.02 µs" and facts["GPU idle before it"] == "0.01 µs"
    assert facts["because"] == "launch came late" or facts["because"] == "queued, start-up of the next"
    assert facts["launched by"].startswith("cudaLaunchKernel, ")
    assert facts["where"] == "rank 0, GPU stream 3"
    arrow = page.evaluate("Bokeh.documents[0].get_model_by_name('off:link:data').data")
    assert [round(1e6 * arrow[name][0]) for name in ("x0", "x1")] == [2, 70]


def test_what_is_pointed_at_is_chosen_between_two_dots_too(shown: Callable[..., Page]) -> None:
    page = shown(ONE_GPU)
    box = _plot(page, "off").bounding_box()
    assert box is not None
    chosen, tip = page.locator(".tl-panel .tl-name"), page.locator(".tl-tip")
    seen = 0
    for step in range(48):
        page.mouse.move(box["x"] + box["width"] * 0.3 + 7.9 * step, box["y"] + 40.0 + 0.45 * step)
        page.evaluate(DRAWN)
        pointed = [tip.locator(".tl-name").inner_text()] if tip.is_visible() else []
        page.mouse.down()
        page.mouse.up()
        assert chosen.all_inner_texts() == pointed
        seen += len(pointed)
    assert seen > 10


def test_a_hostile_kernel_name_is_text(shown: Callable[..., Page]) -> None:
    page = shown(MADE)
    _point(page, "off", 55e-6, row=1)
    assert page.locator(".tl-tip .tl-name").inner_text() == SHORTENED
    page.mouse.down()
    page.mouse.up()
    assert page.locator(".tl-panel .tl-name").inner_text() == SHORTENED
    assert page.locator(".tl-panel .tl-long dd").inner_text() == HOSTILE
    assert _table(page)[1][2] == SHORTENED
    assert page.locator("#timeline-block option").nth(MADE).inner_text() == f"made {HOSTILE}"
    assert page.locator("script", has_text="alert(1)").count() == 0


def test_keys_choose_operations_and_zoom_to_them(shown: Callable[..., Page]) -> None:
    page = shown(MADE)
    _plot(page, "off").focus()
    names = []
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
        names.append(page.locator(".tl-panel .tl-name").inner_text())
    assert names == ["gemm", SHORTENED, "gemm", SHORTENED, "cudaLaunchKernel"]
    page.keyboard.press("Enter")
    start, end = _range(page)
    assert end - start <= 1e-3
    page.keyboard.press("Escape")
    assert page.locator(".tl-panel .tl-name").count() == 0


def test_waiting_for_other_ranks_is_drawn_apart_from_work(shown: Callable[..., Page]) -> None:
    page = shown(EIGHT_GPUS)
    waits, work = (
        page.evaluate(f"Array.from(Bokeh.documents[0].get_model_by_name('off:{layer}:data').data.right).length")
        for layer in ("waiting", "op-collective")
    )
    assert 0 < waits < work
    hatch, plain = (
        page.evaluate(f"Bokeh.documents[0].get_model_by_name('off:{layer}').glyph.hatch_pattern.value")
        for layer in ("waiting", "op-collective")
    )
    assert (hatch, plain) == ("right_diagonal_line", None)
    assert page.locator(".tl-legend").inner_text().count("waiting for other ranks") == 1


@pytest.mark.alone
def test_eight_ranks_are_drawn_and_zoomed_without_delay(shown: Callable[..., Page]) -> None:
    """Ten times what it takes on a quiet machine; 32,000 operations and 13,000 calls."""
    page = shown(ONE_GPU)
    timed = (
        "async (act) => { const begun = performance.now(); await act(); await %s; return performance.now() - begun; }"
    )
    opening = """async () => {
      const section = document.getElementById('timeline-block'), select = section.querySelector('select');
      select.value = '1'; select.dispatchEvent(new Event('change'));
      while (section.dataset.shown !== '1') await new Promise((done) => setTimeout(done, 5));
    }"""
    zooming = "async () => document.querySelector('[data-do=zoomIn]').click()"
    assert page.evaluate(f"({timed % DRAWN})({opening})") < 5_000
    steps = [page.evaluate(f"({timed % DRAWN})({zooming})") for _ in range(6)]
    assert max(steps) < 2_000 and steps[-1] < 700


def test_the_language_is_changed_while_it_is_shown(shown: Callable[..., Page]) -> None:
    page = shown(MADE)
    _point(page, "off", 75e-6, row=1)
    page.mouse.down()
    page.mouse.up()
    page.evaluate("document.documentElement.dataset.lang = 'zh'; document.dispatchEvent(new Event('languagechange'))")
    assert page.get_by_role("button", name="放大").count() == 1
    assert "持续" in page.locator(".tl-panel").inner_text()
    assert page.evaluate("Bokeh.documents[0].get_model_by_name('off').title.text").startswith("关 CUDA Graph")
    texts = page.locator(
        "#timeline-block .tl-legend, #timeline-block .tl-panel dt, #timeline-block .tl-shown"
    ).all_inner_texts()
    assert set(re.findall(r"[A-Za-z]{3,}", " ".join(texts))) <= ENGLISH_TERMS


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_theme_follows_the_reader_and_then_the_page(shown: Callable[..., Page], scheme: str) -> None:
    light, dark = (0, 114, 178), (74, 168, 224)
    own, other = (light, dark) if scheme == "light" else (dark, light)
    page = shown(ONE_GPU, scheme=scheme)
    assert own in _colours(page, "on") and other not in _colours(page, "on")
    chosen = "dark" if scheme == "light" else "light"
    page.evaluate(
        f"document.documentElement.dataset.theme = '{chosen}'; document.dispatchEvent(new Event('themechange'))"
    )
    page.evaluate(DRAWN)
    assert other in _colours(page, "on") and own not in _colours(page, "on")


def test_a_finger_chooses_an_operation_and_still_scrolls_the_page(shown: Callable[..., Page]) -> None:
    page = shown(ONE_GPU, screen="phone")
    box = _plot(page, "on").bounding_box()
    assert box is not None
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + 66)
    assert page.locator(".tl-panel .tl-name").count() == 1
    assert _plot(page, "on").evaluate("(element) => getComputedStyle(element).touchAction") == "pan-y"


def test_the_table_tells_the_operations_of_an_iteration(shown: Callable[..., Page]) -> None:
    rows = _table(shown(MADE))
    assert len(rows) == 8
    assert rows[2] == ["3", "0.07", "gemm", "matrix product", "0.02", "0.01", rows[2][6], "0.00"]


def _table(page: Page) -> list[list[str]]:
    page.locator("#timeline-block summary").click()
    page.wait_for_selector(".tl-table tbody tr")
    return [row.split("\t") for row in page.locator(".tl-table tbody tr").all_inner_texts()]
