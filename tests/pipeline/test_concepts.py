import json
import re

import numpy as np
import pandas as pd
import pytest

from canemo.config import load_config
from canemo.errors import AnnotationError, ConfigError, ModelError, OutputExistsError
from canemo.pipeline.concepts import concepts_study
from canemo.study.records.concepts import ConceptsRecord
from painted import PaintedFaceDetector, put_in_place, write_painted_study

OVERRIDES = {
    "backbone": {"name": "efficientnet_lite0"},
    "evaluate": {"resamples": 200, "permutations": 100},
    "probe": {"penalties": (1.0,)},
}
FAST = ["--backbone", "efficientnet_lite0", "--set", "evaluate.resamples=200",
        "--set", "probe.penalties=[1.0]"]  # fmt: skip

pytestmark = pytest.mark.usefixtures("painted_detector", "undrawn")

OPEN = [f"s{s}c{c}" for s in range(4) for c in (0, 2)]
SHUT = [f"s{s}c{c}" for s in range(4) for c in (1, 3)]
CODED = (
    "Observation id,Media file name,Subject,Behavior,Behavior type,Start (s),Stop (s),Comment\n"
    + "".join(
        f"{name},/films/dog{name[1]} clip{name[3]}.mp4,,AU25+26,STATE,0,1,fine\n" for name in OPEN
    )
    + "".join(
        f"{name},/films/dog{name[1]} clip{name[3]}.mp4,,<b>gaze</b>,POINT,0.2,0.2,\n"
        for name in SHUT
    )
    + "other,/films/other.mp4,,AU25,STATE,0,1,\n"
    + "s0c0,/films/dog0 clip0.mp4,,AD137,STATE,0.4,5,\n"
)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_painted_study(tmp_path_factory.mktemp("concepts") / "Hunde")


@pytest.fixture(scope="module")
def coded(study):
    path = study / "boris export.csv"
    path.write_text(CODED, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def config(study):
    return load_config(study, overrides=OVERRIDES)


@pytest.fixture(scope="module")
def found(study, coded, config):
    with pytest.MonkeyPatch.context() as patch:
        put_in_place(patch, PaintedFaceDetector())
        return concepts_study(study, coded, config=config, command="canemo concepts Hunde")


def read(found):
    """Return what the JSON file holds, as plain lists and dictionaries."""
    return found.record.to_dict()


def units(found):
    return {unit["unit"]: unit for unit in read(found)["units"]}


def test_chin_that_makes_the_label_is_decodable_and_what_the_condition_leans_on(found):
    chin = units(found)["AU25"]
    assert chin["name"] == "lips part"
    assert (chin["frames"], chin["shown"]) == (80, 40)
    assert chin["verdict"] == "decodable"
    assert chin["within"]["auroc"] > 0.9
    assert chin["permutation"]["exact"]
    assert chin["permutation"]["n"] == 6**4
    assert chin["direction_verdict"] == "aligned"
    assert chin["direction"]["correlation"]["value"] == pytest.approx(1)
    assert chin["direction"]["label"] == "anticipation"
    assert {k: v for k, v in units(found)["AU26"].items() if k not in ("unit", "name")} == {
        k: v for k, v in chin.items() if k not in ("unit", "name")
    }


def test_all_that_was_understood_and_not_is_told(found):
    events = read(found)["events"]
    (file,) = events["files"]
    assert file["form"] == "boris_aggregated"
    assert file["columns"]["media"] == "Media file name"
    assert file["unused_columns"] == ["Comment"]
    assert events["events"] == 18
    assert events["unknown_units"] == {"<b>gaze</b>": 8}
    (unmatched,) = events["unmatched"]
    assert "row 18: AU25 0 to 1 s: media '/films/other.mp4' is not a video" in unmatched
    (outside,) = events["outside"]
    assert "row 19: AD137 0.4 to 5 s: reaches beyond video 's0c0' (0 s to 1 s)" in outside
    assert units(found)["AD137"]["verdict"] == "too few"
    assert units(found)["AD137"]["reason"].startswith("1 tested dog(s) show it")
    assert units(found)["AD137"]["shown"] == 3


def test_results_are_complete_and_say_how_they_were_made(found, study):
    assert found.path == study / "concepts" / "boris export.json"
    assert json.loads(found.path.read_text(encoding="utf-8")) == read(found)
    assert ConceptsRecord.read(found.path) == found.record
    protocol = read(found)["protocol"]
    assert (protocol["penalty"], protocol["permutations"], protocol["seed"]) == (1.0, 100, 0)
    assert protocol["backbone"] == "efficientnet_lite0"
    assert read(found)["environment"]["command"] == "canemo concepts Hunde"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 1}, "schema is 1, this version of canemo reads schema 2 of 'canemo.concepts'"),
        ({"format": "canemo.run"}, "format is 'canemo.run', wanted 'canemo.concepts'"),
        ({"extra": 1}, "extra: extra inputs are not permitted"),
        ({"units": [{"unit": "AU25"}]}, "units.0.name: field required and .* more like it"),
    ],
)
def test_results_of_another_version_say_what_to_do(found, tmp_path, changes, message):
    path = tmp_path / "other.json"
    path.write_text(json.dumps({**read(found), **changes}), encoding="utf-8")
    with pytest.raises(ModelError, match=f"{message}; make it again with `canemo concepts STUDY`"):
        ConceptsRecord.read(path)


