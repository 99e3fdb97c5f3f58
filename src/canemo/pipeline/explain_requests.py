"""What `explain` can be asked for, and where its answer may go; mistakes are told at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from canemo.errors import ConfigError, ModelError, OutputExistsError
from canemo.explain.face_finder import RegionSource
from canemo.explain.inquiry import Inquiry
from canemo.files import require_writable
from canemo.pipeline.explain_inputs import is_run
from canemo.species import Species
from canemo.study.records.explanation import EXPLANATION_FILE
from canemo.study.runs import EXPLAIN_DIR, METRICS_FILE, explain_no_run


def require_use(
    *, crops: object, landmarks: object, weights: object, regions: RegionSource
) -> None:
    """Raise ConfigError where something is given that would not be looked at."""
    if crops is not None and (landmarks is not None or regions == "study"):
        raise ConfigError(
            "landmarks are those of a study: --landmarks and --regions study do not go with --crops"
        )
    if landmarks is not None and regions in ("model", "bands"):
        raise ConfigError(f"--landmarks give the regions: they do not go with --regions {regions}")
    if weights is not None and crops is None:
        raise ConfigError(
            "--weights are for a saved model, with --crops; a run reads those that its config.toml "
            "names"
        )


def require_regions(truth: Sequence[str], species: Species) -> None:
    """Raise ConfigError where the truth is said to lie in a region that the species has not."""
    unknown = [name for name in truth if name not in species.regions]
    if unknown:
        raise ConfigError(f"region {unknown[0]!r}: there are {', '.join(species.regions)}")


def find_place(
    folders: Sequence[Path], out_dir: Path | str | None, *, needs_place: bool, force: bool
) -> Path:
    """Return where the explanation goes; refuse to overwrite anything but an earlier one."""
    if not folders:
        raise ConfigError("there is no run and no model to explain; give STUDY/runs/NAME")
    if not needs_place:
        for folder in folders:
            _require_run_in_study(folder)
    if out_dir is None and (len(folders) > 1 or needs_place):
        raise ConfigError("say where the explanation goes: --out DIR")
    place = folders[0] / EXPLAIN_DIR if out_dir is None else Path(out_dir)
    require_writable(place)
    if not place.exists() or not any(place.iterdir()):
        return place
    if not (place / EXPLANATION_FILE).is_file():
        raise OutputExistsError(f"{place} holds something else; give another --out")
    if not force and out_dir is not None:  # within its run it is made again, as the report is
        raise OutputExistsError(
            f"{place} holds an explanation; give another --out, or replace it with --force"
        )
    return place


def _require_run_in_study(folder: Path) -> None:
    if is_run(folder):
        return
    is_whole = (folder / METRICS_FILE).is_file()
    what = "not a run in its study" if is_whole else explain_no_run(folder)
    raise ModelError(f"{folder}: {what}; or say what to ask a saved model about with --crops")


def require_same_question(models: Sequence[Inquiry]) -> None:
    """Raise ConfigError where several models would be asked different questions."""
    for each in models[1:]:
        if each.places != models[0].places:
            raise ConfigError(
                f"{each.name} and {models[0].name} were made from other frames or tested other "
                f"{each.species.plural}; explain them one by one"
            )
        if each.labels != models[0].labels:
            raise ConfigError(
                f"{each.name} would show evidence for {each.labels[1]!r}, {models[0].name} for "
                f"{models[0].labels[1]!r}; choose one with --label"
            )
    if len({model.name for model in models}) < len(models):
        raise ConfigError("two of the runs have the same name; explain them one by one")
