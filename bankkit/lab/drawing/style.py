"""The style of everything that the lab shows: a card, its kinds, and the HTML of its parts.

The styles are inline, because JupyterLab and GitHub strip style sheets from outputs not yet run.
Only a badge sets a text colour: other text inherits the theme's, so light and dark themes both
work. The colours are Okabe and Ito's (https://jfly.uni-koeln.de/color/), which colour-blind readers
can tell apart. No meaning depends on colour alone: each kind also has a symbol and a word.
"""

import html
import re
from collections.abc import Iterable
from typing import NamedTuple

ORANGE = "#E69F00"
SKY_BLUE = "#56B4E9"
GREEN = "#009E73"
BLUE = "#0072B2"
VERMILLION = "#D55E00"
PURPLE = "#CC79A7"
GREY = "#999999"

HAIRLINE = "var(--jp-border-color2, rgba(128,128,128,.4))"


class Kind(NamedTuple):
    """A kind of card: the symbol and word of its badge, and its colour."""

    symbol: str
    word: str
    colour: str
    ink: str = "#000000"  # text colour of the badge; contrast at least 4.5 to 1 (WCAG AA)


PREDICT = Kind("?", "Predict", PURPLE)
FORESEEN = Kind("✓", "As you predicted", GREEN)
SURPRISE = Kind("≠", "Not what you predicted", ORANGE)
HAPPENED = Kind("→", "What happened", SKY_BLUE)
UNEXPECTED = Kind("!", "Unexpected", VERMILLION)
EXERCISE = Kind("✎", "Exercise", BLUE, "#FFFFFF")
RIGHT = Kind("✓", "Right", GREEN)
NOT_YET = Kind("✗", "Not yet", VERMILLION)
NOTHING_YET = Kind("○", "Nothing yet", GREY)
NOT_CHECKED = Kind("!", "Not checked", ORANGE)
HINT = Kind("→", "Hint", SKY_BLUE)
ANSWER = Kind("→", "Answer", SKY_BLUE)
RACE = Kind("⇄", "Race", SKY_BLUE)
LOST = Kind("✗", "Money lost", VERMILLION)
NOTHING_LOST = Kind("✓", "Nothing lost", GREEN)
ENDED_EARLY = Kind("!", "Ended early", ORANGE)
ORDERLY = Kind("✓", "In order", GREEN)
NEEDLESS_WAIT = Kind("!", "Waits for nothing", ORANGE)
OUT_OF_ORDER = Kind("✗", "Out of order", VERMILLION)
PROGRESS = Kind("≡", "Progress", SKY_BLUE)


def _inline(text: str) -> str:
    """Plain text as inline HTML; `backticks` mark code."""
    marked = re.sub(r"`([^`\n]+)`", r"<code>\1</code>", html.escape(text))
    # Each $ has its own element. Otherwise JupyterLab typesets the text between two of them as TeX.
    return marked.replace("$", "<span>$</span>")


def prose(text: str) -> str:
    """Plain text as HTML: blank lines separate paragraphs, and `backticks` mark code."""
    paragraphs = (each.strip() for each in re.split(r"\n\s*\n", text))
    return "".join(f'<p style="margin:6px 0">{_inline(each)}</p>' for each in paragraphs if each)


def aside(text: str) -> str:
    """A less important line in italics, such as what to do next."""
    return f'<p style="margin:6px 0"><em>{_inline(text)}</em></p>'


def choices(labels: Iterable[str]) -> str:
    """Options to choose from, each with its letter, such as "A. It works."."""
    items = (f'<div style="margin:3px 0 3px 14px">{_inline(each)}</div>' for each in labels)
    return "".join(items)


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of plain text with column heads."""
    cell = "text-align:left;padding:2px 14px"
    top = "".join(f'<th style="{cell}">{_inline(each)}</th>' for each in heads)
    body = "".join(
        "<tr>" + "".join(f'<td style="{cell}">{_inline(each)}</td>' for each in row) + "</tr>"
        for row in rows
    )
    return f'<table style="font-size:14px"><tr>{top}</tr>{body}</table>'


def source(text: str) -> str:
    """Program text or output, with its line breaks."""
    return (
        '<pre style="margin:6px 0;padding:8px 10px;border-radius:4px;overflow-x:auto;'
        'background:rgba(128,128,128,.12);line-height:1.4">'
        f"{html.escape(text.strip(chr(10)))}</pre>"
    )


def body(kind: Kind, title: str, *blocks: str) -> str:
    """The content of a card without its frame: badge, title, and blocks of HTML."""
    badge = (
        f'<span style="background:{kind.colour};color:{kind.ink};border-radius:10px;'
        'padding:2px 10px;font-size:12px;font-weight:bold">'
        f"{kind.symbol} {html.escape(kind.word)}</span>"
    )
    return (
        '<div style="font-size:14px;line-height:1.5">'
        f'<div style="margin-bottom:4px">{badge} &nbsp;<strong>{_inline(title)}</strong></div>'
        f"{''.join(blocks)}</div>"
    )


def card(kind: Kind, title: str, *blocks: str) -> str:
    """A whole card as HTML."""
    return (
        f'<div style="border:1px solid {HAIRLINE};border-left:6px solid {kind.colour};'
        f'border-radius:6px;padding:10px 14px;margin:4px 0;max-width:800px;box-sizing:content-box">'
        f"{body(kind, title, *blocks)}</div>"
    )
