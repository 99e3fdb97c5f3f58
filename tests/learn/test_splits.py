import json
from itertools import combinations

import numpy as np
import pytest

from canemo.errors import SplitError
from canemo.learn.splits import Fold, iter_inner_folds, load_split, make_split, save_split

DOGS = [f"dog{i:02d}" for i in range(29)]


@pytest.mark.parametrize("kind", ["loso", "kfold:5", "holdout:7", "auto"])
def test_no_dog_is_on_both_sides(kind):
    for fold in make_split(DOGS, kind=kind).folds:
        assert set(fold.train).isdisjoint(fold.test)
        assert set(fold.train) | set(fold.test) == set(DOGS)


def test_loso_tests_each_dog_once():
    assert [fold.test for fold in make_split(DOGS, kind="loso").folds] == [(dog,) for dog in DOGS]


def test_kfold_tests_each_dog_once_in_folds_of_like_size():
    folds = make_split(DOGS, kind="kfold:5").folds
    assert sorted(dog for fold in folds for dog in fold.test) == DOGS
    assert {len(fold.test) for fold in folds} == {5, 6}


def test_holdout_is_the_papers_22_and_7():
    [fold] = make_split(DOGS, kind="holdout:7", seed=3).folds
    assert (len(fold.train), len(fold.test)) == (22, 7)


def test_seed_decides_and_zero_is_a_seed():
    a, b, c = (make_split(DOGS, kind="holdout:7", seed=s) for s in (0, 0, 1))
    assert a == b
    assert a.folds != c.folds


def test_auto_is_loso_up_to_40_subjects():
    assert make_split(DOGS).kind == "loso"
    assert make_split([f"d{i}" for i in range(41)]).kind == "kfold:10"


def test_saved_split_comes_back_equal(tmp_path):
    split = make_split(["Ödön", "Rex", "Bella"], kind="holdout:1", seed=5)
    path = save_split(split, tmp_path / "split.json")
    assert load_split(path) == split
    again = make_split(["Bella", "Rex", "Ödön"], kind=f"file:{path}")
    assert again.folds == split.folds
    assert again.kind == "file:split.json"


def test_saved_split_of_another_study_is_refused(tmp_path):
    path = save_split(make_split(DOGS), tmp_path / "split.json")
    with pytest.raises(SplitError, match="'dog28' is not in the study"):
        make_split(DOGS[:-1], kind=f"file:{path}")


def test_split_file_with_a_leak_is_refused(tmp_path):
    path = tmp_path / "split.json"
    leak = {"train": ["a", "b"], "test": ["b"]}
    path.write_text(json.dumps({"schema": 1, "kind": "x", "seed": 0, "folds": [leak]}))
    with pytest.raises(SplitError, match="'b' is in training and test"):
        load_split(path)


def test_subject_tested_twice_is_refused(tmp_path):
    fold = {"train": ["a"], "test": ["b"]}
    path = tmp_path / "split.json"
    path.write_text(json.dumps({"schema": 1, "kind": "loso", "seed": 0, "folds": [fold, fold]}))
    with pytest.raises(SplitError, match="'b' is tested in more than one fold"):
        make_split(["a", "b"], kind=f"file:{path}")


@pytest.mark.parametrize(
    "kind", ["kfold:1", "kfold:30", "kfold:x", "holdout:0", "holdout:29", "odd"]
)
def test_impossible_splits_say_what_is_possible(kind):
    with pytest.raises(SplitError, match=r"from \d+ to \d+|there are auto"):
        make_split(DOGS, kind=kind)


def test_one_dog_cannot_be_split():
    with pytest.raises(SplitError, match="at least 2"):
        make_split(["rex", "rex"])


def test_fold_refuses_shared_subjects():
    with pytest.raises(SplitError, match="'a' is in training and test"):
        Fold(("a", "b"), ("a",))


def test_inner_folds_are_disjoint_and_cover_all():
    held = [frozenset()]
    for train, validation in iter_inner_folds(DOGS, folds=5, seed=0):
        assert train.isdisjoint(validation)
        assert train | validation == set(DOGS)
        held.append(validation)
    assert frozenset().union(*held) == set(DOGS)
    assert sum(map(len, held)) == len(DOGS)


# -- test dogs drawn so that labels are shared out alike -------------------------------------------

# Three dogs hold nearly all of the label "rare": a plain draw gets far too many of it or none.
UNEVEN = {dog: {"common": 8} for dog in DOGS} | {
    "dog03": {"rare": 30}, "dog11": {"rare": 30, "common": 2}, "dog20": {"rare": 20, "common": 10},
}  # fmt: skip


