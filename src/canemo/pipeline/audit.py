"""The command `audit`: look for what could fool the author of a study, or of a finished run."""

from __future__ import annotations

from pathlib import Path

from canemo.config import Config, load_config
from canemo.errors import ModelError
from canemo.faces.study_crops import StudyCrops
from canemo.learn.evidence import Evidence, read_evidence
from canemo.parallel import Progress, silent
from canemo.pipeline.assess import evaluate_features, gather_evidence, offer_views
from canemo.pipeline.confounds import run_confounds
from canemo.pipeline.extract import crop_videos
from canemo.pipeline.plan import Plan, prepare, prepare_again
from canemo.report.pages.run import write_report
from canemo.study.records.audit import Audit, Confounds
from canemo.study.records.folders import RunRecord, read_run
from canemo.study.runs import CONFOUNDS_FILE, INPUTS_FILE, METRICS_FILE, describe_inputs
from canemo.trust.audit import audit_evidence
from canemo.trust.metadata import score_metadata
from canemo.trust.metrics_json import find_discriminant, find_penalty


def audit_study(
    place: Path | str,
    *,
    config: Config | None = None,
    confounds: bool = False,
    progress: Progress = silent,
) -> Audit:
    """Audit a study, or a finished run of it.

    Parameters
    ----------
    place
        Folder with videos.csv, or STUDY/runs/NAME: then what the run found of itself is read, no
        video is; with `confounds` its settings are taken, what is found is kept in the run, and its
        report is written again.
    config
        Settings of a study; None reads its canemo.toml over the defaults.
    confounds
        Also run the confound battery, which embeds other parts of the pictures.
    progress
        Told how far it is.

    Returns
    -------
    Audit
        What metrics.json holds under ``audit``.

    Raises
    ------
    StudyError
        The study cannot be used, or the same footage is listed under two names.
    SplitError, NoFacesError, WeightsError
        As `run`.
    ModelError
        The run cannot be read; or, with `confounds`, the tables, the backbone's weights or the
        detector are not those of the run any more.
    """
    place = Path(place)
    if (place / METRICS_FILE).is_file():
        return _audit_run(read_run(place), confounds=confounds, progress=progress)
    plan = prepare(place, config or load_config(place))
    crops, evidence = gather_evidence(plan, progress=progress)
    found = _audit(plan, crops, evidence, progress=progress)
    if not confounds:
        return found
    battery = run_confounds(plan, crops, evidence, progress=progress)
    return found.with_confounds(Confounds.model_validate(battery))


def _audit_run(run: RunRecord, *, confounds: bool, progress: Progress) -> Audit:
    """Return what a run found of itself; only the battery needs its pictures."""
    if not confounds:
        return run.metrics.audit
    evidence = read_evidence(run)
    plan = prepare_again(run.folder, evidence)
    _require_unchanged(run, plan)
    crops = crop_videos(plan.study, plan.extraction, progress=progress, cost=plan.cost)
    found = run_confounds(plan, crops, evidence, progress=progress)
    battery = Confounds.model_validate(found)
    battery.write(run.folder / CONFOUNDS_FILE)
    write_report(run.folder)
    return run.metrics.audit.with_confounds(battery)


def _audit(plan: Plan, crops: StudyCrops, evidence: Evidence, *, progress: Progress) -> Audit:
    """Evaluate, and return what metrics.json would hold under ``audit``."""
    config = plan.config
    learner, evaluation = evaluate_features(
        evidence.materials,
        plan.split,
        config,
        offer_views(crops, plan.backbone, config, progress),
        progress=progress,
        cost=plan.cost,
    )
    progress("audit", 0, 1)
    discriminant = find_discriminant(learner)
    found = audit_evidence(
        evidence,
        discriminant,
        penalty=find_penalty(config, evaluation),
        metadata=score_metadata(evidence, discriminant.material),
    )
    progress("audit", 1, 1)
    return Audit.model_validate(found)


def _require_unchanged(run: RunRecord, plan: Plan) -> None:
    """Raise ModelError where the run was made from something else than is there now."""
    protocol = run.metrics.protocol
    same = {
        "the tables of the study": describe_inputs(plan.study.root)
        == (run.folder / INPUTS_FILE).read_text(encoding="utf-8"),
        "the backbone's weights": protocol.weights_sha256 == plan.backbone.weights_sha256,
        "the detector": protocol.detector_sha256 == plan.detector.fingerprint,
    }
    changed = [what for what, is_same in same.items() if not is_same]
    if changed:
        raise ModelError(
            f"{run.folder}: {', '.join(changed)} changed since the run was made; make it again, or "
            "audit the study"
        )
