"""The image files an annotation source names: where they are and how large."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

import PIL.Image

from canemo.errors import AnnotationError
from canemo.video.stills import IMAGE_SUFFIXES

_ORIENTATION_TAG = 0x0112


class ImageFolders:
    """Look up image files by the names that annotation sources have for them.

    Parameters
    ----------
    folders
        Where the images are; folders below them are searched too. Those that do not exist are
        ignored.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = tuple(folder for folder in folders if folder.is_dir())

    def find(self, names: Sequence[str]) -> Path:
        """Return the file of the first name that there is one for.

        A name may be a path of the machine it was labelled on: the longest end of it that exists
        counts. A bare name may be in any folder below, a name without an ending may have any.

        Raises
        ------
        AnnotationError
            If there is no such file, or more than one.
        """
        for name in names:
            path = self._find_path(name) or self._find_below(name)
            if path is not None:
                return path
        searched = ", ".join(map(str, self.folders)) or "any folder given"
        raise AnnotationError(
            f"there is no image {names[0]!r} in {searched}; say where the images are with "
            "--images (images_dir)."
        )

    def _find_path(self, name: str) -> Path | None:
        if Path(name).is_absolute() and Path(name).is_file():
            return Path(name)
        parts = PurePosixPath(name.replace("\\", "/")).parts
        for start in range(len(parts)):
            for folder in self.folders:
                path = folder.joinpath(*(part for part in parts[start:] if part != "/"))
                if path.is_file():
                    return path
        return None

    def _find_below(self, name: str) -> Path | None:
        base = PurePosixPath(name.replace("\\", "/")).name
        found = self._by_name.get(base, [])
        if len(found) > 1:
            raise AnnotationError(
                f"there are {len(found)} images {base!r}: {found[0]} and {found[1]}; "
                "rename one of them, or give the folder of the one that is meant with --images "
                "(images_dir)."
            )
        return found[0] if found else None

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        """The images by name, and by name without ending."""
        by_name: dict[str, list[Path]] = {}
        for folder in self.folders:
            for path in sorted(folder.rglob("*")):
                if path.suffix.lower() in IMAGE_SUFFIXES:
                    by_name.setdefault(path.name, []).append(path)
                    by_name.setdefault(path.stem, []).append(path)
        return by_name


def read_image_size(path: Path, *, stated: tuple[int, int] | None) -> tuple[int, int]:
    """Read width and height [px] of an image file, as stored.

    Parameters
    ----------
    path
        The image file.
    stated
        The size it had when it was labelled, if known.

    Raises
    ------
    AnnotationError
        If the file is no image, if its size is not the stated one, or if its EXIF data ask for it
        to be turned: labelling tools turn it, and boxes drawn on that do not fit what is stored.
    """
    try:
        with PIL.Image.open(path) as file:
            size, orientation = file.size, file.getexif().get(_ORIENTATION_TAG, 1)
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError) as exc:
        raise AnnotationError(f"{path}: the image cannot be read ({exc}).") from exc
    if orientation not in (0, 1):
        raise AnnotationError(
            f"{path}: is stored turned or mirrored (EXIF orientation {orientation}); save it "
            "upright without that mark, and the boxes will fit it."
        )
    if stated is not None and stated != size:
        raise AnnotationError(
            f"{path}: has {size[0]} x {size[1]} pixels, but was labelled with {stated[0]} x "
            f"{stated[1]}; give the images that were labelled."
        )
    return size
