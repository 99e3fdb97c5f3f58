import pytest

from canemo.bench import LABELS, _draw_origin, measure_cost, measure_peak_mib
from canemo.errors import ConfigError


def test_drawn_study_has_the_papers_shape():
    origin = _draw_origin(19_392)
    assert len(origin) == 19_392
    assert origin["video_id"].nunique() == 248
    assert origin["subject_id"].nunique() == 29
    clips = origin.drop_duplicates("video_id")
    assert clips["subject_id"].value_counts().between(8, 9).all()  # "roughly nine times"
    assert (clips["label"] == LABELS[0]).mean() == pytest.approx(1 / 3, abs=0.03)
    assert not origin.duplicated(["video_id", "frame_index"]).any()


def test_lines_hold_what_was_measured():
    embed, passes, probe = measure_cost(["efficientnet_lite0"], crops=1000)
    assert [embed.stage, passes.stage, probe.stage] == ["embed", "passes", "probe"]
    assert passes.items == 1000 + round(1000 * 8 * 22 / 29)
    assert passes.seconds == pytest.approx(passes.items / embed.items_per_second)
    assert (probe.items, embed.note) == (1000, "")
    assert probe.seconds > 0
    assert embed.peak_mib <= probe.peak_mib <= measure_peak_mib()


def test_preset_of_another_method_is_refused():
    with pytest.raises(ConfigError, match="learns by 'lda'"):
        measure_cost(preset="strict")
