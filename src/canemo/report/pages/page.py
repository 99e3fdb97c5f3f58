"""What every page is made of."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from canemo.report.charts.canvas import TEXT_WIDTH_IN, Chart, render_png
from canemo.report.tables import Table
from canemo.report.words import wording
from canemo.report.words.glossary import explain_words
from canemo.report.words.voice import Voice

_LONG_WORD = re.compile(r"\S{15,}")


@dataclass(frozen=True)
class Picture:
    """One figure: its data address, what it shows in words, its width [% of the text]."""

    address: str
    alt: str
    width_percent: int


def render_page(
    template: str,
    *,
    tables: Mapping[str, Table],
    pictures: Mapping[str, Picture | None],
    voice: Voice,
    **content: Any,
) -> str:
    """Return a page in the words of `voice`: a template beside this file, filled in.

    Tables and pictures go by the name that the template calls for; what is not there is left out.
    """
    shown = {name: picture for name, picture in pictures.items() if picture is not None}
    page = open_templates().get_template(template)
    return voice.say(explain_words(page.render(tables=tables, pictures=shown, **content)))


def open_templates() -> jinja2.Environment:
    """Return the page templates beside this file; every text put into them is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["units"] = wording.join_units
    environment.filters["breakable"] = _let_break
    environment.globals.update(
        count=wording.count,
        quote=wording.quote,
        group_digits=wording.group_digits,
        format_percent=wording.format_percent,
        write_sentence=wording.write_sentence,
        describe_split=wording.describe_split,
        paper=wording.PAPER,
        paper_url=wording.PAPER_URL,
    )
    return environment


def _let_break(text: str) -> Markup:
    """Return a text, escaped, in which lines may break after the underscores of a long name."""

    def part(word: re.Match[str]) -> str:
        return word[0].replace("_", "_<wbr>")

    return Markup(_LONG_WORD.sub(part, str(escape(wording.join_units(text)))))


def embed_charts(charts: Mapping[str, Chart], voice: Voice) -> dict[str, Picture | None]:
    """Return charts as pictures, by name."""
    return {name: embed_figure(*chart, voice) for name, chart in charts.items()}


def embed_files(paths: Mapping[str, Path], alts: Mapping[str, str]) -> dict[str, Picture]:
    """Return the PNG files that `alts` has words for as pictures, by name."""
    return {name: embed_file(path, alts[name]) for name, path in paths.items() if name in alts}


def embed_figure(figure: Figure | None, alt: str, voice: Voice) -> Picture | None:
    """Return a chart as a picture as wide as it was drawn; None where there is no chart."""
    if figure is None:
        return None
    voice.write_on(figure)
    width_percent = min(100, round(100 * figure.get_figwidth() / TEXT_WIDTH_IN))
    return Picture(_data_address(render_png(figure)), alt, width_percent)


def embed_file(path: Path, alt: str) -> Picture:
    """Return a PNG file as a picture as wide as the text."""
    return Picture(_data_address(path.read_bytes()), alt, 100)


def _data_address(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
