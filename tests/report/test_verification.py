from canemo.report.words.verification import format_verification


def test_every_part_and_every_difference_has_a_line() -> None:
    differ = [{"key": "video.accuracy", "stored": 0.123, "recomputed": None}]
    found = {
        "files": {"metrics.json": False, "split.json": True},
        "predictions": 1.5e-13,
        "sections": {
            "levels": {"numbers": 20, "agree": 19, "differ": differ},
            "chance": {"numbers": 3, "agree": 3, "differ": []},
        },
        "notes": ["pictures are not looked at"],
        "agrees": False,
    }
    assert format_verification(found).splitlines() == [
        "files         1 of 2 unchanged",
        "predictions   differ by at most 1.5e-13",
        "levels        19 of 20 agree",
        "chance        3 of 3 agree",
        "changed or missing: metrics.json",
        "Numbers that differ:",
        "Key              Stored   Recomputed",
        "video.accuracy   0.123    –",
        "note: pictures are not looked at",
        "NOT everything agrees",
    ]
    sections = {"chance": found["sections"]["chance"]}
    whole = {**found, "files": {}, "sections": sections, "predictions": None, "agrees": True}
    assert format_verification(whole).splitlines()[-1] == "everything agrees"
