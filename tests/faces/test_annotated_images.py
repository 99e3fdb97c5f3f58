import numpy as np
import PIL.Image
import pytest

from canemo.errors import AnnotationError
from canemo.faces.annotations.annotated_images import open_annotated
from canemo.faces.training.evaluate import load_image
from canemo.formats.boxes.coco import AnnotatedImage


@pytest.fixture
def picture(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    PIL.Image.fromarray(image).save(tmp_path / "dog.png")
    return AnnotatedImage(tmp_path / "dog.png", 80, 60), image


def test_image_is_read_as_stored(picture):
    annotated, image = picture
    np.testing.assert_array_equal(load_image(annotated), image)


def test_image_of_another_size_than_its_annotations_say_is_not_measured_on(picture):
    annotated, _ = picture
    with pytest.raises(AnnotationError, match="is 80 x 60 pixels, but its annotations say 60 x 80"):
        load_image(AnnotatedImage(annotated.path, 60, 80))


def test_file_that_ends_too_early_is_named_though_its_header_is_whole(picture):
    annotated, _ = picture
    annotated.path.write_bytes(annotated.path.read_bytes()[:2000])
    with open_annotated(annotated) as file:
        assert file.size == (80, 60)
    with pytest.raises(AnnotationError, match=r"dog\.png: the image cannot be read"):
        load_image(annotated)
