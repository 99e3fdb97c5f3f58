import pytest

from canemo.errors import AnnotationError
from canemo.formats.events.reading import read_events
from canemo.species import DOG

BORIS_AGGREGATED = """\
Observation id,Observation date,Media file name,FPS,Subject,Behavior,Modifiers,Behavior type,\
Start (s),Stop (s),Duration (s)
obs 1,2024-01-01,/home/ann/clips/rex_1.mp4,25,Rex,AU25 lips part,None,STATE,1.5,3.25,1.75
obs 1,2024-01-01,/home/ann/clips/rex_1.mp4,25,Rex,AU145,None,POINT,2.0,2.0,0
"""

BORIS_EVENTS = """\
Observation id\tobs 1

Media file(s)

Player #1\tC:\\clips\\rex_1.mp4

Observation date\t2024-01-01
Time offset (s)\t0

Time\tMedia file path\tTotal length\tFPS\tSubject\tBehavior\tModifiers\tComment\tStatus
1.5\tC:\\clips\\rex_1.mp4\t10\t25\tRex\tAU25\t\t\tSTART
2.0\tC:\\clips\\rex_1.mp4\t10\t25\tRex\tAU145\t\t\tPOINT
2.5\tC:\\clips\\rex_1.mp4\t10\t25\tRex\tAD19\t\t\tSTART
3.25\tC:\\clips\\rex_1.mp4\t10\t25\tRex\tAU25\t\t\tSTOP
4.0\tC:\\clips\\rex_1.mp4\t10\t25\tRex\tAD19\t\t\tSTOP
"""

ELAN = (
    "Tier\tBegin Time - hh:mm:ss.ms\tBegin Time - ss.msec\tEnd Time - hh:mm:ss.ms\t"
    "End Time - ss.msec\tAnnotation\tFile Path\n"
    "face\t00:00:01.500\t1.500\t00:00:03.250\t3.250\tAU25\trex_1.eaf\n"
    "AU26\t00:01:02.000\t62.000\t00:01:03.000\t63.000\tstrong\trex_1.eaf\n"
)


@pytest.fixture
def read(tmp_path):
    def write_and_read(text, name="events.csv", encoding="utf-8", **options):
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return read_events(path, units=DOG.units, **options)

    return write_and_read


def spans(found):
    return [(event.units, event.start_s, event.end_s) for event in found.events]


# -- forms -----------------------------------------------------------------------------------------


def test_boris_aggregated_events(read):
    found = read(BORIS_AGGREGATED)
    assert found.form == "boris_aggregated"
    assert spans(found) == [(("AU25",), 1.5, 3.25), (("AU145",), 2.0, None)]
    first = found.events[0]
    assert (first.media, first.observation, first.subject) == (
        "/home/ann/clips/rex_1.mp4", "obs 1", "Rex",
    )  # fmt: skip
    assert found.columns["code"] == "Behavior"
    assert "FPS" in found.unused


def test_boris_starts_and_stops_below_their_preamble(read):
    found = read(BORIS_EVENTS, "events.tsv")
    assert found.form == "boris_events"
    assert spans(found) == [(("AU25",), 1.5, 3.25), (("AU145",), 2.0, None), (("AD19",), 2.5, 4.0)]
    assert {event.media for event in found.events} == {"C:\\clips\\rex_1.mp4"}
    assert {event.observation for event in found.events} == {"obs 1"}
    assert found.events[0].row == 11


def test_newer_boris_names_starts_and_stops_in_its_behavior_type(read):
    found = read(
        "Observation id,Subject,Behavior,Behavior type,Time,Media file name\n"
        "o,,AU25,START,1,a.mp4\no,,AU25,STOP,2,a.mp4\no,,AU145,POINT,1.5,a.mp4\n"
    )
    assert spans(found) == [(("AU25",), 1, 2), (("AU145",), 1.5, None)]


def test_states_of_two_dogs_or_films_are_paired_apart(read):
    found = read(
        "Time,Media file path,Subject,Behavior,Status\n"
        "1,a.mp4,Rex,AU25,START\n2,a.mp4,Ida,AU25,START\n3,a.mp4,Rex,AU25,STOP\n"
        "4,a.mp4,Ida,AU25,STOP\n"
    )
    assert [(e.subject, e.start_s, e.end_s) for e in found.events] == [("Rex", 1, 3), ("Ida", 2, 4)]


