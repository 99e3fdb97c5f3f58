import html
import json
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import openpyxl
import pytest
from PIL import Image as PilImage

from canemo.errors import ModelError
from canemo.explain.alignment import MeanFace
from canemo.explain.parts import ONE_SUBJECT
from canemo.parallel import silent
from canemo.report.charts import explanation
from canemo.report.charts.crops import overlay_cam, overlay_evidence, take_colour
from canemo.report.charts.explanation import Example, colour_regions, draw_explanation
from canemo.report.pages.explanation import write_page
from canemo.report.pages.run import write_report
from canemo.report.words.explanation import format_explanation, write_sentence, write_verdict
from canemo.species import DOG, SPECIES
from canemo.study.records.explanation import ExplainedModel
from report_fixtures import (
    ANTICIPATION,
    FRUSTRATION,
    Page,
    make_evaluation,
    make_explanation,
    make_gap,
    make_method,
    make_metrics,
    make_model,
    make_permutation,
    record_explanation,
    write_explanation,
    write_run,
)


def tell(model):
    return write_sentence(ExplainedModel.model_validate(model))


def tell_all(content):
    return format_explanation(record_explanation(content))


# -- sentences ------------------------------------------------------------------------------------


def test_sentence_says_where_the_difference_lies_and_how_large_the_place_is():
    assert tell(make_model()) == (
        "Of the difference in evidence between “frustration” and “positive anticipation” "
        "(2.40 logits; 0 is undecided, each 1 multiplies the odds by 2.7), 61 % lies in the "
        "muzzle, 16 % of the area."
    )


def test_sentence_says_where_the_largest_part_may_be_chance():
    model = make_model(methods=[make_method(gap=make_gap(p=0.06))])
    assert tell(model).endswith(
        "61 % lies in the muzzle, 16 % of the area (which cannot be told from chance)."
    )
    model = make_model(methods=[make_method(gap=make_gap(p=0.05))])
    assert "chance" not in tell(model)


def test_small_place_that_holds_more_for_its_size_is_named_beside_the_large_one():
    percents = {"background": 52.0, "muzzle": 31.0}
    rows = [{**row, "percent": percents.get(row["region"], 1.0)} for row in make_gap()]
    assert tell(make_model(methods=[make_method(gap=rows)])).endswith(
        "52 % lies in the background, 50 % of the area; relative to its area most is in another "
        "part: 31 % lies in the muzzle, 16 % of the area."
    )


def test_map_whose_parts_sum_to_no_logit_claims_no_shares_of_it():
    lead = make_method("occlusion", title="a sliding square", gap=make_gap(whole=0.5))
    assert tell(make_model(methods=[lead])).startswith(
        "The evidence (0 is undecided, each 1 multiplies the odds by 2.7) of “frustration” and "
        "“positive anticipation” differs by 2.40 logits; the parts of the leading map "
        "(a sliding square) do not sum to that. Told from chance: the muzzle (+0.30 in "
        "16 % of the area), "
    )
    unclear = make_method("occlusion", gap=make_gap(whole=0.5, p=0.2, clear=False))
    sentence = tell(make_model(methods=[unclear]))
    assert sentence.endswith("By this map no part of the face can be told from chance.")
    text = tell_all(make_explanation(methods=[lead]))
    assert "Held by the map" in text
    assert "Difference [logits]" not in text


def test_map_that_failed_claims_nothing():
    failed = make_method(passed=False, verdict="FAILS: covering its best places costs no more")
    sentence = tell(make_model(methods=[failed, make_method("eigencam")]))
    assert "exact contributions) failed a test it was put to: covering its best" in sentence
    assert "Do not read the pictures as an explanation" in sentence
    assert "%" not in sentence
    assert "muzzle" not in sentence


def test_map_beside_the_leading_one_may_fail():
    assert "61 %" in tell(make_model())  # EigenCAM fails there