def test_table_holds_the_coding_and_scores_of_unseen_dogs(found):
    table = pd.read_parquet(found.table)
    chin = table[table["unit"] == "AU25"]
    assert len(chin) == 80
    assert chin.groupby("video_id")["shown"].first().to_dict() == {
        **dict.fromkeys(OPEN, True),
        **dict.fromkeys(SHUT, False),
    }
    assert chin["score"].notna().all()
    by_state = chin.groupby("shown")["score"].mean()
    assert by_state[True] > by_state[False]
    assert np.corrcoef(chin["score"], chin["condition_score"])[0, 1] == pytest.approx(1)
    assert table[table["unit"] == "AD137"]["score"].isna().all()


def test_page_shows_it_and_needs_nothing_else(found):
    page = found.report.read_text(encoding="utf-8")
    assert "AU25 and AU26" in page
    assert "lips part" in page
    assert "is no cause" in page
    assert "all there are where these are few, else 100 drawn" in page
    assert "<b>gaze" not in page
    assert "&lt;b&gt;gaze" in page
    assert page.count("data:image/png;base64,") == 2  # of units that were judged
    assert not re.search(r'(?:src|href)="(?!data:|#word-)', page)


def test_results_are_not_overwritten_unasked(found, study, coded, config):
    before = found.path.read_bytes()
    with pytest.raises(
        OutputExistsError, match=r"boris export\.json is there already; give .*--na"
    ):
        concepts_study(study, coded, config=config)
    assert found.path.read_bytes() == before


def test_two_coders_are_compared_and_what_they_disagree_on_left_out(
    study, config, coded, tmp_path, painted_detector
):
    head = "video_id,code,start_s,end_s\n"
    ann, ben = tmp_path / "ann.csv", tmp_path / "other.csv"
    ann.write_text(head + "".join(f"{name},AU25,0,1\n" for name in OPEN), encoding="utf-8")
    ben.write_text(head + "s0c0,AU25,0,0.5\ns0c2,AU25,0,1\ns1c0,,,\n", encoding="utf-8")
    found = concepts_study(
        study, [ann, f"ben={ben}"], config=config, name="two", all_coded=True, permutations=50
    )
    (pair,) = read(found)["agreement"]["pairs"]
    assert pair["observers"] == ["ann", "ben"]
    # of ann's 40 frames ben saw 3 and 5; the clips that ben does not name ben has coded too
    assert pair["frames"] == 80
    assert pair["agreement"] == pytest.approx(48 / 80)
    assert pair["prevalence"] == [40 / 80, 8 / 80]
    (unit,) = read(found)["units"]
    assert unit["frames_disagreed"] == 32
    assert unit["frames"] == 48
    assert read(found)["events"]["observers"] == ["ann", "ben"]
    table = pd.read_parquet(found.table)
    assert table["shown"].isna().sum() == 32
    named = concepts_study(study, [ann, f"ben={ben}"], config=config, name="named", permutations=50)
    (pair,) = read(named)["agreement"]["pairs"]  # of s0c0, s0c2 and s1c0
    assert (pair["frames"], pair["agreement"]) == (15, pytest.approx(8 / 15))
    assert "clips that both coders named" in read(named)["agreement"]["method"]


