import pytest

from canemo.config import Config, load_config
from canemo.errors import ConfigError
from canemo.species import DOG, GENERIC, SPECIES, get_species, side_of_point


@pytest.mark.parametrize("species", SPECIES.values(), ids=SPECIES)
def test_a_species_is_whole(species):
    assert species.regions[-1] == "background"
    assert len(set(species.points)) == len(species.points) == len(species.mean_shape)
    named = [region for region, *_ in species.region_boxes] + list(species.region_words)
    assert set(named) <= set(species.regions[:-1])
    assert {point for corners in species.eye_corners for point in corners} <= set(species.points)
    edges = [edge for band in species.bands.values() for edge in band]
    assert edges == sorted(edges)
    assert (species.landmark_weights is None) == (species.points == ())


def test_mirrored_twice_a_point_is_itself():
    assert [DOG.mirrored[place] for place in DOG.mirrored] == list(range(46))
    left, right = DOG.points.index("ear_tip_left"), DOG.points.index("ear_tip_right")
    assert DOG.mirrored[left] == right
    assert DOG.mirrored[DOG.points.index("chin")] == DOG.points.index("chin")


def test_numbers_and_articles_are_those_of_the_language():
    assert (DOG.one, DOG.count(1), DOG.count(3)) == ("a dog", "1 dog", "3 dogs")
    assert (GENERIC.one, GENERIC.count(0)) == ("an animal", "0 animals")


def test_names_of_points_mean_regions_only_where_the_species_says_so():
    assert DOG.region_of("L_EyeInner") == "eyes"
    assert GENERIC.region_of("L_EyeInner") is None
    assert side_of_point("L_EyeInner") == "left"


def test_an_unknown_species_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"'dgo' is unknown, the nearest is 'dog'.*generic"):
        get_species("dgo")
    with pytest.raises(ConfigError, match=r"study\.species = 'cat'.*there are dog, generic"):
        load_config(overrides={"study": {"species": "cat"}})


def test_the_detector_is_the_one_of_the_species_or_must_be_given():
    assert Config().detector == DOG.detector == "dog_head"
    generic = load_config(overrides={"study": {"species": "generic"}})
    assert generic.species is GENERIC
    with pytest.raises(ConfigError, match=r"'generic': no detector ships.*give detect\.detector"):
        _ = generic.detector
    given = {"study": {"species": "generic"}, "detect": {"detector": "whole_frame"}}
    assert load_config(overrides=given).detector == "whole_frame"
