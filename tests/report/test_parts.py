from __future__ import annotations

from typing import Any

import pytest

from canemo.report.charts.parts import list_part_charts, list_part_rows
from canemo.report.charts.rows import draw_rows
from canemo.report.terminal import format_optimism
from canemo.report.words.parts import describe_parts, name_pooling, vary_parts
from report_fixtures import make_metrics, record


def with_optimism(**changes: Any) -> dict[str, Any]:
    metrics = make_metrics()
    metrics["sweep"]["optimism"] |= changes
    return metrics


def test_optimism_sets_the_nested_figure_beside_the_best() -> None:
    assert format_optimism(record(make_metrics())) == (
        "Chosen within each round, without the dogs it is tested on, the setting reached a "
        "balanced accuracy of 81.9 %. Picking the best of 60 settings by the result on the test "
        "dogs themselves would have claimed 84.1 % (lower half, the 50 % of frames with the "
        "highest sharpness, penalty 0.1), 2.2 percentage points more than can be "
        "expected of new dogs."
    )


@pytest.mark.parametrize(
    ("best", "end"),
    [(0.8189, "would have changed nothing."), (0.80, "1.9 percentage points less.")],
)
def test_optimism_that_is_none_is_not_called_so(best: float, end: str) -> None:
    assert format_optimism(record(with_optimism(best=best))).endswith(end)


def test_without_settings_optimism_is_not_known() -> None:
    without = record(make_metrics(sweep=None))
    assert "is not known" in format_optimism(without)
    assert "is not known" in format_optimism(record(with_optimism(nested=None)))
    assert describe_parts(without) is None
    assert list_part_charts(without) == {}


@pytest.mark.parametrize(
    ("pooling", "words"),
    [
        ("region:muzzle", "muzzle"),
        ("region:eyes+ears+muzzle", "eyes, ears and muzzle"),
        ("geometry", "measured geometry of the face"),
        ("region:muzzle,geometry", "muzzle with measured geometry of the face"),
        (
            "region:muzzle*0.8,geometry*0.2",
            "muzzle (80 %) with measured geometry of the face (20 %)",
        ),
        ("upper; region:muzzle", "upper half; muzzle"),
    ],
)
def test_regions_geometry_and_mixes_have_plain_names(pooling: str, words: str) -> None:
    assert name_pooling(pooling) == words


def test_part_of_several_blocks_stands_in_table_and_chart() -> None:
    metrics = make_metrics()
    metrics["sweep"]["parts"][-1]["pooling"] = "region:muzzle,geometry"
    metrics["sweep"]["parts"][0]["pooling"] = "geometry"
    table = describe_parts(record(metrics))
    assert table is not None
    named = [line.values["part"] for line in table.rows]
    assert named[-1] == "muzzle with measured geometry of the face"
    assert named[-2] == "measured geometry of the face"
    _, words = list_part_charts(record(metrics))["parts"]
    assert "muzzle with measured geometry of the face" in words


def test_one_part_is_no_comparison() -> None:
    metrics = make_metrics()
    metrics["sweep"]["parts"] = metrics["sweep"]["parts"][:1]
    assert describe_parts(record(metrics)) is None
    assert list_part_charts(record(metrics)) == {}


def test_parts_come_whole_first_then_bands_with_their_numbers() -> None:
    metrics = record(make_metrics())
    table = describe_parts(metrics)
    assert table is not None
    assert vary_parts(metrics)
    assert [line.values["part"] for line in table.rows[::2]] == [
        "whole crop, summed up by the backbone",
        "whole crop, mean over all places",
        "upper half",
        "lower half",
        "centre",
        "outer ring",
    ]
    mean = [str(column.show(table.rows[2])) for column in table.columns]
    assert mean[1:] == ["all", "82.0 % (74.0 to 88.0 %)", "0.870", "20"]
    assert table.rows[3].values["frames"] == "sharpest 50 %"


def test_frames_are_no_column_where_they_do_not_vary() -> None:
    metrics = make_metrics()
    metrics["sweep"]["parts"] = metrics["sweep"]["parts"][::2]
    table = describe_parts(record(metrics))
    assert table is not None
    assert "frames" not in {column.key for column in table.columns}


def test_frames_alone_are_not_called_parts() -> None:
    metrics = make_metrics()
    metrics["sweep"]["parts"] = metrics["sweep"]["parts"][:2]
    assert describe_parts(record(metrics)) is not None
    assert not vary_parts(record(metrics))


def test_chart_names_frames_only_where_they_vary() -> None:
    parts = record(make_metrics()).sweep.parts
    names = [row.name for row in list_part_rows(parts)]
    assert names[5] == "upper half; sharpest 50 %"
    figure = draw_rows(list_part_rows(parts[::2]), xlabel="")
    assert figure.axes[0].get_yticklabels()[2].get_text() == "upper half"


def test_unknown_pooling_keeps_its_name_and_draws_no_scheme() -> None:
    part = record(make_metrics()).sweep.parts[0]
    parts = [part.model_copy(update={"pooling": "my$pool"})]
    axes = draw_rows(list_part_rows(parts), xlabel="").axes[0]
    assert axes.get_yticklabels()[0].get_text() == "my$pool"
    assert not axes.artists
