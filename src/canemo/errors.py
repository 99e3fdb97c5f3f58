"""Every error canemo raises on purpose.

CanemoError
├── ConfigError(ValueError)        a setting is unknown or has an impossible value
├── StudyError(ValueError)         a table of the study cannot be used as it stands
├── VideoOpenError(OSError)        a video file cannot be opened or holds no video
├── WeightsError(OSError)          weights are missing, damaged or of another architecture
├── EngineError(RuntimeError)      an engine cannot run a network
├── ModelError(ValueError)         a saved model or run folder cannot be used
├── NoFacesError(ValueError)       not one usable face crop is left to work on
├── SplitError(ValueError)         the subjects cannot be split as asked
├── AnnotationError(ValueError)    an annotation file cannot be used
├── OutputExistsError(FileExistsError)  something would be overwritten
├── OutputPlaceError(OSError)      nothing can be written where results should go
└── MissingExtraError(ImportError) an optional part of canemo is not installed

A message says what failed, on which file and row, the value seen, the value wanted and what to do
next. Only the command line and the web page turn a `CanemoError` into text.
"""

from __future__ import annotations

from pathlib import Path


class CanemoError(Exception):
    """Base of every error that canemo raises on purpose."""


class ConfigError(CanemoError, ValueError):
    """A setting is unknown or has an impossible value."""


class StudyError(CanemoError, ValueError):
    """A table of the study cannot be used as it stands."""


class VideoOpenError(CanemoError, OSError):
    """A video file cannot be opened or holds no video; `path` is the file, where known."""

    def __init__(self, message: str, *, path: Path | None = None) -> None:
        super().__init__(message)
        self.path = path


class WeightsError(CanemoError, OSError):
    """Weights are missing, damaged or of another architecture."""


class EngineError(CanemoError, RuntimeError):
    """An engine cannot run a network."""


class ModelError(CanemoError, ValueError):
    """A saved model or run folder cannot be used."""


class NoFacesError(CanemoError, ValueError):
    """Not one usable face crop is left to work on."""


class SplitError(CanemoError, ValueError):
    """The subjects cannot be split as asked."""


class AnnotationError(CanemoError, ValueError):
    """An annotation file cannot be used."""


class OutputExistsError(CanemoError, FileExistsError):
    """Something would be overwritten."""


class OutputPlaceError(CanemoError, OSError):
    """Nothing can be written where results should go."""


class MissingExtraError(CanemoError, ImportError):
    """An optional part of canemo is not installed."""


def first_line(exc: Exception) -> str:
    """Return the first line of an error's message, or its type."""
    return (str(exc).strip() or type(exc).__name__).splitlines()[0]
