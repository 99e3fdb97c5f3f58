import json
import shutil

import numpy as np
import pandas as pd
import pytest

import canemo
from canemo.errors import ConfigError, ModelError, SplitError
from canemo.learn.splits import load_split, make_split, save_split
from canemo.pipeline.compare_runs import compare_runs, format_run_comparison
from canemo.trust.pairs import adjust_holm
from report_fixtures import make_metrics, write_run

LABELS = ("calm", "tense")
SUBJECTS, CLIPS = 6, 4
SCORES = ("accuracy", "balanced_accuracy", "auroc")


def tabulate(right, *, labels=LABELS, subjects=SUBJECTS, clips=CLIPS):
    """Write predictions of `clips` videos of each dog, right where `right(dog, clip)` says so."""
    rows = []
    for dog in range(subjects):
        for clip in range(clips):
            truth = clip % len(labels)
            answer = truth if right(dog, clip) else (truth + 1) % len(labels)
            shares = np.full(len(labels), 0.2 / (len(labels) - 1))
            shares[answer] = 0.8
            rows.append(
                {
                    "level": "video",
                    "video_id": f"d{dog}c{clip}",
                    "subject_id": f"d{dog}",
                    "label": labels[truth],
                    "fold": dog,
                    "predicted": labels[answer],
                    **{f"probability_{name}": shares[i] for i, name in enumerate(labels)},
                }
            )
    videos = pd.DataFrame(rows)
    return pd.concat([videos.assign(level="frame"), videos], ignore_index=True)


def always(dog, clip):
    return True


def by_chance(dog, clip):
    return clip < 2  # one of each label right, one of each wrong


def make_run(folder, right=always, *, table=None, study="study", kind="loso", seed=0, warnings=()):
    """Write a finished run of which dogs and clips are known."""
    table = tabulate(right) if table is None else table
    labels = tuple(name.removeprefix("probability_") for name in table if "probability" in name)
    metrics = make_metrics(labels, n_subjects=4)
    metrics["study"]["name"] = study
    metrics["warnings"] = list(warnings)
    metrics["protocol"].update(method="logistic", resamples=500, split=kind, seed=3)
    write_run(folder, metrics)
    table.to_parquet(folder / "predictions.parquet", index=False)
    split = make_split([*sorted(set(table["subject_id"])), "other"], kind=kind, seed=seed)
    save_split(split, folder / "split.json")
    return folder


@pytest.fixture
def runs(tmp_path):
    return tmp_path / "study" / "runs"


# -- known answers --------------------------------------------------------------------------------


def test_identical_predictions_differ_by_nothing(runs):
    content = compare_runs([make_run(runs / "a", by_chance), make_run(runs / "b", by_chance)])
    [pair] = content.pairs
    assert (pair.first, pair.second) == ("a", "b")
    assert pair.difference.to_dict() == dict.fromkeys(SCORES, 0.0)
    assert pair.interval.to_dict() == {name: [0.0, 0.0] for name in SCORES}
    assert (pair.p, pair.p_holm, pair.effect_size) == (1.0, 1.0, None)
    assert content.warnings == ()


def test_run_that_is_always_right_beats_one_that_guesses(runs):
    def mostly(dog, clip):
        return dog > 0 or clip > 0  # all but one clip of one dog

    first, second = make_run(runs / "good", mostly), make_run(runs / "bad", by_chance)
    content = compare_runs([first, str(second)])
    [pair] = content.pairs
    by_dog = np.array([0.25, *[0.5] * 5])
    assert pair.difference.accuracy == pytest.approx(by_dog.mean())
    assert pair.p == pair.p_holm == 2 / 2**SUBJECTS
    assert (pair.flips, pair.exact) == (2**SUBJECTS, True)
    assert pair.effect_size == pytest.approx(by_dog.mean() / by_dog.std(ddof=1))
    assert pair.interval.accuracy[0] > 0
    good, bad = content.runs
    assert (good.accuracy, bad.accuracy) == (23 / 24, 0.5)
    assert (good.folder, bad.folder) == (str(first), str(second))
    assert good.protocol.to_dict() == {
        "backbone": "dino_vits8", "method": "logistic", "split": "loso", "seed": 3,
    }  # fmt: skip
    assert good.interval.accuracy[0] < 23 / 24 < good.interval.accuracy[1]
    assert (content.videos, content.subjects, content.left_out) == (24, 6, 0)


