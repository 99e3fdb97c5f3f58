import pytest

from canemo.trust.confounds import judge_confounds

NOTHING_SPEAKS_AGAINST = (
    "neither the background nor box geometry, brightness or blur can be told from chance: "
    "nothing here speaks against attributing the result to the face"
)


def rows(*, face=(0.7, 0.9), **others):
    """Write rows of a battery: name -> interval of the balanced accuracy."""
    found = {"face": face, "background": (0.4, 0.6), "geometry": (0.4, 0.6), "light": (0.4, 0.6)}
    return [
        {
            "name": name,
            "balanced_accuracy": None if pair is None else sum(pair) / 2,
            "accuracy": None if pair is None else sum(pair) / 2,
            "interval": {"balanced_accuracy": None if pair is None else list(pair)},
        }
        for name, pair in {**found, **others}.items()
    ]


def test_face_alone_above_chance_is_the_one_good_verdict():
    assert judge_confounds(rows(), {}, 2) == [NOTHING_SPEAKS_AGAINST]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("background", "the background alone predicts the label"),
        ("geometry", "where the face is and how large alone predicts the label"),
        ("light", "brightness and blur alone predict the label"),
    ],
)
def test_what_predicts_without_the_face_forbids_attribution(name, words):
    [sentence] = judge_confounds(rows(**{name: (0.51, 0.7)}), {}, 2)
    assert sentence.startswith(words)
    assert "do not attribute this result to the face" in sentence


def test_every_confound_has_its_own_sentence():
    found = judge_confounds(rows(background=(0.6, 0.7), light=(0.6, 0.7)), {}, 2)
    assert len(found) == 2
    assert NOTHING_SPEAKS_AGAINST not in found


def test_whole_frame_holds_the_face_and_is_no_confound():
    assert judge_confounds(rows(whole_frame=(0.8, 0.95)), {}, 2) == [NOTHING_SPEAKS_AGAINST]


def test_chance_depends_on_the_number_of_labels():
    some = rows(background=(0.4, 0.6), face=(0.4, 0.9))
    assert "cannot be told from chance on these frames" in judge_confounds(some, {}, 2)[0]
    assert "the background alone" in judge_confounds(some, {}, 3)[0]


def test_face_that_shows_nothing_is_no_clean_bill():
    for face in ((0.45, 0.7), None):
        found = judge_confounds(rows(face=face), {}, 2)
        assert found == ["the face crop itself cannot be told from chance on these frames"]


def test_region_is_named_where_its_loss_costs_points_beyond_chance():
    some = rows(without_eyes=(0.5, 0.7), without_ears=(0.6, 0.9), without_muzzle=(0.8, 0.95))
    losses = {"without_eyes": 0.01, "without_ears": 0.2, "without_muzzle": 0.001}
    found = judge_confounds(some, losses, 2)
    assert found == [
        NOTHING_SPEAKS_AGAINST,
        "without the eyes region the accuracy by clip falls by 20 points (p = 0.010, corrected): "
        "it carries part of the result",
    ]


def test_scores_that_are_not_known_are_no_fall():
    some = rows(face=None, without_eyes=None)
    assert len(judge_confounds(some, {"without_eyes": 0.01}, 2)) == 1


@pytest.mark.parametrize("lack", ["no row", "no interval"])
def test_what_could_not_be_judged_is_no_clean_bill(lack):
    some = rows(background=None) if lack == "no interval" else rows()
    some = [row for row in some if lack == "no interval" or row["name"] != "background"]
    assert judge_confounds(some, {}, 2) == [
        "whether the label can be read without the face is not known; not judged: "
        "the background, face painted over"
    ]
