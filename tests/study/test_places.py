"""Which files of a folder are material, and which canemo made of it."""

from __future__ import annotations

from canemo.study.places import list_material


def test_what_was_made_of_a_study_is_no_material(tmp_path):
    study = tmp_path / "kennel" / "study"
    kept = ["videos.csv", "a.mp4", "more/b.mp4", "more/runs/c.mp4"]
    made = ["runs/one/figures/eigencam.png", "cache/crops/d.parquet", "dynamics/e.png"]
    for name in kept + made:
        path = study / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert list_material(tmp_path) == sorted(study / name for name in kept)
    assert list_material(study / "runs" / "one") == [study / "runs/one/figures/eigencam.png"]


def test_a_folder_without_a_table_of_videos_is_taken_whole(tmp_path):
    for name in ("runs/a.mp4", "b.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert list_material(tmp_path) == [tmp_path / "b.mp4", tmp_path / "runs/a.mp4"]