@pytest.mark.parametrize("all_coded", [False, True])
def test_passes_for_different_units_do_not_deny_each_others(canemo, study, tmp_path, all_coded):
    head = "video_id,code,start_s,end_s\n"
    mouth, ears = tmp_path / "mouth.csv", tmp_path / "ears.csv"
    mouth.write_text(head + "".join(f"{name},AU25,0,1\n" for name in OPEN) + "s0c1,,,\n")
    ears.write_text(head + "".join(f"{name},EAD103,0,0.05\n" for name in OPEN + SHUT))
    flags = ["--all-coded"] if all_coded else []
    options = ["--name", f"passes {all_coded}", "--permutations", 50, *FAST, *flags]
    code, out, _ = canemo("-q", "concepts", study, "--events", mouth, "--events", ears, *options)
    assert code == 0
    found = json.loads((study / "concepts" / f"passes {all_coded}.json").read_text())
    by_name = {unit["unit"]: unit for unit in found["units"]}
    assert (by_name["AU25"]["shown"], by_name["EAD103"]["shown"]) == (40, 16)
    assert by_name["AU25"]["frames"] == (80 if all_coded else 45)
    assert {unit["frames_disagreed"] for unit in by_name.values()} == {0}
    assert found["agreement"]["pairs"] == []
    assert found["events"]["units_never_used"] == {"ears": ["AU25"], "mouth": ["EAD103"]}
    assert "Warning: coder 'ears' never used AU25; coder 'mouth' never used EAD103: of these" in out
    assert "unit that a coder never used: ears, AU25" in out


def test_table_counts_events_that_no_frame_shows_and_frames_disagreed(canemo, study, tmp_path):
    head = "video_id,code,start_s,end_s,observer\n"
    table = tmp_path / "both.csv"
    table.write_text(
        head + "s0c0,AU25,0,1,ann\ns0c0,AU25,0,0.5,ben\ns0c0,AU25,0.61,0.65,ben\n"
        "s0c2,AU25,0.61,0.65,ben\n"
    )
    code, out, _ = canemo("-q", "concepts", study, "--events", table, "--name", "count", *FAST)
    assert code == 0
    assert re.search(r"unseen +disagreed +Verdict", out)
    assert re.search(r"AU25 \(lips part\) +8 +3 +1 .* 2 +2 +too few", out)


def test_times_moved_and_subjects_assumed_are_told(canemo, study, tmp_path):
    table = tmp_path / "moved.csv"
    table.write_text(
        "Observation id,Source,Time offset (s),Media duration (s),Subject,Behavior,Behavior type,"
        "Start (s),Stop (s),Media file name\n"
        "o,player #1:dog0 clip0.mp4,100,1,Bello,AU25,STATE,100,100.5,Not found\n"
    )
    code, out, _ = canemo("-q", "concepts", study, "--events", table, "--name", "moved", *FAST)
    assert code == 0
    assert "times moved: moved.csv: time offset of 100 s taken off the times of 1 row(s)" in out
    assert "taken for the video's own: moved.csv: 1 row(s) of subject 'Bello', whom" in out
    found = json.loads((study / "concepts" / "moved.json").read_text())
    assert (found["units"][0]["frames"], found["units"][0]["shown"]) == (5, 3)


def test_clips_without_events_are_left_out_with_a_warning(study, config, tmp_path):
    some = tmp_path / "some.csv"
    some.write_text("video_id,code,start_s,end_s\ns0c0,AU25,0,1\n", encoding="utf-8")
    found = concepts_study(study, some, config=config, name="some")
    assert read(found)["events"]["clips_coded"] == 1
    assert len(read(found)["events"]["clips_left_out"]) == 15
    (warning,) = [text for text in read(found)["warnings"] if "no event" in text]
    assert "15 clip(s) have no event and are left out" in warning
    assert read(found)["units"][0]["verdict"] == "too few"