def test_turning_the_order_round_turns_the_signs_only(runs):
    folders = [make_run(runs / "a"), make_run(runs / "b", by_chance)]
    [there], [back] = (compare_runs(each).pairs for each in (folders, folders[::-1]))
    assert there.p == back.p
    turned = {name: -value for name, value in back.difference.to_dict().items()}
    assert there.difference.to_dict() == turned


def test_three_runs_are_corrected_for_three_pairs(runs):
    def weaker(dog, clip):
        return clip < 2 and dog < 5

    folders = [make_run(runs / name, right) for name, right in
               (("a", always), ("b", by_chance), ("c", weaker))]  # fmt: skip
    pairs = compare_runs(folders).pairs
    assert [(pair.first, pair.second) for pair in pairs] == [
        ("a", "b"), ("a", "c"), ("b", "c"),
    ]  # fmt: skip
    least = 2 / 2**SUBJECTS
    assert [pair.p for pair in pairs] == [least, least, 1.0]
    assert [pair.p_holm for pair in pairs] == [3 * least, 3 * least, 1.0]
    assert [pair.p_holm for pair in pairs] == adjust_holm([pair.p for pair in pairs])


def test_three_labels(runs):
    def half(dog, clip):
        return (dog + clip) % 2 == 0

    labels = ("calm", "fearful", "tense")
    tables = [tabulate(right, labels=labels, clips=6) for right in (always, half)]
    content = compare_runs([make_run(runs / name, table=table)
                            for name, table in zip("ab", tables, strict=True)])  # fmt: skip
    assert [run.accuracy for run in content.runs] == [1.0, 0.5]
    assert content.runs[0].auroc == 1.0
    assert content.pairs[0].p == 2 / 2**SUBJECTS


def test_content_is_json_and_repeats_itself(runs):
    def uneven(dog, clip):
        return clip < dog

    folders = [make_run(runs / "a"), make_run(runs / "b", uneven)]
    content = compare_runs(folders)
    written = content.to_dict()
    assert json.loads(json.dumps(written, allow_nan=False)) == written
    assert (written["format"], written["schema"]) == ("canemo.runs_comparison", 2)
    assert set(written) == {
        "format", "schema", "species", "runs", "videos", "subjects", "left_out", "pairs",
        "warnings",
    }  # fmt: skip
    assert compare_runs(folders) == content == canemo.compare_runs(folders)
    assert compare_runs(folders, resamples=500, seed=3) == content  # those of the first run
    assert compare_runs(folders, seed=4) != content


# -- what is compared -----------------------------------------------------------------------------


def test_videos_are_matched_by_name_and_not_by_place(runs):
    table = tabulate(by_chance)
    turned = table.iloc[::-1].reset_index(drop=True)
    content = compare_runs([make_run(runs / "a", table=table), make_run(runs / "b", table=turned)])
    assert content.pairs[0].difference.accuracy == 0


def test_videos_that_one_run_did_not_test_are_left_out_and_counted(runs):
    table = tabulate(always)
    without = table[~table["video_id"].isin(["d0c0", "d5c3"])]
    wrong_there = tabulate(lambda dog, clip: f"d{dog}c{clip}" != "d0c0")
    content = compare_runs(
        [make_run(runs / "a", table=without), make_run(runs / "b", table=wrong_there)]
    )
    assert (content.videos, content.left_out) == (22, 2)
    assert [run.accuracy for run in content.runs] == [1.0, 1.0]
    assert content.pairs[0].difference.accuracy == 0
    [warning] = content.warnings
    assert warning.startswith("2 videos that not every run tested left out: d0c0, d5c3")


