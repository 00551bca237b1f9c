"""A figure as files: small, whole, and readable without colour."""

import xml.etree.ElementTree as ET
from itertools import pairwise
from urllib.parse import unquote

import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

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
