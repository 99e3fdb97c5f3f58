from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from canemo.report.charts.canvas import (
    ACCENT,
    LABEL_COLOURS,
    MUTED,
    render_png,
    save_figure,
    shorten,
)
from canemo.report.charts.evaluation import (
    describe_panels,
    draw_confusion,
    draw_label_counts,
    draw_ledger,
    draw_subject_accuracy,
    draw_subjects,
    draw_timeline,
)
from canemo.study.records.run import SubjectResult
from canemo.study.records.scores import Confusion

TOLD: dict[str, Any] = {
    "positive_label": "food",
    "title": "clip.mp4",
    "verdict": "model told from chance",
    "is_decided": True,
}


def bar_heights(figure: Figure, panel: int) -> dict[float, float]:
    """Return the height of each bar by its centre."""
    bars = [patch for patch in figure.axes[panel].patches if isinstance(patch, Rectangle)]
    return {round(bar.get_x() + bar.get_width() / 2, 3): bar.get_height() for bar in bars}


def test_subjects_are_counted_by_completed_years_and_by_sex() -> None:
    table = [
        {"subject_id": "a", "sex": "F", "age_years": 2.9},
        {"subject_id": "b", "sex": "female", "age_years": "2"},
        {"subject_id": "c", "sex": "M", "age_years": 7},
        {"subject_id": "d", "sex": None, "age_years": float("nan")},
    ]
    figure = draw_subjects(table)
    assert figure is not None
    assert bar_heights(figure, 0) == {2: 2, 7: 1}
    assert "1 dog without" in figure.axes[0].get_xlabel()
    names = [tick.get_text() for tick in figure.axes[1].get_xticklabels()]
    assert names == ["female", "male", "not stated"]
    assert list(bar_heights(figure, 1).values()) == [2, 1, 1]


@pytest.mark.parametrize("table", [None, [], [{"subject_id": "a", "breed": "Labrador"}]])
def test_subjects_without_facts_give_no_figure(table: list[dict[str, str]] | None) -> None:
    assert draw_subjects(table) is None


def test_subjects_with_age_alone_give_one_panel() -> None:
    table = [{"subject_id": "a", "age_years": 3, "Geschlecht": "F"}]
    figure = draw_subjects(table)
    assert describe_panels(table) == (
        "by age; by sex needs a column “sex” in the table of subjects"
    )
    assert figure is not None
    assert len(figure.axes) == 1


def test_label_counts_stack_up_to_the_clips_of_each_dog() -> None:
    figure = draw_label_counts({"a": {"x": 2, "y": 3}, "b": {"y": 1}})
    tops = {}
    for bar in figure.axes[0].patches:
        tops[bar.get_x()] = max(tops.get(bar.get_x(), 0), bar.get_y() + bar.get_height())
    assert list(tops.values()) == [5, 1]


def test_ledger_shares_add_up_and_absent_fates_are_not_named() -> None:
    figure = draw_ledger({"x": {"used": 6, "no_face": 2, "blurred": 0}, "y": {"used": 5}})
    ends = [bar.get_x() + bar.get_width() for bar in figure.axes[0].patches]
    assert max(ends) == pytest.approx(1.0)
    legend = [text.get_text().strip() for text in figure.legends[0].get_texts()]
    assert legend == ["used", "no face found"]


def test_subject_accuracy_is_sorted_with_clips_and_chance() -> None:
    subjects = [
        SubjectResult(subject_id="low", videos=4, accuracy=0.25, labels={"x": 1, "y": 3}),
        SubjectResult(subject_id="high", videos=1, accuracy=1.0, labels={"x": 1}),
    ]
    axes = draw_subject_accuracy(subjects, chance=0.6, majority_label="y").axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["high", "low"]
    assert [text.get_text() for text in axes.texts] == ["1 clip", "4 clips"]
    assert axes.lines[0].get_xdata()[0] == 0.6
    constant, accuracy = axes.collections[-2:]
    np.testing.assert_allclose(constant.get_offsets()[:, 0], [0.0, 0.75])
    np.testing.assert_allclose(accuracy.get_offsets()[:, 0], [1.0, 0.25])
    assert constant.get_sizes()[0] > 2 * accuracy.get_sizes()[0]  # seen behind a dot


