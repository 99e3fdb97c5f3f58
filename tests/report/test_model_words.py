from dataclasses import replace

import numpy as np
import pytest

from canemo.config import load_config
from canemo.learn.conformal import Conformal
from canemo.learn.probe import Probe
from canemo.learn.saved_model import SavedModel
from canemo.report.tables import format_text
from canemo.report.words.model import (
    VERDICTS,
    describe_model,
    explain_withheld,
    list_facts,
    name_verdict,
    write_card,
    write_model_sentence,
)
from canemo.study.records.model import Standing
from report_fixtures import (
    make_evaluation,
    make_metrics,
    make_permutation,
    make_training,
    with_video_intervals,
)

CHANCE = make_metrics(permutation=make_permutation(0.234))


@pytest.fixture
def model():
    probe = Probe(("food", "toy"), np.zeros(5), np.ones(5), np.ones((1, 5)), np.zeros(1), 0.1)
    conformal = Conformal(np.array([0.2, 0.6]), np.array([1.0, 1.0]), subjects=2)
    return SavedModel(
        probe, load_config(), "food", "a" * 64, "b" * 64, None, make_training(),
        make_evaluation(CHANCE), conformal,
    )  # fmt: skip


def test_sentence_of_a_model_not_told_from_chance_says_what_becomes_of_its_answers():
    found = make_evaluation(CHANCE, balanced_accuracy=0.57, interval=(0.3, 0.8))
    assert write_model_sentence(found) == (
        "This model could not be told from chance (balanced accuracy 57 %, 95 % interval 30 to "
        "80 %, guessing gives 50 %, p = 0.234; 29 dogs, 256 clips): its answers are not used "
        "unless you ask with --anyway."
    )
    assert write_model_sentence(found, anyway=True).endswith(
        ": its answers are used only because you asked with --anyway."
    )


def test_sentence_of_a_model_told_from_chance_ends_with_its_numbers():
    sentence = write_model_sentence(make_evaluation(), anyway=True)
    assert sentence.startswith("This model could be told from chance (balanced accuracy ")
    assert sentence.endswith("p = 0.001; 29 dogs, 256 clips).")


def test_sentence_says_whose_p_it_is_and_how_chance_lies_to_the_interval():
    metrics = make_metrics(permutation=make_permutation(0.01, probe="lda"))
    found = make_evaluation(metrics, balanced_accuracy=0.6, interval=(0.4983, 0.7))
    assert "60.0 %, 95 % interval 49.8 to 70.0 %" in write_model_sentence(found)
    assert "p = 0.010 of the closed-form discriminant;" in write_model_sentence(found)
    none = make_evaluation(with_video_intervals(make_metrics(), balanced_accuracy=None))
    assert "no interval could be computed" in write_model_sentence(none)


def test_sentence_says_why_nothing_can_be_concluded():
    metrics = make_metrics(permutation=make_permutation(None, reason="No dog shows both."))
    found = make_evaluation(metrics)
    assert "29 dogs, 256 clips), for no dog shows both: its answers" in write_model_sentence(found)
    assert "p =" not in write_model_sentence(found)
    assert explain_withheld(found) == (
        "left undecided: nothing can be concluded about the condition from this model"
    )


def test_model_of_drawn_dogs_says_so_everywhere():
    found = make_evaluation(drawn=True)
    assert name_verdict(found) == "told from chance on drawn dogs"
    assert write_model_sentence(found).startswith(
        "This model could be told from chance on dogs drawn by a program, which says nothing about "
        "real ones (balanced accuracy "
    )


@pytest.mark.parametrize("standing", Standing)
def test_every_standing_has_its_words(standing):
    found = make_evaluation(standing=standing)
    assert name_verdict(found) == VERDICTS[standing]
    assert ("--anyway" in write_model_sentence(found)) == (standing is not Standing.ABOVE)


def test_facts_say_what_a_model_was_tested_on_and_made_from(model):
    facts = list_facts(model)
    assert facts["Verdict"] == "not told from chance"
    assert facts["Tested on"].startswith("29 dogs it had not seen (leave one dog out, 29 rounds)")
    assert "“frustration”" in facts["Tested on"]
    assert facts["Then made from"] == "all 248 clips of 29 dogs of the study “s”"
    assert "0.234" in facts["Permutation test"]
    assert facts["Made"] == "2026-11-30, canemo 0.1.0"


def test_card_says_what_the_model_does_and_does_not_say(model):
    card = " ".join(write_card(model).split())
    assert "This model could not be told from chance" in card
    assert "248 clips of 29 dogs" in card
    assert "does not say what an animal feels" in card
    assert "`--anyway`" in card


def test_card_speaks_of_the_animal_that_was_studied(model):
    config = load_config(
        overrides={"study": {"species": "generic"}, "detect": {"detector": "faces.json"}}
    )
    card = write_card(replace(model, config=config))
    assert "29 animals it had not seen" in card
    assert " dog" not in card


def test_table_of_a_model_holds_verdict_and_settings(model):
    text = format_text(describe_model(model))
    assert "not told from chance" in text
    assert "probe.method" in text
    assert "This model could not be told from chance" in describe_model(model).description
