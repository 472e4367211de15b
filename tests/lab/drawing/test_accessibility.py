"""Lessons are accessible to readers who see no colours, no small text or no pictures.

These tests check the outputs that the notebooks store, because every reader gets those.
"""

import ast
import base64
import colorsys
import io
import re
from collections.abc import Iterator
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from PIL import Image

from bankkit.lab.course import cards
from bankkit.lab.drawing import figures, style
from tests.support.paths import ROOT

LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))
DRAWING = sorted((ROOT / "bankkit" / "lab").rglob("*.py"))

OKABE_ITO = {
    *(style.ORANGE, style.SKY_BLUE, style.GREEN, style.BLUE, style.VERMILLION, style.PURPLE),
}
NO_HUE = {"white", "black", "none"}
OF_A_COLOUR = {
    *("color", "colour", "facecolor", "edgecolor", "fc", "ec", "markerfacecolor", "ecolor"),
    *("markeredgecolor", "mfc", "mec", "background"),
}
"""The arguments that take a colour."""

MIN_PIXELS = 12
"""The smallest text in HTML, which is 9 pt."""

every_lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name)


def code_cells(path: Path) -> list[Any]:
    notebook: Any = nbformat.read(path, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


# --- Pictures ------------------------------------------------------------------------------------


def pictures(path: Path) -> Iterator[tuple[Any, Any]]:
    """Each output with a picture, and the output below it."""
    for cell in code_cells(path):
        for output, below in pairwise([*cell.outputs, {}]):
            if "image/png" in output.get("data", {}):
                yield output, below


def pixels(output: Any) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(output.data["image/png"]))).convert("RGB")


@every_lesson
def test_under_each_picture_a_visible_line_says_the_same(path: Path) -> None:
    """An alternative text is not enough: JupyterLab shows none for a picture of a cell."""
    for output, below in pictures(path):
        start, _, said = output.data["text/plain"].partition(": ")
        assert start == "Picture", "draw it with bankkit.lab, which adds the line"
        assert len(said.split()) >= 8
        assert said.endswith(".")
        assert below.data["text/plain"] == f"In words: {said}"
        visible = re.sub(r"<[^>]*>", "", below.data["text/html"])
        assert len(visible) >= len(f"In words: {said}")


@every_lesson
def test_pictures_are_shown_at_the_size_at_which_they_were_drawn(path: Path) -> None:
    """The lab draws no text below 9 pt, so nothing may shrink the picture afterwards."""
    for output, _ in pictures(path):
        shown = output.metadata["image/png"]
        drawn = pixels(output)
        assert shown["width"] <= figures.MAX_WIDTH * figures.DPI
        assert (drawn.width, drawn.height) == (
            shown["width"] * figures.SHARPNESS,
            shown["height"] * figures.SHARPNESS,
        )


def hue(red: int, green: int, blue: int) -> float:
    """The hue in degrees."""
    return colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)[0] * 360


def rgb(colour: str) -> tuple[int, int, int]:
    """The parts of `#RRGGBB`, which an opacity may follow."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return red, green, blue


def is_of_the_palette(red: int, green: int, blue: int) -> bool:
    """A grey, or a tint or shade of one of Okabe and Ito's colours."""
    if max(red, green, blue) - min(red, green, blue) < 24:
        return True
    distances = (abs(hue(red, green, blue) - hue(*rgb(colour))) for colour in OKABE_ITO)
    return min(min(degrees, 360 - degrees) for degrees in distances) < 6


def foreign_colours(image: Image.Image) -> set[tuple[int, ...]]:
    """The colours of other hues, among pixels whose neighbours all have the same colour.

    Edges do not count: their pixels mix the colours of both sides.
    """
    red, green, blue = np.moveaxis(np.asarray(image, dtype=np.int32), -1, 0)
    pixels = red << 16 | green << 8 | blue
    inner = pixels[1:-1, 1:-1]
    height, width = pixels.shape
    plain = np.ones_like(inner, dtype=bool)
    for down, right in product((0, 1, 2), repeat=2):
        plain &= inner == pixels[down : height - 2 + down, right : width - 2 + right]
    seen = (rgb(f"#{colour:06x}") for colour in np.unique(inner[plain]))
    return {colour for colour in seen if not is_of_the_palette(*colour)}


@pytest.mark.one_in(3)
@every_lesson
def test_pictures_use_only_okabe_and_itos_colours(path: Path) -> None:
    for output, _ in pictures(path):
        assert foreign_colours(pixels(output)) == set(), output.data["text/plain"]


