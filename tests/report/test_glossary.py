from __future__ import annotations

import re
from pathlib import Path

import pytest

from canemo.report.pages.run import write_report
from canemo.report.words.glossary import MOST_WORDS, PLACE, TERMS, explain_words
from canemo.report.words.voice import name_voice
from report_fixtures import Page, make_metrics, write_run

pytestmark = pytest.mark.usefixtures("undrawn")


def explain(text: str) -> str:
    return explain_words(f"<main>{text}{PLACE}</main>")


def test_word_leads_from_its_first_use_to_its_meaning() -> None:
    page = explain("<p>A probe on a backbone.</p><p>The probe again.</p>")
    assert page.count('<a class="word" href="#word-probe">probe</a>') == 1
    assert "<p>The probe again.</p>" in page
    assert re.findall(r'<dt id="([^"]+)">', page) == ["word-backbone", "word-probe"]
    assert PLACE not in page


def test_words_that_a_page_does_not_use_are_not_explained() -> None:
    assert "<dt" not in explain("<p>Nothing hard stands here, nor a probeless word.</p>")


def test_headings_code_links_and_the_methods_paragraph_stay_as_they_are() -> None:
    text = (
        '<h2>The probe</h2><pre>[probe]</pre><code>probe</code><a href="x">probe</a>'
        '<img alt="a probe"><div class="methods"><div>x</div><p>A probe.</p></div>'
    )
    assert text in explain(text)
    assert "<p>a probe</p>" not in explain(f"{text}<p>a probe</p>")


def test_longer_name_goes_before_a_word_within_it() -> None:
    page = explain("<p>Their direction, p (corrected), 95 % interval, balanced accuracies.</p>")
    assert '<a class="word" href="#word-95-interval">95 % interval</a>' in page
    assert '<a class="word" href="#word-balanced-accuracy">balanced accuracies</a>' in page


def test_no_more_than_twelve_words_the_hardest_first() -> None:
    page = explain(f"<p>{'. '.join(term.name for term in TERMS)}, by chance.</p>")
    assert page.count("<dt") == MOST_WORDS == 12
    assert 'id="word-probe"' in page
    assert 'id="word-chance"' not in page


def test_meanings_use_no_word_that_is_harder() -> None:
    for term in TERMS:
        assert not re.search(r"fold(?!\))|bootstrap|resampl|conformal|nats", term.meaning), (
            term.name
        )


def test_every_link_of_a_report_leads_somewhere(tmp_path: Path) -> None:
    source = write_report(write_run(tmp_path)).read_text(encoding="utf-8")
    wanted = re.findall(r'<a class="word" href="#([^"]+)"', source)
    there = re.findall(r'<dt id="([^"]+)"', source)
    assert len(wanted) == len(there) == 12
    assert sorted(wanted) == sorted(there)


def test_meanings_speak_of_the_animal_of_the_study() -> None:
    said = name_voice("generic", []).say(explain("<p>8 rounds</p>"))
    assert "One division of the animals into" in said
    assert "dogs" not in said


def test_hard_words_of_the_body_are_explained_on_the_page(tmp_path: Path) -> None:
    metrics = make_metrics()
    page = Page(write_report(write_run(tmp_path, metrics)).read_text(encoding="utf-8"))
    body = page.text.partition("Methods paragraph")[0]
    for word in ("fold", "nats", "CLS", "token", "logit", "bootstrap", "cosine of"):
        assert not re.search(rf"\b{word}s?\b", body), word