def test_starts_and_stops_are_paired_by_time_not_by_line(read):
    found = read("Time,Behavior,Status\n5,AU25,STOP\n1,AU25,START\n", "rex_1.csv")
    assert spans(found) == [(("AU25",), 1, 5)]


def test_elan_codes_are_annotations_unless_the_tier_is_named_by_one(read):
    found = read(ELAN, "rex.txt")
    assert found.form == "elan"
    assert spans(found) == [(("AU25",), 1.5, 3.25), (("AU26",), 62, 63)]
    assert found.columns["start_s"] == "Begin Time - ss.msec"


@pytest.mark.parametrize(
    ("heading", "start", "end"),
    [
        ("Begin Time - msec,End Time - msec", "1500", "62250"),
        ("Begin Time - hh:mm:ss.ms,End Time - hh:mm:ss.ms", "00:00:01.500", "00:01:02.250"),
        ("Begin Time - ss.msec,End Time - ss.msec", "1.500", "62.250"),
        ("Begin Time,End Time", "00:01.5", "1:02.25"),
        ("Begin Time,End Time", "0:1.5", "0:01:2.250"),
    ],
)
def test_times_are_seconds_whatever_elan_wrote(read, heading, start, end):
    found = read(f"Tier,{heading},Annotation\nface,{start},{end},AU25\n")
    assert spans(found) == [(("AU25",), 1.5, 62.25)]


@pytest.mark.parametrize(
    ("text", "time_s"),
    [("5.", 5), ("5", 5), (".5", 0.5), ("0:5.", 5), ("90:59.5", 5459.5), ("1:00:00", 3600)],
)
def test_spellings_of_a_time(read, text, time_s):
    assert spans(read(f"code,start_s,end_s\nAU25,{text},\n")) == [(("AU25",), time_s, None)]


def test_plain_table_with_points_coders_and_clips_in_which_nothing_was_seen(read):
    found = read(
        "video_id,code,start_s,end_s,observer\n"
        "v1,AU25+26,0.5,2,ann\nv1,AU145,1.25,,ben\nv2,,,,ann\n"
    )
    assert found.form == "plain"
    assert spans(found) == [(("AU25", "AU26"), 0.5, 2), (("AU145",), 1.25, None), ((), None, None)]
    assert [event.observer for event in found.events] == ["ann", "ben", "ann"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_and_encodings_that_programs_write(read, separator, encoding):
    text = "video_id,code,start_s,end_s\nv1,AU25,1,2\n".replace(",", separator)
    assert spans(read(text, encoding=encoding)) == [(("AU25",), 1, 2)]


def test_decimal_commas_where_commas_do_not_separate(read):
    assert spans(read("video_id;code;start_s;end_s\nv1;AU25;0,5;1,25\n")) == [
        (("AU25",), 0.5, 1.25)
    ]


def test_columns_can_be_told(read):
    found = read(
        "clip,what,from,to\nv1,AU25,1,2\n",
        columns={"video_id": "clip", "code": "what", "start_s": "from", "end_s": "to"},
    )
    assert spans(found) == [(("AU25",), 1, 2)]
    assert found.events[0].video_id == "v1"
    assert found.columns["code"] == "what"


def test_coder_is_the_one_named_else_the_file(read):
    text = "video_id,code,start_s,end_s\nv1,AU25,1,2\n"
    assert read(text, "ann.csv").events[0].observer == "ann"
    assert read(text, observer="ben").events[0].observer == "ben"


# -- what cannot be used ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("v1,AU25,one,2", r"row 2: start_s is 'one'; expected seconds from 0 such as 12.5"),
        ("v1,AU25,-1,2", r"row 2: start_s is '-1'; expected seconds from 0"),
        ("v1,AU25,2,1", r"row 2: 'AU25' ends at 1 s, not after its start at 2 s"),
        ("v1,AU25,2,2", r"row 2: 'AU25' ends at 2 s, not after its start at 2 s"),
        ("v1,AU25,,2", r"row 2: 'AU25' has no start; give it in seconds"),
        ("v1,,1,2", r"row 2: there is a time but no code"),
        ("v1,AU25,nan,2", r"row 2: 'AU25' has no start"),
        ("v1,AU25,1:75,200", r"row 2: start_s is '1:75'; expected.* below 60 after a colon"),
        ("v1,AU25,1:60,200", r"row 2: start_s is '1:60'"),
        ("v1,AU25,0,1:60:00", r"row 2: end_s is '1:60:00'"),
        ("v1,AU25,-0:30,200", r"row 2: start_s is '-0:30'"),
        ("v1,AU25,.,2", r"row 2: start_s is '.'"),
    ],
)
def test_bad_row_is_named_with_what_is_wanted(read, row, message):
    with pytest.raises(AnnotationError, match=message):
        read(f"video_id,code,start_s,end_s\n{row}\n")