def test_one_common_subject_leaves_nothing_to_test(runs):
    tables = [tabulate(right, subjects=1) for right in (always, by_chance)]
    content = compare_runs([make_run(runs / name, table=table)
                            for name, table in zip("ab", tables, strict=True)])  # fmt: skip
    [pair] = content.pairs
    assert pair.p is pair.p_holm is pair.effect_size is None
    assert pair.interval.to_dict() == dict.fromkeys(SCORES)
    assert pair.difference.accuracy == 0.5
    assert content.runs[0].interval.to_dict() == dict.fromkeys(SCORES)
    assert "one subject" in content.warnings[0]
    last = format_run_comparison(content).splitlines()
    line = next(line for line in last if line.startswith("a – b"))
    assert line.split() == ["a", "–", "b", "+50.0", "+50.0", "+0.500", "–", "–", "–"]


def test_other_folds_are_a_warning(runs):
    folders = [make_run(runs / "a"), make_run(runs / "b", kind="kfold:2"), make_run(runs / "c")]
    [warning] = compare_runs(folders).warnings
    assert warning.startswith("the dogs of b were split otherwise than those of a")
    assert "also come from the folds" in warning


def test_order_of_folds_does_not_matter(runs):
    folders = [make_run(runs / "a"), make_run(runs / "b")]
    path = folders[1] / "split.json"
    split = json.loads(path.read_text())
    split["folds"].reverse()
    path.write_text(json.dumps(split))
    assert load_split(path) != load_split(folders[0] / "split.json")
    assert compare_runs(folders).warnings == ()


def test_warnings_of_the_runs_are_passed_on(runs):
    folders = [
        make_run(runs / "a", warnings=["weights are random", "few dogs"]),
        make_run(runs / "b", warnings=["few dogs"]),
    ]
    assert compare_runs(folders).warnings == ("a: weights are random", "few dogs")


def test_runs_of_the_same_name_are_told_apart(tmp_path):
    places = [("x", "x"), ("y", "y"), ("z", "y")]
    folders = [make_run(tmp_path / place / "runs" / "vit", study=name) for place, name in places]
    other = make_run(tmp_path / "x" / "runs" / "cnn", study="x")
    names = [run.name for run in compare_runs([*folders, other], resamples=100).runs]
    assert names == ["x/vit", "y/vit", "y/vit (2)", "cnn"]


def test_run_is_compared_with_its_copy_elsewhere(runs, tmp_path):
    first = make_run(runs / "a")
    copied = shutil.copytree(first, tmp_path / "moved")
    assert compare_runs([first, copied]).pairs[0].p == 1


def test_nothing_is_written(runs):
    folders = [make_run(runs / "a"), make_run(runs / "b")]
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("*")}
    compare_runs(folders)
    assert {path: path.stat().st_mtime_ns for path in runs.rglob("*")} == before


# -- what cannot be compared ----------------------------------------------------------------------


def test_too_few_or_the_same_run_is_refused(runs):
    run = make_run(runs / "a")
    for few in ([], [run]):
        with pytest.raises(ConfigError, match="needs at least 2"):
            compare_runs(few)
    with pytest.raises(ConfigError, match="the same run is given twice"):
        compare_runs([run, runs / ".." / "runs" / "a"])


@pytest.mark.parametrize(
    ("options", "key"), [({"resamples": 0}, "resamples"), ({"seed": -1}, "seed")]
)
def test_impossible_resampling_is_refused(runs, options, key):
    folders = [make_run(runs / "a"), make_run(runs / "b")]
    with pytest.raises(ConfigError, match=f"evaluate.{key}"):
        compare_runs(folders, **options)


def test_what_is_no_run_is_named(runs, tmp_path):
    run = make_run(runs / "a")
    said = r"not a finished run, metrics\.json is missing|there is nothing of that name"
    for other in (tmp_path, tmp_path / "none"):
        with pytest.raises(ModelError, match=said):
            compare_runs([run, other])


