"""The command `audit`: look for what could fool the author of a study, or of a finished run."""

from __future__ import annotations

from pathlib import Path

from canemo.assessment import evaluate_features, gather_evidence, offer_views
from canemo.audit import audit_evidence
from canemo.config import Config, load_config
from canemo.confounds import run_confounds
from canemo.errors import ModelError
from canemo.evidence import SPLIT_FILE
from canemo.metadata import score_metadata
from canemo.plan import Plan, prepare
from canemo.progress import Progress, silent
from canemo.report.html import write_report
from canemo.run_metrics import find_discriminant, find_penalty
from canemo.run_record import Audit, Confounds, RunRecord, read_run
from canemo.runs import CONFOUNDS_FILE, INPUTS_FILE, METRICS_FILE, describe_inputs
from canemo.splits import load_split


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
        Folder with videos.csv, or STUDY/runs/NAME: then its settings are taken, what `confounds`
        finds is kept in the run, and its report is written again.
    config
        Settings of a study; None reads its canemo.toml over the defaults.
    confounds
        Also run the confound battery, for which pictures are embedded again.
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
        The tables, the backbone's weights or the detector are not those of the run any more.
    """
    place = Path(place)
    run = read_run(place) if (place / METRICS_FILE).is_file() else None
    root = place if run is None else place.resolve().parent.parent
    config = run.config if run is not None else config or load_config(place)
    split = load_split(place / SPLIT_FILE) if run is not None else None
    plan = prepare(root, config, split=split, elsewhere=run is not None)
    if run is not None:
        _require_unchanged(run, root, plan)
    crops, evidence = gather_evidence(plan, progress=progress)
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
    found = Audit.model_validate(
        audit_evidence(
            evidence,
            discriminant,
            penalty=find_penalty(config, evaluation),
            metadata=score_metadata(evidence, discriminant.material),
        )
    )
    progress("audit", 1, 1)
    if not confounds:
        return found
    battery = Confounds.model_validate(run_confounds(plan, crops, evidence, progress=progress))
    if run is not None:
        battery.write(place / CONFOUNDS_FILE)
        write_report(place)
    return found.with_confounds(battery)


def _require_unchanged(run: RunRecord, root: Path, plan: Plan) -> None:
    """Raise ModelError where the run was made from something else than is there now."""
    protocol = run.metrics.protocol
    same = {
        "the tables of the study": describe_inputs(root)
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