def distance(fold, labels):
    """Return how far the label shares of the test dogs are from the whole, 0 to 2."""
    names = sorted({name for counts in labels.values() for name in counts})

    def shares(dogs):
        counts = np.array([sum(labels[dog].get(name, 0) for dog in dogs) for name in names])
        return counts / counts.sum()

    return float(np.abs(shares(fold.test) - shares(labels)).sum())


@pytest.mark.parametrize("size", [3, 7])
def test_balanced_test_dogs_have_shares_nearer_to_the_whole(size):
    plain, balanced = [], []
    for seed in range(20):
        for found, kind in ((plain, f"holdout:{size}"), (balanced, f"holdout:{size}:balanced")):
            [fold] = make_split(DOGS, kind=kind, seed=seed, labels=UNEVEN).folds
            assert len(fold.test) == size
            assert set(fold.train) == set(DOGS) - set(fold.test)
            found.append(distance(fold, UNEVEN))
    assert all(b <= a + 1e-12 for a, b in zip(plain, balanced, strict=True))
    assert np.mean(balanced) < {3: 0.6, 7: 0.35}[size] * np.mean(plain)


def test_balanced_draw_of_few_dogs_is_as_near_as_any_can_be():
    best = min(distance(Fold(("",), test), UNEVEN) for test in combinations(DOGS, 3))
    found = [
        make_split(DOGS, kind="holdout:3:balanced", seed=seed, labels=UNEVEN).folds[0]
        for seed in range(5)
    ]
    assert [distance(fold, UNEVEN) for fold in found] == pytest.approx([best] * 5)


def test_balanced_draw_finds_the_only_pair_that_fits():
    labels = {"a": {"x": 9}, "b": {"x": 9}, "c": {"y": 5}, "d": {"x": 9}, "e": {"y": 5}}
    # Of the whole 27 of 37 are x; one dog of each label in the test gives 9 of 14, no pair nearer.
    for seed in range(5):
        [fold] = make_split("abcde", kind="holdout:2:balanced", seed=seed, labels=labels).folds
        assert {next(iter(labels[dog])) for dog in fold.test} == {"x", "y"}


def test_balanced_draw_is_seeded_and_does_not_depend_on_order():
    kind = "holdout:7:balanced"
    a = make_split(DOGS, kind=kind, seed=3, labels=UNEVEN)
    backwards = dict(reversed(UNEVEN.items()))
    assert make_split(DOGS[::-1], kind=kind, seed=3, labels=backwards) == a
    others = {make_split(DOGS, kind=kind, seed=s, labels=UNEVEN).folds for s in range(6)}
    assert len(others) > 3


def test_plain_holdout_does_not_look_at_labels():
    one = make_split(DOGS, kind="holdout:7", seed=2, labels=UNEVEN)
    assert one == make_split(DOGS, kind="holdout:7", seed=2)


def test_holdout_over_seeds_tests_every_dog_about_as_often():
    tested = [
        dog for s in range(300) for dog in make_split(DOGS, kind="holdout:7", seed=s).folds[0].test
    ]
    counts = np.array([tested.count(dog) for dog in DOGS])
    assert counts.min() > 0.6 * counts.mean()
    assert counts.max() < 1.4 * counts.mean()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("holdout:3:foo", r"'holdout:3:foo': after the number only ':balanced' may follow"),
        ("holdout:3:balanced:again", "after the number only ':balanced' may follow"),
        ("holdout:29", r"'holdout:29': expected a whole number from 1 to 28"),
        ("holdout:29:balanced", "expected a whole number from 1 to 28"),
        ("holdout:balanced", "expected a whole number from 1 to 28"),
        ("holdout:-1", "expected a whole number from 1 to 28"),
        ("loso:3", "'loso:3' is unknown; there are auto"),
    ],
)
def test_impossible_holdouts_name_what_is_wrong(kind, message):
    with pytest.raises(SplitError, match=message):
        make_split(DOGS, kind=kind, labels=UNEVEN)


def test_balanced_split_comes_back_equal(tmp_path):
    split = make_split(DOGS, kind="holdout:7:balanced", seed=4, labels=UNEVEN)
    path = save_split(split, tmp_path / "split.json")
    assert load_split(path) == split
    assert make_split(DOGS, kind=f"file:{path}").folds == split.folds


def test_hold_out_refuses_what_it_would_misread():
    dogs = [f"d{i}" for i in range(6)]
    with pytest.raises(SplitError, match="only ':balanced' may follow"):
        make_split(dogs, kind="holdout:3:")
    with pytest.raises(SplitError, match="labels of every subject must be given"):
        make_split(dogs, kind="holdout:3:balanced", labels={"d0": {"a": 1}})
