"""The command `explain`: maps of one or several models, numbers about them, and their tests."""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from canemo.errors import ConfigError, NoFacesError
from canemo.explain.blocks import Evidence, measure_evidence
from canemo.explain.decision import Maps, require_grid
from canemo.explain.face_finder import RegionSource
from canemo.explain.faces import reads_pixels
from canemo.explain.inquiry import Inquiry
from canemo.explain.maps.methods import METHODS, Method, choose_method, find_method
from canemo.explain.maps.occlusion import measure_losses
from canemo.explain.measured import Measured, measure_columns
from canemo.explain.report_card import grade_maps
from canemo.explain.results import BLOCK, Found, name_losses
from canemo.explain.survey import Case, Controls, examine_case, map_case
from canemo.faces.geometry import list_columns
from canemo.networks.backbones import randomise
from canemo.parallel import Progress, silent
from canemo.pipeline.explain_files import join_tables, write_explanation
from canemo.pipeline.explain_inputs import (
    load_explained_model,
    load_explained_run,
    read_species,
)
from canemo.pipeline.explain_requests import (
    find_place,
    require_regions,
    require_same_question,
    require_use,
)
from canemo.report.charts.explanation import PAGE_FILE
from canemo.report.pages.run import write_report
from canemo.study.records.explanation import ExplanationRecord

MOST_PICTURES = 40
"""Of how many pictures without a condition maps are tested; with a study `tests` says it."""


@dataclass(frozen=True)
class Explanation:
    """What `explain_models` wrote: its folder, and what ``explanation.json`` holds."""

    folder: Path
    record: ExplanationRecord

    @property
    def page(self) -> Path:
        """The HTML page."""
        return self.folder / PAGE_FILE


