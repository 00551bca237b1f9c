"""A figure as files: small, whole, and readable without colour."""

import base64
import io
import xml.etree.ElementTree as ET
from itertools import pairwise
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image

from analysis import figures
from analysis.plots import critical_path, hosts, ranks
from tests.analysis.plots.texts import unreadable


def drawn() -> Figure:
    figure = Figure(figsize=(4, 3))
    figure.subplots().plot([0, 1, 2.123456789], [0, 1, 4], label="<b>&'\"")
    figure.suptitle("<b>&'\" %20#")
    return figure


def test_an_svg_is_well_formed_and_has_no_letters_that_need_a_font() -> None:
    root = ET.fromstring(figures.svg(drawn(), "name"))
    assert root.tag.endswith("svg") and root.get("viewBox") == "0 0 288 216"
    assert [node for node in root.iter() if node.tag.endswith("}text")] == []


def test_an_svg_loses_what_is_not_drawn_and_keeps_what_is() -> None:
    text = figures.svg(drawn(), "name").decode()
    assert "metadata" not in text and "<!--" not in text and "\n\n" not in text
    root = ET.fromstring(text)
    used = {node.get("{http://www.w3.org/1999/xlink}href", "")[1:] for node in root.iter() if node.tag.endswith("}use")}
    assert used - {node.get("id") for node in root.iter()} == set()


def test_a_uri_needs_no_escaping_in_an_attribute_and_gives_the_svg_back() -> None:
    content = figures.svg(drawn(), "name")
    uri = figures.uri(content)
    assert not set('"<>&#') & set(uri)
    back = ET.fromstring(unquote(uri.partition(",")[2]))
    assert len(list(back.iter())) == len(list(ET.fromstring(content).iter()))


def test_dots_take_less_than_vectors_of_a_full_figure() -> None:
    png = figures.png(drawn())
    uri = figures.dots_uri(png)
    assert uri.startswith("data:image/webp;base64,") and len(uri) < len(png) / 2


@pytest.mark.parametrize("module", [critical_path, hosts, ranks])
def test_parts_that_touch_keep_apart_in_grey(module) -> None:  # type: ignore[no-untyped-def]
    looks = [(_grey(color), hatch) for _, color, hatch in module.PARTS.values()]
    assert all(abs(one - other) > 0.1 or mine != theirs for (one, mine), (other, theirs) in pairwise(looks))


@pytest.mark.parametrize("module", [critical_path, hosts, ranks])
def test_hatches_and_outlines_of_a_legend_stand_out_from_their_fill(module) -> None:  # type: ignore[no-untyped-def]
    patches = [patch for patch in figures.part_handles(module.PARTS) if isinstance(patch, Patch)]
    faces = {patch.get_label(): (_light(patch.get_facecolor()), _light(patch.get_edgecolor())) for patch in patches}
    hatched = {word for word, _, hatch in module.PARTS.values() if hatch}
    # Three to one is what WCAG asks of what is not text.
    assert {word for word in hatched if _contrast(*faces[word]) < 3} == set()
    assert {word for word, (face, edge) in faces.items() if max(_contrast(face, 1), _contrast(edge, 1)) < 3} == set()


def _light(color: object) -> float:
    channels = [(one / 12.92 if one <= 0.03928 else ((one + 0.055) / 1.055) ** 2.4) for one in to_rgb(color)]  # type: ignore[arg-type]
    return sum(weight * one for weight, one in zip((0.2126, 0.7152, 0.0722), channels, strict=True))


def _contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


def _grey(color: str) -> float:
    red, green, blue = to_rgb(color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_dots_keep_the_colour_of_a_thin_line_among_large_areas_of_other_colours() -> None:
    picture = Image.new("RGB", (400, 400), "white")
    for shade in range(200):
        picture.paste((shade, shade, shade), (0, shade, 300, shade + 1))
    picture.paste((0, 0x72, 0xB2), (350, 390, 370, 392))
    picture.paste((0xD5, 0x5E, 0), (350, 380, 370, 382))
    buffer = io.BytesIO()
    picture.save(buffer, "png")
    content = base64.b64decode(figures.dots_uri(buffer.getvalue()).partition(",")[2])
    back = Image.open(io.BytesIO(content))
    dots = back.convert("RGB")
    assert back.format == "WEBP" and len(np.unique(np.asarray(dots).reshape(-1, 3), axis=0)) <= 32
    assert [dots.getpixel(at) for at in ((360, 391), (360, 381), (390, 10))] == [
        (0, 0x72, 0xB2), (0xD5, 0x5E, 0), (255, 255, 255),
    ]  # fmt: skip


def test_a_title_that_is_wider_than_its_figure_goes_on_in_a_line_below_for_which_the_figure_grows() -> None:
    heights = {}
    for title in ("short", "long " * 20):
        figure = Figure(figsize=(5.6, 4))
        figure.subplots()
        figures.legend(figure, figures.graphs_handles())
        figures.settle(figure, mark="m", title=title, left=0.7)
        assert unreadable(figure) == []
        heights[title[:5].strip()] = figure.get_figheight(), figure.get_suptitle().count("\n")
    assert heights == {"short": (4.0, 0), "long": (pytest.approx(4.17), 1)}


@pytest.mark.parametrize(
    ("halves", "title"),
    [
        (["off", "on"], "a title"),
        (["on", "on"], "a title\ngraphs on only: graphs off was not traced"),
        (["off"], "a title\ngraphs off only: graphs on was not traced"),
        ([], "a title"),
    ],
)
def test_a_title_names_the_half_that_is_not_there(halves: list[str], title: str) -> None:
    assert figures.halves_title("a title", pd.DataFrame({"graphs": halves}), "traced") == title
