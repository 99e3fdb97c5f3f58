"""Times that BORIS moved: by an observation's offset, and over films one after another."""

import pytest

from canemo.errors import AnnotationError
from canemo.formats.events.reading import read_events
from canemo.species import DOG

HEAD = (
    "Observation id\tObservation type\tSource\tTime offset (s)\tMedia duration (s)\tSubject\t"
    "Behavior\tBehavior type\tStart (s)\tStop (s)\tMedia file name\n"
)
MARKS = (
    "Observation id\tSource\tTime offset (s)\tMedia duration (s)\tBehavior\tBehavior type\tTime\t"
    "Media file name\n"
)
TWO = "player #1:/f/a.mp4;/f/b.mp4"


@pytest.fixture
def read(tmp_path):
    def write_and_read(text, **options):
        path = tmp_path / "boris.tsv"
        path.write_text(text, encoding="utf-8")
        return read_events(path, units=DOG.units, **options)

    return write_and_read


def row(start, stop, *, source=TWO, offset="0.0", durations="10.000;60.000", media="/f/a.mp4"):
    kind = "STATE" if start != stop else "POINT"
    return (
        f"o\tMedia file(s)\t{source}\t{offset}\t{durations}\t\tAU25\t{kind}\t{start}\t{stop}\t"
        f"{media}\n"
    )


def spans(found):
    return [(event.media, event.start_s, event.end_s) for event in found.events]


# -- films one after another -----------------------------------------------------------------------


def test_event_of_a_later_film_counts_from_its_start(read):
    found = read(HEAD + row(1, 2) + row(13, 14, media="/f/b.mp4") + row(70, 70, media="/f/b.mp4"))
    assert spans(found) == [("/f/a.mp4", 1, 2), ("/f/b.mp4", 3, 4), ("/f/b.mp4", 60, None)]
    assert found.notes == (
        "times of 3 row(s) run on over several films of one observation; each was counted from the "
        "start of its own",
    )
    assert found.columns["durations_s"] == "Media duration (s)"


def test_state_that_runs_on_is_in_each_of_its_films(read):
    found = read(HEAD + row(8, 13))
    assert spans(found) == [("/f/a.mp4", 8, 10), ("/f/b.mp4", 0, 3)]
    marks = read(
        MARKS
        + f"o\t{TWO}\t0\t10;60\tAU25\tSTART\t8\t/f/a.mp4\n"
        + f"o\t{TWO}\t0\t10;60\tAU25\tSTOP\t13\t/f/b.mp4\n"
    )
    assert spans(marks) == [("/f/a.mp4", 8, 10), ("/f/b.mp4", 0, 3)]


def test_films_of_other_players_run_beside_and_not_after(read):
    source, durations = "player #1:/f/a.mp4|player #2:/f/c.mp4", "10.000|12.000"
    found = read(HEAD + row(1, 2, source=source, durations=durations))
    assert spans(found) == [("/f/a.mp4", 1, 2)]
    assert found.notes == ()
    source, durations = f"{TWO}|player #2:/f/c.mp4;/f/d.mp4", "10.000;60.000|12.000;50.000"
    found = read(HEAD + row(13, 14, source=source, durations=durations))
    assert spans(found) == [("/f/b.mp4", 3, 4)]


@pytest.mark.parametrize("durations", ["NA", "", "10", "10;60;5", "10;NA", "10;0"])
def test_films_of_unknown_length_are_refused(read, durations):
    with pytest.raises(
        AnnotationError, match=r"2 films \('/f/a.mp4', '/f/b.mp4'\) one after.*one f"
    ):
        read(HEAD + row(1, 2, durations=durations))
    rest = read(
        HEAD + row(1, 2, durations=durations) + row(1, 2, source="player #1:/f/a.mp4"),
        skip_invalid=True,
    )
    assert spans(rest) == [("/f/a.mp4", 1, 2)]


def test_observation_whose_rows_name_several_films_is_refused(read):
    text = "Observation id,Media file,Behavior,Behavior type,Start (s),Stop (s)\n"
    with pytest.raises(AnnotationError, match=r"2 films \('a.mp4', 'b.mp4'\) one after another"):
        read(text + "o,a.mp4,AU25,STATE,1,2\no,b.mp4,AU25,STATE,13,14\n")
    apart = read(text + "o,a.mp4,AU25,STATE,1,2\np,b.mp4,AU25,STATE,3,4\n")
    assert spans(apart) == [("a.mp4", 1, 2), ("b.mp4", 3, 4)]


def test_older_boris_with_several_films_in_its_preamble_is_refused(read):
    text = (
        "Observation id\to\n\nPlayer #1\t/f/a.mp4\nPlayer #1\t/f/b.mp4\nPlayer #2\t/f/c.mp4\n\n"
        "Time\tMedia file path\tTotal length\tSubject\tBehavior\tStatus\n"
        "13\t/f/b.mp4\t70\t\tAU25\tPOINT\n"
    )
    with pytest.raises(AnnotationError, match=r"row 8: its observation shows 2 films"):
        read(text)
    assert spans(read(text.replace("Player #1\t/f/a.mp4\n", ""))) == [("/f/b.mp4", 13, None)]


def test_event_after_the_last_film_is_named(read):
    with pytest.raises(
        AnnotationError, match=r"row 2: 71 s lies after the end of 2 films .*70 s in"
    ):
        read(HEAD + row(71, 72))


# -- offset ----------------------------------------------------------------------------------------


def test_offset_of_an_observation_is_taken_off_and_told(read):
    found = read(HEAD + row(101, 102.5, source="player #1:/f/a.mp4", offset="100.0"))
    assert spans(found) == [("/f/a.mp4", 1, 2.5)]
    assert found.notes == ("time offset of 100 s taken off the times of 1 row(s)",)
    early = read(HEAD + row(-4, -3, source="player #1:/f/a.mp4", offset="-5"))
    assert spans(early) == [("/f/a.mp4", 1, 2)]


def test_offset_in_the_preamble_of_older_boris(read):
    found = read(
        "Observation id\to\nTime offset (s)\t2.5\n\nTime\tMedia file path\tBehavior\tStatus\n"
        "3\ta.mp4\tAU25\tSTART\n4\ta.mp4\tAU25\tSTOP\n"
    )
    assert spans(found) == [("a.mp4", 0.5, 1.5)]
    assert found.notes == ("time offset of 2.5 s taken off the times of 2 row(s)",)


def test_film_is_the_one_at_the_time_without_the_offset(read):
    """BORIS looks up the film with the offset in, and finds the next one or none."""
    found = read(HEAD + row(13, 14, offset="5", media="/f/b.mp4"))
    assert spans(found) == [("/f/a.mp4", 8, 9)]
    alone = read(HEAD + row(101, 102, source="player #1:/f/a.mp4", offset="100", media="Not found"))
    assert spans(alone) == [("/f/a.mp4", 1, 2)]


def test_time_that_the_offset_brings_before_the_film_and_offset_that_is_none(read):
    with pytest.raises(
        AnnotationError, match=r"Start \(s\) is '2': less the time offset of 5 s th"
    ):
        read(HEAD + row(2, 9, offset="5"))
    with pytest.raises(
        AnnotationError, match=r"row 2: the time offset is 'late'; expected seconds"
    ):
        read(HEAD + row(2, 9, offset="late"))