def test_state_event_without_a_stop(read):
    with pytest.raises(AnnotationError, match=r"state event 'AU25' at 1 s has no stop; pair it"):
        read("video_id,Behavior,Behavior type,Start (s),Stop (s)\nv1,AU25,STATE,1,NA\n")


MARKS = "Time,Behavior,Status\n"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1,AU25,START\n", r"row 2: START of 'AU25' at 1 s has no STOP"),
        ("1,AU25,START\n2,AU25,START\n3,AU25,STOP\n", r"row 2: START of 'AU25' at 1 s has no STOP"),
        ("1,AU25,STOP\n", r"row 2: STOP of 'AU25' at 1 s has no START"),
        ("1,AU25,START\n1,AU25,STOP\n", r"row 2: 'AU25' stops at its start, 1 s"),
        ("1,AU25,BEGUN\n", r"row 2: Status is 'BEGUN'; expected START, STOP or POINT"),
        ("x,AU25,START\n", r"row 2: Time is 'x'; expected seconds"),
        (",AU25,START\n", r"row 2: 'AU25' has no time"),
    ],
)
def test_bad_marks_are_named(read, rows, message):
    with pytest.raises(AnnotationError, match=message):
        read(MARKS + rows)


def test_what_cannot_be_used_is_left_out_and_named_when_asked(read):
    found = read(MARKS + "1,AU25,START\n2,AD19,START\n3,AD19,STOP\n", skip_invalid=True)
    assert spans(found) == [(("AD19",), 2, 3)]
    assert found.left_out == ("row 2: START of 'AU25' at 1 s has no STOP.",)


def test_all_bad_rows_are_told_at_once(read):
    with pytest.raises(AnnotationError, match=r"2 entries cannot be used") as caught:
        read("video_id,code,start_s,end_s\nv1,AU25,x,2\nv1,AU26,1,y\n")
    assert "row 2" in str(caught.value)
    assert "row 3" in str(caught.value)
    assert "--skip-invalid" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"is empty; give a table of events"),
        ("a,b\n1,2\n", r"holds no table of events: no row has headings.*first line is 'a,b'"),
        ("face\t1.5\t3.2\tAU25\n", r"let an ELAN export have its row of headings"),
    ],
)
def test_file_without_a_table_of_events(read, text, message):
    with pytest.raises(AnnotationError, match=message):
        read(text)


def test_file_that_is_not_there_or_no_text(read, tmp_path):
    with pytest.raises(AnnotationError, match=r"none\.csv: cannot be read"):
        read_events(tmp_path / "none.csv", units=DOG.units)
    with pytest.raises(AnnotationError, match=r"is not UTF-8 text; save it as 'CSV UTF-8'"):
        read("käse", encoding="latin-1")


def test_unknown_field_and_heading_that_is_not_there(read):
    text = "video_id,code,start_s,end_s\nv1,AU25,1,2\n"
    with pytest.raises(AnnotationError, match=r"'codes' is not known.*did you mean 'code'"):
        read(text, columns={"codes": "code"})
    with pytest.raises(AnnotationError, match=r"no row has headings for among them 'what'"):
        read(text, columns={"code": "what"})


# -- what others write beside it -------------------------------------------------------------------


