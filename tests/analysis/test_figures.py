"""A figure as files: small, whole, and readable without colour."""

import xml.etree.ElementTree as ET
from itertools import pairwise
from urllib.parse import unquote

import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from analysis import figures
from analysis.plots import critical_path, hosts, ranks


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
    assert uri.startswith("data:image/png;base64,") and len(uri) < len(png)


@pytest.mark.parametrize("module", [critical_path, hosts, ranks])
def test_parts_that_touch_keep_apart_in_grey(module) -> None:  # type: ignore[no-untyped-def]
    looks = [(_grey(color), hatch) for _, color, hatch in module.PARTS.values()]
    assert all(abs(one - other) > 0.1 or mine != theirs for (one, mine), (other, theirs) in pairwise(looks))


def _grey(color: str) -> float:
    red, green, blue = to_rgb(color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