def explain_models(
    places: Path | str | Sequence[Path | str],
    *,
    out_dir: Path | str | None = None,
    methods: Sequence[str] = (),
    crops: Path | str | None = None,
    per_clip: int = 1,
    tests: int = 1,
    label: str | None = None,
    regions: RegionSource = "auto",
    landmarks: Path | str | None = None,
    individual: str | None = None,
    truth: Sequence[str] = (),
    weights: Path | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> Explanation:
    """Show where in the face a model's evidence is, in pictures, numbers and tests of both.

    Parameters
    ----------
    places
        Run folders, STUDY/runs/NAME, several of one study side by side; or, with `crops`, the
        folder of a saved model.
    out_dir
        Gets the page, pictures, maps and tables. None: RUN/explain, and the run's report is written
        again with the result; for several runs, or a model, it must be given.
    methods
        Names of maps, the first leads. None: the one that explains the probe best, and EigenCAM
        beside it.
    crops
        A picture, a video, or a folder of such, for a model without its study.
    per_clip
        Crops of each clip, evenly spaced.
    tests
        Crops per dog and label that the maps are tested on; 0 tests none.
    label
        Whose evidence is mapped; None takes the positive label.
    regions
        Where the regions of the face are from: ``study`` (its landmarks), ``model`` (canemo's
        landmark model), ``bands`` (fixed), or ``auto``: the first of these that knows a crop.
    landmarks
        File or folder of the study's landmarks, where they are not in it.
    individual
        Whose landmarks are meant, where a file has those of several animals.
    truth
        Regions in which the evidence is known to be, for the pointing game.
    weights
        The backbone's weights file, for a model whose weights have moved.
    force
        Replace an earlier explanation.
    progress
        Told how far it is.

    Raises
    ------
    ConfigError
        A method, label, region or their combination is unknown, or does not fit the model.
    ModelError
        There is no run or model, or what it fits is no linear probe.
    OutputExistsError
        `out_dir` holds something and `force` is not given.
    StudyError, NoFacesError, WeightsError, MissingExtraError
        As `run`; or the pictures or landmarks cannot be used.
    """
    folders = [Path(places)] if isinstance(places, Path | str) else [Path(each) for each in places]
    chosen = [find_method(name) for name in dict.fromkeys(methods)]
    truth = list(dict.fromkeys(truth))
    require_use(crops=crops, landmarks=landmarks, weights=weights, regions=regions)
    place = find_place(folders, out_dir, needs_place=crops is not None, force=force)
    if truth:
        for folder in folders:
            require_regions(truth, read_species(folder, is_model=crops is not None))
    with tempfile.TemporaryDirectory(prefix="canemo-") as cache:
        models = [
            _load(
                folder,
                None if crops is None else Path(crops),
                Path(cache),
                per_clip=per_clip,
                label=label,
                regions=regions,
                landmarks=None if landmarks is None else Path(landmarks),
                individual=individual,
                weights=weights,
                with_controls=tests > 0,
                progress=progress,
            )
            for folder in folders
        ]
        require_same_question(models)
        least_side = max(max(model.backbone.grid_shape) for model in models)
        found = [
            _survey(
                model, chosen, least_side=least_side, tests=tests, truth=truth, progress=progress
            )
            for model in models
        ]
        record = write_explanation(place, models, found, truth=truth, progress=progress)
    if out_dir is None:
        write_report(folders[0])
    return Explanation(place, record)


def _load(
    folder: Path,
    crops: Path | None,
    cache_dir: Path,
    *,
    landmarks: Path | None,
    individual: str | None,
    weights: Path | None,
    with_controls: bool,
    **shared: Any,
) -> Inquiry:
    if crops is not None:
        return load_explained_model(folder, crops, weights=weights, cache_dir=cache_dir, **shared)
    return load_explained_run(
        folder,
        landmarks=landmarks,
        individual=individual,
        with_controls=with_controls,
        **shared,
    )


def _survey(
    model: Inquiry,
    methods: Sequence[Method],
    *,
    least_side: int,
    tests: int,
    truth: Sequence[str],
    progress: Progress,
) -> Found:
    """Map all crops of a model, dog by dog, and test the maps.

    Crops with fewer than `least_side` pixels a side, the most places that the map of any model has,
    are left out: models that are shown side by side must have the same.
    """
    backbone = model.backbone
    methods = _choose_methods(model, methods)
    is_true = [model.species.regions.index(name) for name in truth]
    controls = Controls(randomise(backbone), is_true) if tests and methods else None
    cases: list[tuple[Case, pd.DataFrame, Evidence]] = []
    maps: dict[str, list[Maps]] = defaultdict(list)
    tested: dict[str, list[pd.DataFrame]] = defaultdict(list)
    parts, given = list(model.iter_parts()), Counter[tuple[str, str]]()
    for done, rows in enumerate(parts):
        progress(f"explain {model.name}", done, len(parts))
        case, evidence = _make_case(model, rows, given, least_side=least_side, tests=tests)
        if case is None or evidence is None:
            continue
        for method in methods:
            own = map_case(case, method, backbone)
            maps[method.name].append(own)
            if controls is not None:
                examined = examine_case(case, own, method, backbone=backbone, controls=controls)
                tested[method.name].append(examined)
        table = _measure_case(case, model) if methods else case.origin
        table = table.assign(intercept=case.decision.intercept)
        cases.append((case.forget_images(), table, evidence))
    progress(f"explain {model.name}", len(parts), len(parts))
    if not cases:
        raise NoFacesError(f"{model.name}: every crop has fewer pixels than the map has places")
    tables = {method.name: join_tables(tested[method.name]) for method in methods}
    rows = join_tables([table for _, table, _ in cases])
    rows = rows.fillna({name: 0.0 for name in rows if str(name).startswith(BLOCK)})
    order = _order_like(model, rows)
    return Found(
        name=model.name,
        backbone=backbone.spec.name,
        pooling="; ".join(dict.fromkeys(each.pooling for each in model.decisions.values())),
        labels=model.labels,
        is_labelled=model.is_labelled,
        species=model.species,
        rows=rows.iloc[order].reset_index(drop=True),
        points=np.concatenate([case.points for case, *_ in cases])[order],
        masks=np.concatenate([case.masks for case, *_ in cases])[order],
        maps={name: np.concatenate(parts)[order] for name, parts in maps.items()},
        cards={name: grade_maps(name, table) for name, table in tables.items()},
        tests=join_tables([table.assign(method=name) for name, table in tables.items()]),
        notes=(*model.notes, *_note_small(len(model.rows) - len(rows))),
        evaluation=model.evaluation,
        measured=_join_measured(model, cases, order),
    )


def _choose_methods(model: Inquiry, methods: Sequence[Method]) -> Sequence[Method]:
    """Return the maps that are made; none of a model that reads no pixels.

    Raises
    ------
    ConfigError
        Maps are asked for where there is nothing to map.
    """
    if model.reads_pixels:
        require_grid(model.backbone)
        return methods or (_choose_lead(model), METHODS["eigencam"])
    if methods:
        raise ConfigError(
            f"{model.name} reads distances, angles and points of the face and no pixels: there is "
            f"nothing that --method {methods[0].name} could map; leave it out"
        )
    return ()


def _join_measured(
    model: Inquiry, cases: Sequence[tuple[Case, pd.DataFrame, Evidence]], order: NDArray[np.int64]
) -> Measured | None:
    """Return the faces as probes on geometry read them; None where none does."""
    if not model.measured_by:
        return None
    known = [(case.faces, len(table), each.measured) for case, table, each in cases]
    values = np.concatenate([faces.geometry for faces, *_ in known if faces is not None])[order]
    asked = [decision for _, number, decision in known for _ in range(number)]
    return measure_columns(
        values.astype(np.float64),
        [asked[place] for place in order],
        columns=list_columns(model.measured_by, model.species),
        points=len(model.measured_by),
    )


def _order_like(model: Inquiry, rows: pd.DataFrame) -> NDArray[np.int64]:
    """Return in which order rows are as the model's: models side by side may ask in another one."""
    place = {pair: number for number, pair in enumerate(model.places)}
    pairs = rows[["video_id", "frame_index"]].itertuples(index=False, name=None)
    return np.argsort([place[pair] for pair in pairs])


def _choose_lead(model: Inquiry) -> Method:
    """Return the best map that all decisions have: folds may have chosen different poolings."""
    reading = [each for each in model.decisions.values() if reads_pixels(each.pooling)]
    best = {choose_method(each, model.backbone).name for each in reading}
    from_least = ("occlusion", "gradient", "contribution")
    return METHODS[next(name for name in from_least if name in best)]


def _make_case(
    model: Inquiry,
    rows: pd.DataFrame,
    given: Counter[tuple[str, str]],
    *,
    least_side: int,
    tests: int,
) -> tuple[Case, Evidence] | tuple[None, None]:
    """Return some crops of one probe, and what answers are made of; None where all are too small.

    `given` counts the tested crops of each dog and label so far: the first `tests` are tested, of
    pictures without a condition no more than `MOST_PICTURES` in all.
    """
    subject_id = rows["subject_id"].iloc[0]
    decision = model.decisions[subject_id]
    images = model.read(rows)
    large = [min(image.shape[:2]) >= least_side for image in images]
    images = [image for image, is_large in zip(images, large, strict=True) if is_large]
    rows = rows[large].reset_index(drop=True)
    if not images:
        return None, None
    faces = None if model.look is None else model.look(rows, images)
    evidence = measure_evidence(images, model.backbone, decision, faces)
    logits = evidence.logits
    if not model.is_labelled:
        rows["label"] = np.where(logits >= 0, model.labels[1], model.labels[0])
    found = model.finder.find(rows, images)
    tested = np.zeros(len(rows), dtype=bool)
    for place, pair in enumerate(zip(rows["subject_id"], rows["label"], strict=True)):
        is_room = model.is_labelled or given.total() < MOST_PICTURES
        tested[place] = given[pair] < tests and is_room
        given[pair] += int(tested[place])
    origin = rows.assign(
        logit=logits,
        regions=found.regions.source,
        not_shown=[", ".join(names) for names in found.regions.missing],
        **{f"{BLOCK}{name}": added for name, added in evidence.blocks.items()},
    )
    case = Case(
        origin,
        images,
        decision,
        model.shuffled.get(subject_id),
        found.regions.masks,
        found.points,
        tested,
        faces,
    )
    return case, evidence


def _measure_case(case: Case, model: Inquiry) -> pd.DataFrame:
    """Return the rows of a case with what covering each region takes off the logit."""
    losses = measure_losses(
        case.images_rgb, case.masks, model.backbone, [case.decision], case.faces
    )[0]
    by_region = {name: losses[:, r] for r, name in enumerate(name_losses(model.species))}
    return case.origin.assign(**by_region)


def _note_small(dropped: int) -> list[str]:
    if not dropped:
        return []
    return [f"{dropped} crop(s) have fewer pixels a side than the map has places and are left out"]