def test_no_unit_in_any_clip_is_said_and_rows_without_events_are_not_enough(
    study, config, tmp_path
):
    table = tmp_path / "late.csv"
    table.write_text("video_id,code,start_s,end_s\ns0c0,AU25,7,8\n", encoding="utf-8")
    found = concepts_study(study, table, config=config, name="late")
    assert read(found)["units"] == []
    assert "lies outside video 's0c0' (0 s to 1 s)" in read(found)["events"]["outside"][0]
    assert "No unit was coded in any clip" in found.report.read_text(encoding="utf-8")
    assert len(pd.read_parquet(found.table)) == 0
    table.write_text("video_id,code,start_s,end_s\ns0c0,,,\n", encoding="utf-8")
    with pytest.raises(AnnotationError, match=r"late\.csv: no event of a video of the study, only"):
        concepts_study(study, table, config=config, name="none")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"penalty": 0.0}, r"penalty = 0; expected more than 0"),
        ({"permutations": 0}, r"permutations = 0; expected at least 1"),
        ({"penalty": float("nan")}, r"penalty = nan; expected more than 0"),
        ({"penalty": float("inf")}, r"penalty = inf; expected more than 0"),
        ({"point_window_s": float("nan")}, r"point_window_s = nan; expected seconds from 0"),
        ({"point_window_s": float("inf")}, r"point_window_s = inf; expected seconds from 0"),
        ({"point_window_s": -1.0}, r"point_window_s = -1; expected seconds from 0"),
    ],
)
def test_impossible_settings_are_refused(study, coded, config, settings, message):
    with pytest.raises(ConfigError, match=message):
        concepts_study(study, coded, config=config, name="no", **settings)


def test_events_of_other_videos_are_refused_before_any_work(
    study, config, tmp_path, painted_detector
):
    other = tmp_path / "other.csv"
    other.write_text("video_id,code,start_s,end_s\nx1,AU25,0,1\n", encoding="utf-8")
    with pytest.raises(
        AnnotationError, match=r"none of 1 row\(s\) names a video of .*s0c0"
    ) as caught:
        concepts_study(study, other, config=config, name="no")
    assert "video_id 'x1' is not a video of the study" in str(caught.value)
    assert painted_detector.images_seen == 0
    with pytest.raises(AnnotationError, match=r"no file of events; give at least one"):
        concepts_study(study, [], config=config)


def test_files_of_one_name_do_not_pass_for_one_coder(study, config, tmp_path):
    files = [tmp_path / who / "coded.csv" for who in ("ann", "ben")]
    with pytest.raises(AnnotationError, match=r"2 files of events are called 'coded'.*CODER=coded"):
        concepts_study(study, files, config=config)


def test_command_prints_the_tables(canemo, study, coded):
    code, out, _ = canemo(
        "-q", "concepts", study, "--events", coded, *FAST, "--name", "told", "--permutations", 50
    )
    assert code == 0
    assert "AU25 and AU26 can be decoded on dogs the probe has not seen" in out
    assert "media = 'Media file name'" in out
    assert "not a DogFACS code, kept as given: '<b>gaze</b>', 8 times" in out
    assert re.search(r"AU25 \(lips part\) +80 +40 +4 +1\.000 .* decodable", out)
    assert re.search(r"AU25 \(lips part\) +\+1\.00 \(.*shares its direction", out)
    assert re.search(r"AD137 .* too few to tell: 1 tested dog", out)
    assert "report:" in out


def test_command_takes_headings_and_prints_json(canemo, study, tmp_path):
    table = tmp_path / "mine.tsv"
    rows = "".join(f"{name}\tAU25\t0\t1\n" for name in OPEN)
    table.write_text("clip\twhat\tfrom\tto\n" + rows, encoding="utf-8")
    options = ["--column", "video_id=clip", "--column", "code=what", "--column", "start_s=from",
               "--column", "end_s=to", "--all-coded", "--json", "--permutations", 50]  # fmt: skip
    code, out, _ = canemo("-q", "concepts", study, "--events", table, *FAST, *options)
    assert code == 0
    assert json.loads(out)["units"][0]["verdict"] == "decodable"
    assert json.loads(out)["events"]["clips_left_out"] == []


def test_command_states_failures(canemo, study, tmp_path):
    code, _, err = canemo("-q", "concepts", study, "--events", tmp_path / "none.csv")
    assert code == 1
    assert "none.csv: cannot be read" in err
    code, _, err = canemo("-q", "concepts", study, "--events", "x.csv", "--column", "code")
    assert code == 1
    assert "--column 'code': expected OURS=THEIRS, e.g. code=Behavior" in err
    code, _, err = canemo("-q", "concepts", study)
    assert code == 2
    assert "--events" in err
