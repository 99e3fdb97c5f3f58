"""The file of an annotated image, opened only as what its annotations were drawn on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import PIL.Image

from canemo.errors import AnnotationError
from canemo.formats.boxes.coco import AnnotatedImage


@contextmanager
def open_annotated(annotated: AnnotatedImage) -> Iterator[PIL.Image.Image]:
    """Open the file of an annotated image, as stored (EXIF rotation not applied).

    Raises
    ------
    AnnotationError
        If it cannot be read, also within the block, or has not the size that the annotations state.
    """
    path, stated = annotated.path, (annotated.width, annotated.height)
    try:
        with PIL.Image.open(path) as file:
            if file.size != stated:
                raise AnnotationError(
                    f"{path}: is {file.size[0]} x {file.size[1]} pixels, but its annotations say "
                    f"{stated[0]} x {stated[1]}. Annotate the file itself."
                )
            yield file
    except (OSError, PIL.Image.DecompressionBombError) as exc:
        raise AnnotationError(f"{path}: the image cannot be read ({exc}).") from exc