def test_confusion_writes_counts_and_row_shares() -> None:
    axes = draw_confusion(Confusion(labels=["x", "y"], counts=[[3, 1], [0, 0]])).axes[0]
    assert [text.get_text() for text in axes.texts] == ["3\n75 %", "1\n25 %", "0\n0 %", "0\n0 %"]
    assert axes.get_ylabel() == "filmed in"


def test_timeline_breaks_where_no_face_was_used() -> None:
    figure = draw_timeline(
        [0.0, 0.2, 0.4, 0.6],
        [0.9, 0.8, np.nan, 0.1],
        ["used", "used", "no_face", "used"],
        **TOLD,
    )
    threshold, curve = figure.axes[0].lines
    assert set(threshold.get_ydata()) == {0.5}
    np.testing.assert_allclose(curve.get_ydata(), [0.9, 0.8, np.nan, 0.1])
    np.testing.assert_allclose(figure.axes[0].collections[0].get_offsets()[:, 0], [0.4])
    assert figure.legends[0].get_texts()[0].get_text().strip() == "no face found"


def test_timeline_of_a_model_not_told_from_chance_is_grey_and_says_so() -> None:
    told = draw_timeline([0.0], [0.9], ["used"], **TOLD)
    grey = draw_timeline(
        [0.0],
        [0.9],
        ["used"],
        **TOLD | {"verdict": "model not told from chance", "is_decided": False},
    )
    assert told.axes[0].lines[1].get_color() == ACCENT
    assert grey.axes[0].lines[1].get_color() == MUTED
    assert grey.axes[0].get_title(loc="left") == "clip.mp4\nmodel not told from chance"


def test_timeline_draws_a_video_without_any_face_and_an_empty_one() -> None:
    render_png(draw_timeline([0.0], [np.nan], ["no_face"], **TOLD))
    render_png(draw_timeline([], [], [], **TOLD))


def test_timeline_refuses_lengths_that_differ() -> None:
    with pytest.raises(ValueError, match="lengths differ"):
        draw_timeline([0.0, 1.0], [0.5], ["used"], **TOLD)


def test_labels_are_drawn_as_written_whatever_they_hold() -> None:
    odd = ["$\\frac{", "_hidden", "日本 🐶", "x" * 90, "a\nb"]
    render_png(draw_label_counts({"$dog_1$": dict.fromkeys(odd, 2)}))
    render_png(draw_ledger({label: {"used": 1, "$odd": 2} for label in odd}))
    render_png(draw_confusion(Confusion(labels=odd, counts=np.eye(5, dtype=int).tolist())))
    legend = draw_label_counts({"dog": {"_hidden": 1}}).legends[0]
    assert [text.get_text().strip() for text in legend.get_texts()] == ["_hidden"]


def test_long_labels_that_differ_at_the_end_stay_apart() -> None:
    labels = {"frustration by a closed transparent box " + end: 1 for end in ("first", "second")}
    legend = draw_label_counts({"dog": labels}).legends[0]
    texts = [text.get_text() for text in legend.get_texts()]
    assert len(set(texts)) == 2
    assert texts[0].endswith("first")
    assert [len(shorten("x" * n, 20)) for n in (5, 20, 21, 90)] == [5, 20, 20, 20]


def test_pixels_do_not_change_between_calls(tmp_path: Path) -> None:
    confusion = Confusion(labels=["x", "y"], counts=[[3, 1], [1, 3]])
    save_figure(draw_confusion(confusion), tmp_path / "new" / "confusion.png")
    assert (tmp_path / "new" / "confusion.png").read_bytes() == render_png(
        draw_confusion(confusion)
    )
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["confusion.png"]


def test_label_colours_are_distinct() -> None:
    assert len(set(LABEL_COLOURS)) == len(LABEL_COLOURS)