def test_unclear_difference_is_said_to_be_unclear():
    sentence = tell(make_model(methods=[make_method(gap=make_gap(clear=False))]))
    assert "does not differ clearly" in sentence
    assert "%" not in sentence


def test_difference_that_could_not_be_measured_is_not_called_small():
    missing = {"gap_low": None, "percent": None, "reason": DOG.fill(ONE_SUBJECT)}
    rows = [{**row, **missing} for row in make_gap()]
    model = make_model(methods=[make_method(gap=rows)], difference=rows[-1])
    sentence = tell(model)
    assert sentence == f"How the labels differ is not known: {DOG.fill(ONE_SUBJECT)}."
    sentence = tell(make_model(methods=[make_method(gap=None)]))
    assert "(exact contributions) has no parts that add up" in sentence


def test_map_that_was_not_tested_says_so():
    untested = make_method(passed=None, verdict="not tested where it counts")
    assert tell(make_model(methods=[untested])).endswith("This map is not tested where it counts.")
    assert "not tested" not in tell(make_model())


def test_model_not_told_from_chance_is_said_first_and_its_maps_explain_no_answer(tmp_path):
    evaluation = make_evaluation(make_metrics(permutation=make_permutation(0.4))).to_dict()
    content = make_explanation(evaluation=evaluation)
    verdict = "This model could not be told from chance (balanced accuracy 82 %"
    assert tell_all(content).startswith(verdict)
    page = render(add_figures(tmp_path, "maps_contribution", "maps_eigencam"), content)
    assert "lead unclear" in {tag.get("class") for tag in page.find("p")}
    assert page.text.index(verdict) < page.text.index(tell(make_model()))
    assert "The result does not stand, so shown small and grey: no explanation" in page.text
    model = record_explanation(content).models[0]
    assert [model.find_flaw(each) for each in model.methods] == [
        "The result does not stand",
        "Failed its tests",
    ]
    told = record_explanation(make_explanation()).models[0]
    assert told.find_flaw(told.lead) == write_verdict(told) == ""


@pytest.mark.parametrize("clear", [True, False])
def test_pictures_without_a_condition_claim_no_difference(clear):
    model = make_model(is_labelled=False, methods=[make_method(gap=make_gap(clear=clear))])
    sentence = tell(model)
    assert "no known condition" in sentence
    assert "%" not in sentence


# -- for a terminal -------------------------------------------------------------------------------


def test_text_holds_the_sentence_verdicts_and_both_tables():
    lines = tell_all(make_explanation(notes=["two clips are short"])).splitlines()
    assert lines[0] == f"dino: {tell(make_model())}"
    assert lines[1] == "regions: landmarks of the study (256 of 256 crops)"
    assert "note: Two clips are short." in lines
    unmade = "Not made: no such network."
    assert f"map exact contributions: passes every test that was made. {unmade}" in lines
    assert f"map EigenCAM: fails its tests: it stays the same. {unmade}" in lines
    gap, lost = (i for i, line in enumerate(lines) if line.startswith("Region "))
    assert "Difference [logits]" in lines[gap]
    assert "Lost [logits]" in lines[lost]
    rows = {line.split()[0]: line.split() for line in lines[gap + 1 : gap + 8]}
    assert lines[gap + 8].startswith("(Region: part of the face, or all; Difference [logits]: mean")
    assert rows["muzzle"] == ["muzzle", "1.46", "1.16", "to", "1.76", "61", "%", "0.004"]
    assert rows["all"] == ["all", "2.40", "1.30", "to", "3.50", "100", "%", "<", "0.001"]
    assert list(rows) == [*DOG.regions, "all"]
    assert [line.split()[0] for line in lines[lost + 1 : lost + 7]] == list(DOG.regions)


def test_text_of_pictures_without_a_condition_has_no_table():
    text = tell_all(make_explanation(is_labelled=False))
    assert "Region  " not in text
    assert "logits" not in text


