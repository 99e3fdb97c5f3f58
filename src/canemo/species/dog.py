"""What is true of dogs only."""

from __future__ import annotations

from canemo.species.measure import DEGREES, FACE_UNITS, Group, Measure, Place
from canemo.species.species import Species

_BOTH_SIDES: dict[str, Place] = {  # of the left one
    "ear_base_inner": (0.336, 0.223), "ear_edge_inner": (0.280, 0.294),
    "ear_edge_middle": (0.254, 0.395), "ear_tip": (0.192, 0.500),
    "ear_edge_outer": (0.150, 0.382), "ear_side": (0.166, 0.297),
    "ear_base_outer": (0.260, 0.274), "brow": (0.457, 0.312), "eye_inner": (0.404, 0.432),
    "eye_outer": (0.336, 0.422), "eye_upper": (0.371, 0.400), "eye_lower": (0.367, 0.450),
    "nose_upper": (0.448, 0.617), "bridge": (0.448, 0.523), "cheek": (0.365, 0.513),
    "nostril": (0.444, 0.668), "lip_upper": (0.397, 0.666), "mouth_corner": (0.358, 0.688),
    "lip_lower": (0.422, 0.745),
}  # fmt: skip
_MIDDLE: dict[str, float] = {
    "bridge": 0.513, "nose_top": 0.607, "nose_bottom": 0.668, "philtrum": 0.717,
    "lip_upper": 0.738, "lip_lower": 0.764, "chin": 0.775, "mouth": 0.756,
}  # fmt: skip


def _sides(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}_{side}" for name in names for side in ("left", "right"))


def _place(name: str) -> Place:
    part, _, side = name.rpartition("_")
    if side == "left":
        return _BOTH_SIDES[part]
    if side == "right":
        x, y = _BOTH_SIDES[part]
        return 1 - x, y
    return 0.5, _MIDDLE[name]


# The scheme and its order are those of DogFLW (Martvel et al. 2025, Dog facial landmarks detection
# and its applications for facial analysis, Sci Rep 15, doi:10.1038/s41598-025-07040-3).
_DOG_POINTS: tuple[str, ...] = (
    *_sides("ear_base_inner", "ear_edge_inner", "ear_edge_middle", "ear_tip"),
    *_sides("ear_edge_outer", "ear_side", "ear_base_outer"),  # to 13
    *_sides("brow", "eye_inner", "eye_outer", "eye_upper", "eye_lower"),
    "bridge",  # 24
    "nose_top",
    *_sides("nose_upper", "bridge", "cheek"),
    "nose_bottom",  # 32
    *_sides("nostril"),
    "philtrum",  # 35
    *_sides("lip_upper"),
    "lip_upper",  # 38
    *_sides("mouth_corner"),
    "lip_lower",  # 41
    "chin",
    *_sides("lip_lower"),
    "mouth",  # 45
)

_EYES: dict[str, Group] = {
    side: (f"eye_inner_{side}", f"eye_outer_{side}") for side in ("left", "right")
}
_BOTH_EYES: Group = (*_EYES["left"], *_EYES["right"])
_LIPS = tuple(((f"lip_upper{end}",), (f"lip_lower{end}",)) for end in ("_left", "", "_right"))


def _measure_side(side: str) -> tuple[Measure, ...]:
    """Return the measures of one side of a dog's face."""
    base: Group = (f"ear_base_inner_{side}", f"ear_base_outer_{side}")
    tip: Group = (f"ear_tip_{side}",)
    lids = ((f"eye_upper_{side}",), (f"eye_lower_{side}",))
    brow: Group = (f"brow_{side}",)
    corner: Group = (f"mouth_corner_{side}",)
    return (
        Measure(
            f"eye_opening_{side}", "distance", (lids,), "eyes", FACE_UNITS,
            "from the upper to the lower lid",
        ),
        Measure(
            f"brow_to_eye_{side}", "distance", ((brow, _EYES[side]),), "forehead", FACE_UNITS,
            "from the brow to the middle of the eye",
        ),
        Measure(
            f"mouth_corner_{side}", "height", ((("nose_bottom",), corner),), "muzzle", FACE_UNITS,
            "how far the corner of the mouth is above the lower edge of the nose",
        ),
        Measure(
            f"ear_angle_{side}", "tilt", ((base, tip),), "ears", DEGREES,
            "where the tip of the ear lies seen from its base: 0 up, 90 outwards, 180 down",
        ),
        Measure(
            f"ear_height_{side}", "height", ((_BOTH_EYES, tip),), "ears", FACE_UNITS,
            "how far the tip of the ear is above the eyes",
        ),
    )  # fmt: skip