@pytest.mark.parametrize("colour", ["red", "#2CA02C", "#9467BD", "gold"])
def test_a_foreign_colour_is_noticed_in_a_thin_line(colour: str) -> None:
    with figures.plain_style():
        figure = figures.canvas(4, 2)
        axes = figure.add_axes((0.1, 0.2, 0.8, 0.7))
        axes.plot([1, 2, 2], color=style.BLUE)
        axes.bar([1, 2], [1, 2], color=f"{style.ORANGE}66", hatch="//", edgecolor=figures.INK)
    assert foreign_colours(drawn(figure)) == set()
    axes.plot([2, 2, 1], color=colour)
    assert foreign_colours(drawn(figure))


def drawn(figure: Any) -> Image.Image:
    return Image.open(io.BytesIO(figures.Picture(figure, "A line.").png())).convert("RGB")


# --- Colours in source code ----------------------------------------------------------------------


def colours(source: str) -> Iterator[str]:
    """The colours in a program: `#RRGGBB` in any text, and words in arguments that take colours."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"#[0-9A-Fa-f]{6}\b|rgba?\([\d, ]+", node.value)
        pairs: list[tuple[object, ast.expr | None]] = []
        if isinstance(node, ast.keyword):
            pairs = [(node.arg, node.value)]
        elif isinstance(node, ast.Dict):
            keys = (key.value if isinstance(key, ast.Constant) else None for key in node.keys)
            pairs = list(zip(keys, node.values, strict=True))
        for name, value in pairs:
            if name in OF_A_COLOUR and isinstance(value, ast.Constant):
                word = str(value.value)
                if not word.startswith("#"):
                    yield word


def is_allowed(colour: str) -> bool:
    if colour.startswith("#"):
        return is_of_the_palette(*rgb(colour))
    if colour.startswith("rgb"):
        red, green, blue = (int(each) for each in re.findall(r"\d+", colour)[:3])
        return is_of_the_palette(red, green, blue)
    return colour in NO_HUE


@pytest.mark.parametrize("path", DRAWING, ids=lambda path: path.name)
def test_the_lab_names_no_other_colour(path: Path) -> None:
    assert [each for each in colours(path.read_text()) if not is_allowed(each)] == []


@every_lesson
def test_no_lesson_names_another_colour(path: Path) -> None:
    for cell in code_cells(path):
        assert [each for each in colours(cell.source) if not is_allowed(each)] == []


@pytest.mark.parametrize(
    "source",
    ["plot(x, color='red')", "{'fc': 'C1'}", "bar(ec='green')", "'#2CA02C'", "'rgb(255, 0, 0)'"],
)
def test_another_colour_is_noticed(source: str) -> None:
    assert not all(map(is_allowed, colours(source)))


# --- Cards ---------------------------------------------------------------------------------------

KINDS = {name: kind for name, kind in vars(style).items() if isinstance(kind, style.Kind)}


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.2: https://www.w3.org/TR/WCAG22/#dfn-relative-luminance."""
    linear = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (each / 255 for each in rgb(colour))
    )
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_computed_as_the_standard_does() -> None:
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)
    assert contrast("#777777", "#FFFFFF") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("name", KINDS)
def test_a_badge_has_enough_contrast(name: str) -> None:
    assert contrast(KINDS[name].ink, KINDS[name].colour) >= 4.5


def test_buttons_and_texts_of_pictures_have_enough_contrast() -> None:
    (background, ink) = re.findall(
        r"bankkit-main \{ background: (\S+); color: (\S+);", cards.LIVE_CSS
    )[0]
    assert contrast(background, ink) >= 4.5
    for colour in (figures.INK, figures.QUIET):
        for paper in ("#FFFFFF", figures.PALE):
            assert contrast(colour, paper) >= 4.5


def test_each_kind_of_card_has_its_own_word_and_symbol() -> None:
    """A reader can tell the kinds apart without their colours."""
    words = [kind.word for kind in KINDS.values()]
    assert all(words)
    assert len(set(words)) == len(words)
    assert all(kind.symbol for kind in KINDS.values())
    good, bad = (style.RIGHT, style.FORESEEN), (style.NOT_YET, style.SURPRISE, style.UNEXPECTED)
    assert not {kind.symbol for kind in good} & {kind.symbol for kind in bad}


def font_sizes(markup: str) -> list[float]:
    """The font sizes in pixels; 0 for an unknown unit."""
    found = re.findall(r"font-size:\s*([\d.]+)(\w*)", markup)
    scale = {"px": 1.0, "pt": 4 / 3, "em": 14.0, "rem": 14.0}
    return [float(size) * scale.get(unit, 0) for size, unit in found]


@every_lesson
def test_the_text_of_cards_is_large_enough(path: Path) -> None:
    for cell in code_cells(path):
        for output in cell.outputs:
            for size in font_sizes(output.get("data", {}).get("text/html", "")):
                assert size >= MIN_PIXELS


def test_the_text_of_live_cards_is_large_enough() -> None:
    assert min(font_sizes(cards.LIVE_CSS)) >= MIN_PIXELS