def test_text_shows_what_is_not_known_as_a_dash():
    nothing = {"gap": None, "gap_low": None, "gap_high": None, "percent": None, "p_holm": None}
    rows = [{**row, **nothing, "p": None} for row in make_gap()]
    lines = tell_all(make_explanation(methods=[make_method(gap=rows)])).splitlines()
    assert ["eyes", "–", "–", "–", "–"] in [line.split() for line in lines]


def test_text_and_page_speak_of_the_animals_that_were_looked_at_and_leave_names_alone(tmp_path):
    content = make_explanation(species="generic", name="dog run", notes=[])
    text = tell_all(content)
    assert text.startswith("dog run: Of the difference")
    page = render(tmp_path, content)
    assert "29 animals" in page.text
    assert "within an animal, by region" in page.text
    assert "dogs" not in page.text
    book = openpyxl.load_workbook(tmp_path / "results.xlsx")
    texts = [str(cell.value) for sheet in book for row in sheet.iter_rows() for cell in row]
    assert any("within an animal" in each for each in texts)
    assert not any("dogs" in each for each in texts)


def test_several_models_are_told_one_after_the_other():
    content = make_explanation()
    content["models"].append(make_model(name="cnn"))
    text = tell_all(content)
    assert 0 <= text.index("dino: Of the") < text.index("cnn: Of the")


# -- the page -------------------------------------------------------------------------------------


def render(folder, content=None):
    return Page(write_page(write_explanation(folder, content)).read_text(encoding="utf-8"))


