from __future__ import annotations

from pathlib import Path

import openpyxl
import pytest
from matplotlib.figure import Figure

from canemo.report.pages.run import write_report
from canemo.report.terminal import format_result_block
from canemo.report.words.voice import Voice, find_voice
from canemo.report.words.wording import PAPER
from canemo.species import GENERIC
from canemo.study.records.folders import read_run
from report_fixtures import Page, make_metrics, record, write_run

ANIMAL = Voice(GENERIC, ("Dogs of Ely", "a dog <b>"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Dog by dog, of a dog and of 2 dogs.", "Animal by animal, of an animal and of 2 animals."),
        ("A dog’s face", "An animal’s face"),
        ("detector dog_head, DogFACS, dogma", "detector dog_head, DogFACS, dogma"),
        ("always “dog away”, not a dog", "always “dog away”, not an animal"),
        ("Dogs of Ely: dogs", "Dogs of Ely: animals"),
        ("a dog &lt;b&gt; dog", "a dog &lt;b&gt; animal"),
        ('<img src="data:x+/dog/" alt="a dog">', '<img src="data:x+/dog/" alt="an animal">'),
        (f"dogs {PAPER}", f"animals {PAPER}"),
    ],
)
def test_words_are_those_of_the_species_and_names_stay(text: str, said: str) -> None:
    assert ANIMAL.say(text) == said
    assert Voice().say(text) == text


def test_charts_speak_too() -> None:
    figure = Figure()
    figure.add_subplot().set_xlabel("dogs learnt from")
    assert ANIMAL.write_on(figure).axes[0].get_xlabel() == "animals learnt from"


def test_report_and_tables_of_another_animal_do_not_speak_of_dogs(tmp_path: Path) -> None:
    metrics = make_metrics()
    metrics["study"]["species"] = "generic"
    run_dir = write_run(tmp_path, metrics)
    page = Page(write_report(run_dir).read_text(encoding="utf-8").replace(PAPER, ""))
    text = page.text[page.text.index("canemo report") :]
    assert "On animals it had never seen" in text
    assert "Animal by animal" in text
    assert " dog " not in text
    assert "dogs" not in text
    assert "dog01" in text
    assert all(" dog" not in (image["alt"] or "") for image in page.find("img"))
    sheets = openpyxl.load_workbook(run_dir / "results.xlsx")
    assert sheets["animals"]["A1"].value == "Animal"
    assert sheets["animals"]["A2"].value == "dog01"
    assert "dogs" not in format_result_block(read_run(run_dir).metrics)


def test_names_are_those_of_the_study() -> None:
    metrics = make_metrics()
    metrics["study"]["name"] = "Every dog in town"
    voice = find_voice(record(metrics).study)
    assert "Every dog in town" in voice.names
    assert {"dog01", "frustration"} <= set(voice.names)
