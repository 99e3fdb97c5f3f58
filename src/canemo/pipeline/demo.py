"""The command `demo`: a drawn study, made and run."""

from __future__ import annotations

from pathlib import Path

from canemo.config import load_config
from canemo.parallel import Progress, silent
from canemo.pipeline.run import RunResult, run
from canemo.video.drawn import draw_study

DEMO_BACKBONE = "efficientnet_lite0"
DEMO_EFFECT = 1.6  # drawn dogs show their condition clearly: a demo should find what is there
DEMO_CLIPS_PER_SUBJECT = 9  # "roughly nine times", Boneh-Shitrit et al. 2022, section 2


def demo(folder: Path | str, *, seed: int = 0, progress: Progress = silent) -> RunResult:
    """Draw a small study of dogs into `folder` (unless it is there already) and run it.

    The heads are found by the detector that ships with canemo, the backbone is
    ``efficientnet_lite0``. The drawings exercise the software; they show nothing about real dogs.

    Raises
    ------
    OutputExistsError
        `folder` holds something else.
    """
    folder = Path(folder)
    if not (folder / "truth.json").is_file():
        draw_study(
            folder,
            clips_per_subject=DEMO_CLIPS_PER_SUBJECT,
            effect=DEMO_EFFECT,
            seed=seed,
            progress=lambda done, total: progress("draw", done, total),
        )
    config = load_config(folder, overrides={"backbone": {"name": DEMO_BACKBONE}})
    return run(folder, config=config, name="demo", command="canemo demo", progress=progress)