def add_figures(folder, *names):
    (folder / "figures").mkdir(parents=True)
    for name in names:
        PilImage.new("RGB", (8, 8)).save(folder / "figures" / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explain")
    add_figures(folder, "regions", "maps_contribution", "maps_eigencam", "faces_0", "dogs_0")
    return render(folder)


def test_page_says_in_order_what_it_found(page):
    marks = [
        tell(make_model()),
        "29 dogs · 256 face crops of 256 clips, evenly spaced (--per-clip takes more) · evidence "
        "for “frustration”, against “positive anticipation”",
        "by a sign-flip test over dogs",
        "Report card: mean over dogs",
        "exact contributions explains the decision 0.34 pass 0.24 to 0.44",
        "EigenCAM explains the backbone",
        "1.00 FAIL 0.90 to 1.10",
        "exact contributions passes every test that was made. Not made: no such network.",
        "Backbone dino_vits8, whole crop, mean over all places. Each dog is looked at by a probe "
        "that has not learned from it.",
        "Regions from: landmarks of the study",
        "(exact contributions: part of the logit)",
        "muzzle 16 % 1.46 1.16 to 1.76 0.07 61 % 0.004",
        "all 100 % 2.40 1.30 to 3.50 0.00 100 % < 0.001",
        "the difference in evidence, 2.40 (1.30 to 3.50) logits, is lost when",
        "muzzle 1.46 1.16 to 1.76 61 % 0.004",
        "frustration muzzle 61 % 49 to 73 % 16 % 3.81",
        "Crops and maps",
        "exact contributions (part of the logit); the number is the evidence for “frustration”",
        "Failed its tests, so shown small and grey: no explanation of any answer. EigenCAM (act",
    ]
    places = [page.text.index(mark) for mark in marks]
    assert places == sorted(places)
    assert "built-in" not in page.text
    assert "None" not in page.text


def test_figures_and_tables_are_numbered_one_after_the_other(page):
    # mean faces, dogs; then regions and two maps.
    assert re.findall(r"Figure (\d+)\.", page.text) == [str(i + 1) for i in range(5)]
    assert re.findall(r"Table (\d+)\.", page.text) == [str(i + 1) for i in range(4)]
    images = page.find("img")
    assert len(images) == 5
    assert all(image["alt"] for image in images)


def test_page_stands_alone(page):
    assert not page.find("script")
    assert not page.find("link")
    sources = [tag["src"] for _, tag in page.tags if "src" in tag]
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    css = " ".join(page.texts)
    assert "url(" not in css
    assert "@import" not in css
    assert [link["href"] for link in page.find("a")] == ["https://arxiv.org/abs/2206.05619"]


def test_hostile_names_are_shown_and_not_obeyed(tmp_path):
    evil = "<script>alert('1')</script> & {{ 7*7 }}"
    content = json.loads(json.dumps(make_explanation()).replace(FRUSTRATION, evil))
    content["models"][0] |= {
        "name": f"{evil} run", "notes": [f"{evil} note"], "regions": evil, "backbone": evil,
    }  # fmt: skip
    content["models"][0]["methods"][0]["verdict"] = f"{evil} verdict"
    content["models"].append(make_model(name="<b>bold"))
    source = write_page(write_explanation(tmp_path, content)).read_text(encoding="utf-8")
    page = Page(source)
    assert not page.find("script")
    assert html.escape(evil, quote=False) in html.unescape(source).replace("<", "&lt;").replace(
        ">", "&gt;"
    ).replace("& {{", "&amp; {{")
    assert page.text.count(evil) >= 8
    assert "<b>bold" in page.text
    assert f"{evil} note" in page.text
    assert f"{evil} verdict" in page.text


def test_several_models_have_a_section_each(tmp_path):
    content = make_explanation()
    content["models"].append(make_model(name="cnn", backbone="resnet50"))
    page = render(tmp_path, content)
    for name in ("dino", "cnn"):
        assert f"Which part of the face: {name}" in page.text
        assert f"Report card of {name}: mean" in page.text
    assert re.findall(r"Table (\d+)\.", page.text) == [str(i + 1) for i in range(8)]
    assert page.text.count("the number is the logit") == 0  # no figure without its picture


def test_pictures_without_a_condition_have_no_numbers_over_dogs(tmp_path):
    page = render(add_figures(tmp_path, "faces_0"), make_explanation(is_labelled=False, clips=12))
    assert "12 files" in page.text
    assert "Report card: mean over files" in page.text
    assert "sign-flip test over files" in page.text
    assert "each file weighing the same" in page.text
    assert not re.search(r"\bdogs?\b", page.text[page.text.index("canemo explanation") :])
    assert "within a dog" not in page.text
    assert "is lost when a region is covered" not in page.text
    assert "fitted without it" not in page.text
    assert "of each answer" in page.text
    assert "evidence for a crop’s own answer" in page.text


def test_notes_qualify_that_probes_had_not_seen_their_dogs(tmp_path):
    page = render(tmp_path, make_explanation(notes=["the probe has seen all dogs"]))
    assert "has not learned from it, unless a note below says otherwise." in page.text
    assert "The probe has seen all dogs." in page.text


def test_pointing_game_is_shown_only_where_there_is_a_truth(tmp_path, page):
    assert "Pointing game" not in page.text
    content = make_explanation() | {"truth": ["muzzle", "eyes"]}
    content["models"][0]["methods"][0]["checks"].append(
        {**make_method()["checks"][0], "name": "pointing", "value": 0.77}
    )
    told = render(tmp_path, content)
    assert "lies in the true part (muzzle, eyes) than its area would have it" in told.text
    assert "0.77 pass" in told.text


def test_maps_without_a_sign_have_neither_gap_nor_shares(tmp_path):
    content = make_explanation(methods=[make_method("eigencam", gap=None, shares=None)])
    page = render(tmp_path, content)
    assert "within a dog, by region" not in page.text
    assert "Share of the evidence" not in page.text
    assert "is lost when a region is covered" in page.text


def test_workbook_beside_the_page_has_every_table(tmp_path):
    write_page(write_explanation(tmp_path))
    book = openpyxl.load_workbook(tmp_path / "results.xlsx")
    assert book.sheetnames == ["result", "card_0", "gap_0", "losses_0", "shares_0", "columns"]
    texts = {row[0].value: row[1].value for row in book["result"]}
    assert texts["Found"].startswith("Of the difference in evidence between")
    assert texts["Map exact contributions"].startswith("passes ")
    meanings = {(row[0].value, row[1].value): row[2].value for row in book["columns"]}
    assert meanings["card_0", "Map"] == "the map that was tested"
    assert meanings["card_0", "Explains"] == "what its heading says"
    muzzle = [cell.value for cell in book["gap_0"][4]]
    assert muzzle[0] == "muzzle"
    assert muzzle[1:] == pytest.approx([0.16, 1.464, 1.164, 1.764, 0.07, 0.61, 0.004])


def test_page_is_the_same_each_time(tmp_path):
    folder = write_explanation(tmp_path)
    assert write_page(folder).read_bytes() == write_page(folder).read_bytes()


def test_missing_and_damaged_explanation_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"not an explanation, explanation\.json is missing"):
        write_page(tmp_path)
    (tmp_path / "explanation.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match=r"explanation\.json: not valid JSON.*explain it again"):
        write_page(tmp_path)


# -- the report of the run ------------------------------------------------------------------------


def render_run(folder):
    return Page(write_report(write_run(folder, make_metrics())).read_text(encoding="utf-8"))


def test_report_of_a_run_shows_its_explanation(tmp_path):
    run = tmp_path / "dino"
    write_explanation(run / "explain", make_explanation(notes=["seen <all> dogs"]))
    page = render_run(run)
    section = page.text[page.text.index("Where in the face") :]
    for mark in (
        tell(make_model()),
        "Regions from: landmarks of the study (256 of 256 crops).",
        "exact contributions (explains the decision) passes every test that was made.",
        "EigenCAM (explains the backbone) fails its tests: it stays the same.",
        "Note: Seen <all> dogs.",
        "has not learned from it, unless a note above says otherwise;",
    ):
        assert mark in section
    assert {"href": "explain/index.html"} in page.find("a")
    assert "canemo explain" not in page.text


def test_explanation_of_another_model_is_none_of_the_run(tmp_path):
    write_explanation(tmp_path / "cnn" / "explain", make_explanation())
    page = render_run(tmp_path / "cnn")
    assert tell(make_model()) not in page.text
    assert "explain/index.html" not in page.text


def test_explanation_of_another_version_is_said_and_not_shown(tmp_path, caplog):
    run = tmp_path / "dino"
    write_explanation(run / "explain", {**make_explanation(), "schema": 1})
    assert "explain/index.html" not in render_run(run).text
    assert "not shown: " in caplog.text
    assert "schema is 1, this version of canemo reads schema 5" in caplog.text


def test_report_of_a_run_that_was_not_explained_says_how_to(tmp_path):
    add_figures(tmp_path, "decision", "eigencam")
    page = render_run(tmp_path)
    assert "canemo explain" in page.text
    assert page.text.index("What speaks for and against “positive anticipation”") < page.text.index(
        "EigenCAM: where the backbone is most active"
    )
    alts = [image["alt"] for image in page.find("img")]
    assert any("what speaks for and against a condition" in alt for alt in alts)


# -- pictures -------------------------------------------------------------------------------------


def noise(seed):
    return np.random.default_rng(seed).integers(0, 256, (24, 24, 3), dtype=np.uint8)


def make_examples(dogs=5, *, per_label=1, scale=1.0, names=("contribution", "eigencam")):
    found = []
    for dog in range(dogs):
        for k, label in enumerate((ANTICIPATION, FRUSTRATION)):
            for clip in range(per_label):
                seed = len(found)
                signed = np.random.default_rng(seed).normal(size=(4, 4)).astype(np.float32)
                found.append(
                    Example(
                        f"day {dog}/{'ab'[k]}{clip}", f"dog{dog}", label, 7, float(2 * k - 1),
                        lambda seed=seed: noise(seed),
                        lambda seed=seed: 255 - noise(seed),
                        dict.fromkeys(names, scale * signed),
                    )
                )  # fmt: skip
    return found


def make_faces(dogs=("dog0", "dog1")):
    rng = np.random.default_rng(0)
    rows = [(label, dog) for label in (ANTICIPATION, FRUSTRATION) for dog in (None, *dogs)]
    faces = []
    for label, dog in rows:
        values = rng.normal(size=(24, 24)).astype(np.float32)
        values[0, 0] = np.nan  # no crop reaches there
        faces.append(
            SimpleNamespace(
                label=label, subject_id=dog, image_rgb=noise(1), map=values, dogs=len(dogs)
            )
        )
    return faces


@pytest.fixture
def sheets(monkeypatch):
    """Keep what is drawn on each sheet, by file, instead of drawing it."""
    drawn = {}
    monkeypatch.setattr(explanation, "draw_picture_rows", lambda rows, **options: (rows, options))
    monkeypatch.setattr(
        explanation, "save_figure", lambda figure, path: drawn.update({path.stem: figure})
    )
    return drawn


def draw(folder, examples, models, faces=None, progress=silent):
    draw_explanation(
        folder,
        examples,
        faces=faces or [make_faces() for _ in models],
        models=[ExplainedModel.model_validate(model) for model in models],
        progress=progress,
    )


def cells_of(sheet, label=ANTICIPATION):
    return [cell for line in sheet[0][label] for cell in line]


def test_mean_faces_have_what_is_drawn_of_them():
    names = set(MeanFace.__dataclass_fields__)
    assert set(vars(make_faces()[0])) <= names


def test_every_crop_has_its_overlay_on_the_scale_of_its_model(tmp_path, sheets):
    examples, told = make_examples(3), []
    draw(tmp_path, [examples], [make_model()], progress=lambda *step: told.append(step))
    values = np.abs(np.stack([example.maps["contribution"] for example in examples]))
    full = np.quantile(values, 0.99)
    folder = tmp_path / "overlays"
    assert {path.name for path in folder.iterdir()} == {"dino_contribution", "dino_eigencam"}
    assert len(list(folder.rglob("*.png"))) == 2 * len(examples)
    for example in examples:
        name = f"{example.video_id.replace('/', '_')}_000007.png"
        drawn = np.asarray(PilImage.open(folder / "dino_contribution" / name))
        scaled = np.clip(example.maps["contribution"] / full, -1, 1)
        np.testing.assert_array_equal(drawn, overlay_evidence(example.read(), scaled))
        blind = np.asarray(PilImage.open(folder / "dino_eigencam" / name))
        positive = np.clip(example.maps["eigencam"], 0, None)
        expected = take_colour(overlay_cam(example.read(), positive / positive.max()))
        np.testing.assert_array_equal(blind, expected)
    assert told[-1] == ("draw dino", len(examples), len(examples))


def test_videos_whose_names_look_alike_have_an_overlay_each(tmp_path, sheets):
    [example] = make_examples(1)[:1]
    names = ("a/b", "a_b", "A:b")
    draw(tmp_path, [[replace(example, video_id=name) for name in names]], [make_model()])
    written = sorted(path.name for path in (tmp_path / "overlays/dino_contribution").iterdir())
    frame = f"{example.frame_index:06d}"
    assert written == [f"A_b_{frame}~3.png", f"a_b_{frame}.png", f"a_b_{frame}~2.png"]


def test_map_of_zeros_shows_the_crop_alone(tmp_path, sheets):
    examples = [
        replace(each, maps={name: 0 * values for name, values in each.maps.items()})
        for each in make_examples(2)
    ]
    draw(tmp_path, [examples], [make_model()])
    for example in examples:
        name = f"{example.video_id.replace('/', '_')}_000007.png"
        path = tmp_path / "overlays" / "dino_contribution" / name
        np.testing.assert_array_equal(np.asarray(PilImage.open(path)), example.read())


def test_grid_has_a_column_per_model_with_the_logit(tmp_path, sheets):
    first, second = make_examples(3), make_examples(3, scale=10.0)
    second = [replace(each, logit=each.logit * 5) for each in second]
    draw(tmp_path, [first, second], [make_model(), make_model(name="cnn")])
    cells = cells_of(sheets["maps_contribution"])
    assert [name for name, _ in cells] == [
        name for dog in range(3) for name in (f"dog{dog}", "dino -1.0 logits", "cnn -5.0 logits")
    ]
    own = [example for example in first if example.label == ANTICIPATION]
    for i, example in enumerate(own):
        crop, here, there = (image for _, image in cells[3 * i : 3 * i + 3])
        np.testing.assert_array_equal(crop, example.read())
        np.testing.assert_array_equal(here, there)  # each on the scale of its own model
        assert not np.array_equal(crop, here)
    options = sheets["maps_contribution"][1]
    assert options["signed"]
    assert f"for (1) and against (-1) {FRUSTRATION}" in options["scale_title"]
    assert not sheets["maps_eigencam"][1]["signed"]


def test_map_that_one_model_lacks_has_columns_of_the_others_only(tmp_path, sheets):
    models = [make_model(methods=[make_method()]), make_model(name="cnn")]
    examples = [make_examples(3, names=("contribution",)), make_examples(3)]
    draw(tmp_path, examples, models)
    names = {name.split()[0] for name, _ in cells_of(sheets["maps_eigencam"])}
    assert names == {"dog0", "dog1", "dog2", "-1.0"}  # one model needs no name


def test_few_crops_of_different_dogs_stand_for_all(tmp_path, sheets):
    draw(tmp_path, [make_examples(7, per_label=3)], [make_model()])
    for label in (ANTICIPATION, FRUSTRATION):
        names = [name for name, _ in cells_of(sheets["regions"], label)]
        assert len(names) == len(set(names)) == 3
    one_dog = tmp_path / "one"
    draw(one_dog, [make_examples(1, per_label=5)], [make_model()])
    assert [name for name, _ in cells_of(sheets["regions"])] == ["dog0"] * 3


def test_crops_whose_regions_are_bands_are_marked_and_no_two_blues_are_alike(tmp_path, sheets):
    examples = [replace(each, has_bands=True) for each in make_examples(3)]
    draw(tmp_path, [examples], [make_model()])
    assert cells_of(sheets["regions"])[0][0] == "dog0 (fixed bands)"
    assert "#56B4E9" not in colour_regions(DOG).values()


def test_regions_are_drawn_from_the_outlined_crops(tmp_path, sheets):
    examples = make_examples(3)
    draw(tmp_path, [examples], [make_model()])
    shown = [image for _, image in cells_of(sheets["regions"])]
    own = [example for example in examples if example.label == ANTICIPATION]
    for image, example in zip(shown, own, strict=True):
        np.testing.assert_array_equal(image, example.outline())
    for species in SPECIES.values():
        colours = colour_regions(species)
        assert list(colours) == list(species.regions[:-1])
        assert len(set(colours.values())) == len(colours)


def test_mean_faces_are_of_conditions_and_of_dogs(tmp_path, sheets):
    draw(tmp_path, [make_examples(2)], [make_model()])
    assert [name for name, _ in cells_of(sheets["faces_0"])] == ["2 dogs", ""]
    assert [name for name, _ in cells_of(sheets["dogs_0"])] == ["dog0", "", "dog1", ""]
    corner = cells_of(sheets["faces_0"])[1][1][0, 0]
    np.testing.assert_array_equal(corner, noise(1)[0, 0])  # nothing is known there
    assert sheets["faces_0"][1]["signed"]


def test_mean_faces_of_other_animals_are_counted_in_their_words(tmp_path, sheets):
    draw(tmp_path, [make_examples(2)], [make_model(species="generic")])
    assert [name for name, _ in cells_of(sheets["faces_0"])] == ["2 animals", ""]


def test_pictures_without_a_condition_have_no_sheet_of_dogs(tmp_path, sheets):
    draw(tmp_path, [make_examples(2)], [make_model(is_labelled=False)])
    assert "dogs_0" not in sheets
    assert [name for name, _ in cells_of(sheets["faces_0"])] == ["2 files", ""]
