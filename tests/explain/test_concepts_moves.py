import numpy as np
import pandas as pd
import pytest

from canemo.explain.concepts.moves import move_coding


def lay_out(clips, *, frames=4):
    """Return frames of dogs with so many clips each."""
    rows = [
        (f"v{dog}_{clip}", f"d{dog}")
        for dog, number in enumerate(clips)
        for clip in range(number)
        for _ in range(frames)
    ]
    return pd.DataFrame(rows, columns=["video_id", "subject_id"])


def shown_by_dog(codings, origin):
    return np.stack([codings[:, (origin["subject_id"] == d).to_numpy()].sum(axis=1) for d in
                     origin["subject_id"].unique()], axis=1)  # fmt: skip


def test_unit_that_is_constant_in_clips_moves_by_whole_clips():
    origin = lay_out([8, 7, 9, 8])
    shown = np.repeat(np.arange(32) % 2 == 0, 4)
    moves = move_coding(shown, origin, number=50, seed=0)
    assert (moves.kind, moves.exact) == ("clips", False)
    clips = moves.codings.reshape(50, 32, 4)
    assert (clips == clips[:, :, :1]).all()
    assert (shown_by_dog(moves.codings, origin) == shown_by_dog(shown[None], origin)).all()
    assert len(np.unique(moves.codings, axis=0)) > 40


def test_few_clips_give_every_way_once():
    origin = lay_out([3, 2])
    shown = np.repeat([True, False, False, True, False], 4)
    moves = move_coding(shown, origin, number=50, seed=0)
    assert moves.exact
    assert len(np.unique(moves.codings, axis=0)) == len(moves.codings) == 3 * 2
    assert (moves.codings == shown).all(axis=1).sum() == 1


def test_unit_that_comes_and_goes_changes_clips_with_its_times():
    origin = lay_out([3, 2], frames=5)
    shown = np.zeros(25, dtype=bool)
    shown[3:7] = shown[20:22] = True  # the end of one clip, the start of the next; another dog
    moves = move_coding(shown, origin, number=200, seed=1)
    assert moves.kind == "stretches"
    assert not moves.exact
    clips = moves.codings.reshape(200, 5, 5)
    own = shown.reshape(5, 5)
    for coding in clips:
        assert sorted(coding[:3].tolist()) == sorted(own[:3].tolist())
        assert sorted(coding[3:].tolist()) == sorted(own[3:].tolist())
    assert len(np.unique(moves.codings, axis=0)) == 6 * 2


def test_coding_is_stretched_to_the_clip_it_comes_to():
    origin = pd.DataFrame({"video_id": ["a"] * 4 + ["b"] * 8, "subject_id": "d0"})
    shown = np.array([0, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1], bool)
    codings = np.unique(move_coding(shown, origin, number=50, seed=0).codings, axis=0)
    assert {tuple(coding.astype(int)) for coding in codings} == {
        tuple(shown.astype(int)),
        (0, 0, 1, 1, 0, 0, 1, 1, 1, 1, 0, 0),
    }


def test_a_dogs_only_clip_is_turned_and_dogs_turn_apart():
    origin = lay_out([1, 1], frames=50)
    shown = np.tile(np.isin(np.arange(50), [3, 4]), 2)
    codings = move_coding(shown, origin, number=300, seed=0).codings
    for coding in codings:
        assert any((np.roll(coding[:50], k) == shown[:50]).all() for k in range(50))
    places = codings[:, :49].argmax(axis=1), codings[:, 50:99].argmax(axis=1)
    assert abs(np.corrcoef(*places)[0, 1]) < 0.2
    assert len(set(places[0])) > 40


def test_coding_is_not_changed_and_the_same_seed_draws_the_same():
    origin = lay_out([4, 4])
    shown = np.random.default_rng(2).random(32) < 0.4
    before = shown.copy()
    one, two = (move_coding(shown, origin, number=20, seed=3).codings for _ in range(2))
    assert (one == two).all()
    assert (shown == before).all()


@pytest.mark.parametrize("by_clip", [[True, True, False, False], [True] * 4])
def test_nothing_moves_where_no_dog_shows_both(by_clip):
    moves = move_coding(np.repeat(by_clip, 4), lay_out([2, 2]), number=50, seed=0)
    assert not moves.possible