_DOG_MEASURES: tuple[Measure, ...] = (
    Measure(
        "mouth_opening", "distance", _LIPS, "muzzle", FACE_UNITS,
        "from the upper to the lower lip, mean of middle and both sides",
    ),
    Measure(
        "jaw_drop", "distance", ((("nose_bottom",), ("chin",)),), "muzzle", FACE_UNITS,
        "from the lower edge of the nose to the chin",
    ),
    Measure(
        "mouth_width", "distance", ((("mouth_corner_left",), ("mouth_corner_right",)),), "muzzle",
        FACE_UNITS, "between the corners of the mouth",
    ),
    Measure(
        "lip_raise", "shortening",
tuple(((f"eye_inner_{side}",), (f"lip_upper_{side}",)) for side in ("left", "right")),
        "muzzle", FACE_UNITS,
        "how much nearer the upper lip is to the eyes than in the mean face, mean of both sides",
    ),
    *_measure_side("left"),
    *_measure_side("right"),
    Measure(
        "ear_spread", "distance", ((("ear_tip_left",), ("ear_tip_right",)),), "ears", FACE_UNITS,
        "between the tips of the ears",
    ),
    Measure(
        "nose_to_eyes", "distance", ((_BOTH_EYES, ("nose_top",)),), "muzzle", FACE_UNITS,
        "from the middle of the eyes to the upper edge of the nose",
    ),
    Measure(
        "head_roll", "roll", ((_EYES["left"], _EYES["right"]),), "head", DEGREES,
        "how far the head is tilted in the picture, clockwise",
    ),
    Measure(
        "head_yaw", "yaw", ((_EYES["left"], _EYES["right"]), (_BOTH_EYES, ("nose_top",))), "head",
        FACE_UNITS,
        "how far the nose is from the middle of the eyes, along their line; a stand-in",
    ),
    Measure(
        "head_pitch", "pitch", ((_EYES["left"], _EYES["right"]), (_BOTH_EYES, ("nose_top",))),
        "head", FACE_UNITS,
        "how much further the nose is below the line of the eyes than in the mean face; a stand-in",
    ),
)  # fmt: skip

DOG = Species(
    name="dog",
    noun="dog",
    plural="dogs",
    article="a",
    # `muzzle` is nose, mouth and chin, `cheeks` what remains of the face.
    regions=("eyes", "ears", "muzzle", "forehead", "cheeks", "background"),
    region_boxes=(
        ("cheeks", 0.25, 0.20, 0.75, 0.60),
        ("ears", 0.15, 0.20, 0.30, 0.55),
        ("ears", 0.70, 0.20, 0.85, 0.55),
        ("forehead", 0.35, 0.20, 0.65, 0.45),
        ("muzzle", 0.30, 0.55, 0.70, 0.85),
        ("eyes", 0.32, 0.38, 0.42, 0.47),
        ("eyes", 0.58, 0.38, 0.68, 0.47),
    ),
    bands={"ears": (0.0, 0.3), "eyes": (0.3, 0.55), "muzzle": (0.55, 1.0)},
    detector="dog_head",
    landmark_weights="dog_landmarks.safetensors",
    points=_DOG_POINTS,
    eye_corners=(
        ("eye_inner_left", "eye_outer_left"),
        ("eye_inner_right", "eye_outer_right"),
    ),
    # Measured: `estimate_shape` of 2,515 faces of DogFLW, each in the square around its box of the
    # face, by the anchors and with both sides alike; rounded to 1/1000.
    # ``test_mean_shape_is_that_of_real_faces`` repeats it.
    mean_shape=tuple(_place(name) for name in _DOG_POINTS),
    # Ears beyond their bases, lips, corners of the mouth and chin are none: how these stand is what
    # is to be seen.
    anchors=tuple(
        index
        for index, name in enumerate(_DOG_POINTS)
        if name.startswith(("eye_", "brow_", "bridge", "nose_", "nostril_", "ear_base_"))
    ),
    measures=_DOG_MEASURES,
    meters=("dog_mouth_open.json",),
    region_words={  # in this order: an eyebrow is no eye
        "forehead": ("eyebrow", "brow", "forehead", "glabella"),
        "ears": ("ear", "pinna"),
        "eyes": ("eyelid", "eye", "pupil", "iris", "canthus"),
        "muzzle": (
            "muzzle", "snout", "nose", "nostril", "naris", "mouth", "lip", "jaw", "chin",
            "whisker", "philtrum", "bridge", "tongue", "tooth", "teeth",
        ),
        "cheeks": ("cheek", "jowl", "zygoma"),
    },
    # DogFACS (Waller et al. 2013, the Dog Facial Action Coding System manual): action units, action
    # descriptors, ear action descriptors.
    units={
        "AU101": "inner brow raiser",
        "AU143": "eye closure",
        "AU145": "blink",
        "AU109+110": "nose wrinkler and upper lip raiser",
        "AU110": "upper lip raiser",
        "AU12": "lip corner puller",
        "AU116": "lower lip depressor",
        "AU118": "lip pucker",
        "AU25": "lips part",
        "AU26": "jaw drop",
        "AU27": "mouth stretch",
        "AD19": "tongue show",
        "AD33": "blow",
        "AD35": "lip suck",
        "AD37": "lip wipe",
        "AD40": "sniff",
        "AD126": "panting",
        "AD137": "nose lick",
        "EAD101": "ears forward",
        "EAD102": "ears adductor",
        "EAD103": "ears flattener",
        "EAD104": "ears rotator",
        "EAD105": "ears downward",
    },
)  # fmt: skip