def test_variables_of_boris_do_not_pass_for_its_own_columns(read):
    found = read(
        "Observation id,Code,Status,Time,Subject,Behavior,Behavior type,Start (s),Stop (s)\n"
        "o,AU26,POINT,9,x,AU25,STATE,1,2\n"
    )
    assert spans(found) == [(("AU25",), 1, 2)]
    found = read(
        "Observation id,Start time,Stop time,Time,Subject,Subject,Behavior,Behavior type,Time\n"
        "o,7,8,14:30,x,Rex,AU25,START,1\no,7,8,14:30,x,Rex,AU25,STOP,2\n"
    )
    assert found.form == "boris_events"
    assert spans(found) == [(("AU25",), 1, 2)]
    assert found.events[0].subject == "Rex"
    assert "start_s" not in found.columns
    assert "Start time" in found.unused
    points = read("Start time,Stop time,Time,Behavior,Behavior type\n7,8,1,AU145,POINT\n")
    assert spans(points) == [(("AU145",), 1, None)]


@pytest.mark.parametrize("nothing", ["NA", "Not found", ""])
def test_what_boris_has_not_leaves_the_name_of_the_observation(read, nothing):
    found = read(
        "Observation id,Media file name,Subject,Behavior,Behavior type,Start (s),Stop (s)\n"
        f"rex_1,{nothing},{nothing},AU25,STATE,1,2\n"
    )
    (event,) = found.events
    assert (event.media, event.subject, event.observation) == ("", "", "rex_1")


def test_states_of_two_modifiers_are_paired_apart(read):
    found = read(
        "Time,Behavior,Modifier #1,Modifier #2,Behavior type\n"
        "1,AU101,A,L,START\n2,AU101,A,R,START\n3,AU101,A,L,STOP\n4,AU101,A,R,STOP\n"
    )
    assert spans(found) == [(("AU101",), 1, 3), (("AU101",), 2, 4)]
    assert [event.modifiers for event in found.events] == ["A|L", "A|R"]
    assert found.columns["modifiers"] == "Modifier #1, Modifier #2"
    assert found.unused == ()


def test_a_tier_of_a_unit_whose_annotation_denies_it_is_no_unit(read):
    rows = "".join(f"AU25\t{at}\t{at + 1}\t{text}\n" for at, text in enumerate(
        ["absent", "0", "not visible", "?", "strong", ""]
    ))  # fmt: skip
    found = read("Tier\tBegin Time\tEnd Time\tAnnotation\n" + rows)
    assert [event.units for event in found.events] == [
        ("AU25 absent",), ("AU25 0",), ("AU25 not visible",), ("AU25 ?",), ("AU25",), ("AU25",),
    ]  # fmt: skip


def test_elan_with_a_column_for_each_tier(read):
    found = read(
        "Begin Time - ss.msec\tEnd Time - ss.msec\tAU25\tAU101 inner brow\tnotes\n"
        "1\t2\tx\t\tfine\n3\t4\tx\tabsent\t\n"
    )
    assert found.form == "elan"
    assert spans(found) == [
        (("AU25",), 1, 2),
        (("AU25",), 3, 4),
        (("AU101 inner brow absent",), 3, 4),
    ]
    assert found.columns["tier"] == "AU25, AU101 inner brow"
    assert found.unused == ("notes",)


def test_more_cells_than_headings_are_not_dropped(read):
    with pytest.raises(
        AnnotationError, match=r"row 2: there are more cells than the 4 headings; dec"
    ):
        read("video_id,code,start_s,end_s\nv1,AU25,0,5,1,25\n")
    padded = read("video_id,code,start_s,end_s,,\nv1,AU25,1,2,,\nv1,AU26,1,2,,,,\n")
    assert spans(padded) == [(("AU25",), 1, 2), (("AU26",), 1, 2)]
    with pytest.raises(AnnotationError, match=r"row 2: there are more cells"):
        read("video_id,code,start_s,end_s,,\nv1,AU25,0,5,1,25\n")


@pytest.mark.parametrize(
    "rows",
    [
        'face\t1\t2\t"AU25\t\nface\t3\t4\tAU26\t\n',
        'face\t1\t2\tAU25\t"big\nface\t3\t4\tAU26\t\n',
    ],
)
def test_a_quote_that_is_not_closed_swallows_no_rows(read, rows):
    with pytest.raises(AnnotationError, match=r"row 2: cell .* runs over several lines; close"):
        read("Tier\tBegin Time\tEnd Time\tAnnotation\tNote\n" + rows)


def test_comment_of_several_lines_is_no_fault(read):
    found = read('code,start_s,end_s,Comment\nAU25,1,2,"one,\ntwo"\nAU26,3,4,\n')
    assert spans(found) == [(("AU25",), 1, 2), (("AU26",), 3, 4)]
