"""The program itself: its name, its global options, and how errors become text."""

# No `from __future__ import annotations`: Typer would have to evaluate each as text at every start.

import errno
import logging
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from canemo.errors import CanemoError

ORDER = {
    "Start": ("demo", "init", "check"),
    "Work": ("run", "predict", "measure"),
    "Look closer": (
        "audit",
        "explain",
        "compare",
        "concepts",
        "dynamics",
        "report",
        "export",
        "verify",
    ),
    "Single steps": ("crop", "embed", "evaluate", "frames", "detector"),
    "About this version": ("presets", "doctor"),
}
"""The commands in groups, as help lists them: the order of the work."""


class InOrder(TyperGroup):
    """Commands in the order of the work, each in its group, wherever they are made."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return their names; those of no group come last."""
        names = [name for group in ORDER.values() for name in group]
        return sorted(self.commands, key=lambda name: (*names, name).index(name))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, told which group it is listed in."""
        found: Any = super().get_command(ctx, cmd_name)
        group = next((group for group, names in ORDER.items() if cmd_name in names), None)
        if found is not None and group is not None:
            found.rich_help_panel = group
        return found


app = typer.Typer(
    cls=InOrder,
    name="canemo",
    help="Emotional states of dogs from their faces: videos of known dogs in, a classifier "
    "tested on dogs it has never seen and a report out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
detector_app = typer.Typer(help="Work with face detectors.", no_args_is_help=True)
app.add_typer(detector_app, name="detector")


def _show_version(wanted: bool) -> None:
    if wanted:
        from canemo import environment

        typer.echo(f"canemo {environment.version()}")
        raise typer.Exit


@app.callback()
def _start(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, errors only.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    from canemo.cli import console

    level = logging.INFO if verbose else logging.ERROR if quiet else logging.WARNING
    console.start_logging(level, progress=not quiet)


def main() -> None:
    """Run the command line; the one place where a stated failure becomes text."""
    # Where another program has a core, threads that spin while they wait for each other slow torch
    # down many times; waiting threads that sleep cost next to nothing. Must precede its import.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app()
    except CanemoError as exc:
        _fail(str(exc))
    except OSError as exc:
        _fail(_describe(exc))
    except SystemExit as exc:
        if exc.code == 130:
            typer.echo("interrupted; run the same command again to continue", err=True)
        raise


def _describe(exc: OSError) -> str:
    """Return what failed, and what to do: running again helps where the place itself is right."""
    where = f"{exc.filename}: " if exc.filename else ""
    what = f"{where}{exc.strerror or exc}"
    if exc.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{what}; it cannot be read or written: ask for the right to, or name another place"
    if exc.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG):
        return f"{what}; name another place"
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{what}; what was finished is kept: make room, and run again to continue"
    return f"{what}; what was finished is kept, run again to continue"


def _fail(message: str) -> None:
    typer.echo(f"error: {message}", err=True)
    sys.exit(1)
