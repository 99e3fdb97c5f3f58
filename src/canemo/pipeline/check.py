"""The command `check`: what is wrong with a study, and what its design can show at best."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from canemo.config import CONFIG_FILE, load_config
from canemo.errors import ConfigError
from canemo.formats.tables import Problem
from canemo.records import Study
from canemo.report.tables import format_text
from canemo.report.words.design import (
    DESIGN_LATER,
    describe_conditions,
    doubt_confound,
    explain_obstacle,
    write_design_sentence,
    write_nothing_sentence,
)
from canemo.report.words.voice import Voice
from canemo.report.words.wording import P_LEVEL
from canemo.species import DOG, Species
from canemo.study.check import inspect_study
from canemo.study.circumstances import Confound, find_confounds
from canemo.study.design import Clip, Design, describe_design
from canemo.trust.labellings import find_least_p
from canemo.trust.power import foretell_power

logger = logging.getLogger(__name__)

SUBJECT_SHARE = 0.5
"""How alike answers to one subject's clips are taken to be, see `check_study`."""


@dataclass(frozen=True)
class StudyCheck:
    """What is known of a study before a picture is looked at.

    Attributes
    ----------
    problems
        Everything that is wrong with its tables and files, empty if all is well.
    design
        Its clips by subject and label; None where the table cannot be read.
    detectable
        What `canemo.trust.power.foretell_power` says of that design, without the curve; None
        where nothing can be concluded.
    obstacle
        Why nothing can be concluded, in words; None where something can, or without a design.
    species
        Whose words it speaks in.
    doubtful_names
        Subjects and labels that may be others misspelled: the design counts them as they are.
    """

    problems: tuple[Problem, ...]
    design: Design | None = None
    detectable: Mapping[str, Any] | None = None
    obstacle: str | None = None
    species: Species = DOG
    doubtful_names: tuple[str, ...] = ()

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that keep the study from being used."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def can_conclude(self) -> bool:
        """Whether a result above chance could be told from chance at all."""
        return self.detectable is not None

    @property
    def verdict(self) -> str:
        """What the design can show, or why nothing, in a sentence; empty without a design.

        With errors there is no number, for it would be that of a mistake.
        """
        if self.obstacle is not None:
            return self._say(write_nothing_sentence(self.obstacle))
        if self.design is None or self.detectable is None:
            return ""
        if self.errors:
            return self._say(DESIGN_LATER)
        return self._say(
            write_design_sentence(self.design, self.detectable, doubtful=self.doubtful_names)
        )

    def describe(self) -> str:
        """Return it as text: the problems, what was filmed, and the verdict."""
        parts = ["\n".join(map(str, self.problems)) or "no problems found"]
        if self.design is not None:
            table = format_text(describe_conditions(self.design), is_captioned=False)
            parts += [self._say(table), self.verdict]
        return "\n\n".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it."""
        design = self.design
        return {
            "problems": [asdict(problem) for problem in self.problems],
            "subjects": [] if design is None else [asdict(each) for each in design.subjects],
            "conditions": [] if design is None else [asdict(each) for each in design.conditions],
            "detectable": None if not self.detectable or self.errors else dict(self.detectable),
            "can_conclude": self.can_conclude,
            "verdict": self.verdict,
        }

    def _say(self, text: str) -> str:
        names = () if self.design is None else self.design.names
        return Voice(self.species, names).say(text)


def check_study(root: Path | str) -> StudyCheck:
    """Find everything that is wrong with a study: its tables, its files and its design.

    Every video file is opened, and files of equal size are compared by content; no face is looked
    for. Never raises for something that is wrong with the study.

    Parameters
    ----------
    root
        The folder that holds `videos.csv`.

    Notes
    -----
    How alike the answers to one dog's clips will be is not known before a run: half of their
    variance, label apart, is taken to lie between dogs, as in the middle of the runs looked at
    (0.1 to 0.8; a share of 0.3 or 0.7 moves what can be shown by 3 points or less).
    """
    root = Path(root).absolute()
    inspection = inspect_study(root)
    species, misset = _find_species(root)
    problems = (*inspection.problems, *misset)
    if not inspection.clips:
        return StudyCheck(problems)
    design, confounds, obstacle = _judge(inspection.clips)
    problems += tuple(_doubt(inspection.file, each) for each in confounds if not each.is_total)
    detectable = None if obstacle else _foretell(design)
    names = inspection.doubtful_names
    return StudyCheck(problems, design, detectable, obstacle, species, names)


def warn_of_design(study: Study, species: Species) -> None:
    """Log why nothing can be concluded from a study, where that is so."""
    clips = [Clip(video.subject_id, video.label, None, video.extra) for video in study.videos]
    design, _, obstacle = _judge(clips)
    if obstacle is not None:
        sentence = write_nothing_sentence(obstacle)
        logger.warning("%s", Voice(species, design.names).say(sentence))


def _judge(clips: Sequence[Clip]) -> tuple[Design, list[Confound], str | None]:
    """Return the design, what goes with its condition, and why nothing can be concluded."""
    design, confounds = describe_design(clips), find_confounds(clips)
    label_index, subject_ids = design.list_clips()
    least_p = find_least_p(label_index, subject_ids)
    return design, confounds, explain_obstacle(design, confounds, least_p, level=P_LEVEL)


def _doubt(file: str, confound: Confound) -> Problem:
    seen, wanted = doubt_confound(confound)
    return Problem("warning", file, None, confound.column, seen, wanted)


def _find_species(root: Path) -> tuple[Species, list[Problem]]:
    try:
        return load_config(root).species, []
    except ConfigError as exc:
        reason = str(exc).removeprefix(f"{root / CONFIG_FILE}: ")
        wanted = "settings as docs/settings.md lists them"
        return DOG, [Problem("error", CONFIG_FILE, None, None, reason, wanted)]


def _foretell(design: Design) -> Mapping[str, Any]:
    label_index, subject_ids = design.list_clips()
    foretold = foretell_power(
        label_index,
        subject_ids,
        labels=design.labels,
        subject_share=SUBJECT_SHARE,
        level=P_LEVEL,
    )
    return {key: value for key, value in foretold.items() if key != "curve"}