def test_other_labels_are_refused_and_both_sets_named(runs):
    other = make_run(runs / "b", table=tabulate(always, labels=("calm", "glad")))
    with pytest.raises(ModelError, match="a has calm, tense, b has calm, glad"):
        compare_runs([make_run(runs / "a"), other])


@pytest.mark.parametrize(("column", "value"), [("subject_id", "d9"), ("label", "tense")])
def test_video_of_another_dog_or_label_is_named(runs, column, value):
    table = tabulate(always)
    table.loc[table["video_id"] == "d2c0", column] = value
    folders = [make_run(runs / "a"), make_run(runs / "b", table=table)]
    with pytest.raises(ModelError, match=f"'d2c0' is not the same.*'calm' in a.*'{value}'.*1 such"):
        compare_runs(folders)


def test_runs_without_a_common_video_are_refused(runs):
    table = tabulate(always)
    other = table.assign(video_id=table["video_id"] + "x")
    with pytest.raises(ModelError, match="no video was tested by all of a and b"):
        compare_runs([make_run(runs / "a"), make_run(runs / "b", table=other)])


def damage(table, column, value):
    return table.assign(**{column: table[column].where(table["video_id"] != "d1c1", value)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns=["subject_id"]), r"column\(s\) subject_id missing"),
        (lambda t: t[t["level"] == "frame"], "no row of the level 'video'"),
        (lambda t: pd.concat([t, t.tail(1)]), "video 'd5c3' is in it more than once"),
        (lambda t: damage(t, "label", "glad"), "video 'd1c1' has .* a label not in calm, tense"),
        (lambda t: damage(t, "subject_id", None), "video 'd1c1' has no subject"),
        (lambda t: damage(t, "video_id", None), "a row has no video_id"),
        (lambda t: damage(t, "probability_calm", np.nan), "video 'd1c1' has a probability"),
        (lambda t: t.assign(probability_calm="much"), "video 'd0c0' has a probability"),
    ],
)
def test_damaged_predictions_are_named(runs, change, message):
    folders = [make_run(runs / "a"), make_run(runs / "b")]
    path = folders[1] / "predictions.parquet"
    change(tabulate(always)).to_parquet(path, index=False)
    with pytest.raises(ModelError, match=rf"predictions\.parquet: {message}.*run the study"):
        compare_runs(folders)


def test_unreadable_or_missing_files_are_named(runs):
    folders = [make_run(runs / "a"), make_run(runs / "b")]
    path = folders[1] / "predictions.parquet"
    path.write_bytes(b"no table")
    with pytest.raises(ModelError, match=r"predictions\.parquet is missing or damaged"):
        compare_runs(folders)
    path.unlink()
    with pytest.raises(ModelError, match=r"predictions\.parquet is missing or damaged"):
        compare_runs(folders)
    tabulate(always).to_parquet(path, index=False)
    (folders[1] / "split.json").unlink()
    with pytest.raises(SplitError, match=r"split.json: not a saved split"):
        compare_runs(folders)


# -- as text --------------------------------------------------------------------------------------


def test_text_holds_scores_differences_and_warnings(runs):
    folders = [make_run(runs / "good", warnings=["few dogs"]), make_run(runs / "bad", by_chance)]
    text = format_run_comparison(compare_runs(folders))
    lines = text.splitlines()
    assert lines[0].startswith("24 clips of 6 dogs, tested by every run")
    assert lines[3].split()[:3] == ["good", "100.0", "%"]
    assert lines[4].split()[:3] == ["bad", "50.0", "%"]
    assert "good – bad   +50.0 (+50.0 throughout)" in text
    heads, pair = (
        next(each for each in lines if each.startswith(start)) for start in ("Pair", "good –")
    )
    assert heads.split("   ")[-3:] == ["sign-flip p", "corrected", "d_z"]
    assert pair.split()[-3:-1] == ["0.031", "0.031"]
    assert lines[-1] == "Warning: good: few dogs"
