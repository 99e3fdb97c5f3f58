"""The face measured: points laid upright at one size, and the distances and angles among them.

Every face is laid on the mean face of its species by a similarity: turned in the plane of the
picture, scaled and moved, never bent. What remains is shape. Coordinates are in face units: the
origin is the middle of the eyes of the mean face, x runs to the right of the picture, y down, and
the eyes of the mean face are 1 apart. `left` and `right` are sides of the picture; an animal that
looks into the camera has its own left on the right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from canemo.species import FACE_UNITS, Group, Measure, Species, mirror_point, spell_point

Array: TypeAlias = NDArray[np.float64]
Complex: TypeAlias = NDArray[np.complex128]

_SIDES = ("left", "right")
_FIRM = ("eye", "bridge", "nose", "nostril")  # what no muscle of the face moves far
_ROUNDS = 5  # of the robust fit
_LEAST_SPREAD = 0.01  # square face units: about a tenth of the distance between the eyes
_NEAR = 0.2  # face units: a point further from the mean face than this counts less
_FARTHEST = 5.0  # face units: beyond, a point is no part of the face


@dataclass(frozen=True)
class Geometry:
    """The measured faces of N crops.

    Attributes
    ----------
    names
        K points, as canemo spells them.
    points
        (N, K, 2) places in face units, x and y; NaN where a point, or the whole face, is not known.
    confidence
        (N, K) how far the points are to be trusted, 0 to 1; 0 where they are not known.
    measures
        The M measures there are.
    values
        (N, M) what they are, in their units; NaN where a point they rest on is not known.
    trust
        (N, M) the confidence they rest on: the mean over their least sure group of points.
    origin, unit
        (N, 2) place of the origin [pixels of the frame]; (N,) length of a face unit there.
    roll
        (N,) how far the face was turned to stand upright [degrees].
    """

    names: tuple[str, ...]
    points: Array
    confidence: Array
    measures: tuple[Measure, ...]
    values: Array
    trust: Array
    origin: Array
    unit: Array
    roll: Array

    def __len__(self) -> int:
        return len(self.points)

    def value_of(self, measure: str) -> Array:
        """Return (N,) the values of a measure by its name."""
        return self.values[:, [each.name for each in self.measures].index(measure)]


def measure_points(xyc: NDArray[np.floating], names: Sequence[str], species: Species) -> Geometry:
    """Measure N faces by their points.

    Parameters
    ----------
    xyc
        (N, K, 3) x and y [pixels, square ones] and confidence, 0 to 1; NaN where a point is not
        known. A known point without a confidence counts as sure.
    names
        Of the K points, in any spelling; measures whose points have other names are not taken.
    species
        Whose faces they are.

    Notes
    -----
    The similarity minimises the weighted squares of the distances between the firm points (eyes,
    bridge and nose) and those of the mean face (Umeyama 1991, doi:10.1109/34.88573). Weights are
    the squared confidences times Huber's (1964, doi:10.1214/aoms/1177703732), so that one misplaced
    eye does not tilt the face. Points of a scheme that is not the species' own are laid by the
    middles of the left eye, the right eye and the nose, at least two of them. Where most faces of
    such a scheme have the `left` eye on the right, its names mean the animal's sides and are
    exchanged.
    """
    z, confidence = _read_points(xyc)
    names = _name_sides(names, z, species)
    turn, move = _fit(*_list_firm(z, confidence, names, species))
    with np.errstate(invalid="ignore", divide="ignore"):
        laid = (z - move) / turn
    laid[np.abs(laid) > _FARTHEST] = np.nan
    confidence = np.where(np.isfinite(laid), confidence, 0.0)
    roll = np.degrees(np.angle(turn[:, 0]))
    face = _Face(names, laid, confidence, roll, species)
    measures = _list_measures(names, species)
    return Geometry(
        names,
        _split(laid),
        confidence,
        measures,
        _stack([face.take(each) for each in measures], len(z)),
        _stack([face.trust(each) for each in measures], len(z)),
        _split(move[:, 0]),
        np.abs(turn[:, 0]),
        roll,
    )


def _read_points(xyc: NDArray[np.floating]) -> tuple[Complex, Array]:
    """Return places (N, K), x the real and y the imaginary part, and confidences, 0 if unknown."""
    exact = np.asarray(xyc, dtype=float)
    z = exact[:, :, 0] + 1j * exact[:, :, 1]
    confidence = np.where(np.isnan(exact[:, :, 2]), 1.0, exact[:, :, 2])
    return z, np.where(np.isfinite(z), confidence, 0.0)


def _name_sides(names: Sequence[str], z: Complex, species: Species) -> tuple[str, ...]:
    """Return the names as canemo spells them, left and right those of the picture."""
    spelled = _spell(names, species)
    if spelled == species.points:
        return spelled
    left, right = (_middle(z, spelled, _list_eye(spelled, side, species)) for side in _SIDES)
    if np.nansum(np.sign((right - left).real)) >= 0:
        return spelled
    mirrored = {name: mirror_point(name) for name in spelled}
    return tuple(other if other in mirrored else name for name, other in mirrored.items())


def _list_eye(names: Sequence[str], side: str, species: Species) -> Group:
    return tuple(n for n in names if species.region_of(n) == "eyes" and n.endswith(f"_{side}"))


def _middle(z: Complex, names: Sequence[str], group: Group) -> Complex:
    """Return (N,) the middle of the known points of a group, NaN where none is."""
    some = z[:, [names.index(name) for name in group]]
    known = np.isfinite(some)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, some, 0).sum(axis=1) / known.sum(axis=1))


def _list_firm(
    z: Complex, confidence: Array, names: tuple[str, ...], species: Species
) -> tuple[Complex, Array, Complex]:
    """Return the firm points (N, A), their weights (N, A) and their places in the mean face (A,).

    Of a scheme that is not the species' own, the middles of both eyes and of the nose.
    """
    if names == species.points:
        firm = [i for i, name in enumerate(names) if name.startswith(_FIRM)]
        return z[:, firm], confidence[:, firm] ** 2, place_mean(species)[firm]
    groups = [*(_list_eye(names, side, species) for side in _SIDES), _list_nose(names)]
    wanted = [*(_list_eye(species.points, side, species) for side in _SIDES)]
    wanted.append(_list_nose(species.points))
    middles = np.stack([_middle(z, names, group) for group in groups], axis=1)
    sure = [
        confidence[:, [names.index(n) for n in group]].max(axis=1, initial=0) for group in groups
    ]
    mean = place_mean(species)[None]
    places = [_middle(mean, species.points, group)[0] for group in wanted]
    return middles, np.stack(sure, axis=1) ** 2, np.array(places)


def _list_nose(names: Sequence[str]) -> Group:
    return tuple(name for name in names if "nose" in name or "nostril" in name)


def place_mean(species: Species) -> Complex:
    """Return (K,) the species' points in its mean face, in face units, x real and y imaginary.

    A species without a mean face has none.
    """
    if not species.mean_shape:
        return np.empty(0, dtype=complex)
    z = np.array([complex(x, y) for x, y in species.mean_shape])
    left, right = (
        z[[species.points.index(name) for name in corners]].mean()
        for corners in species.eye_corners
    )
    return np.asarray((z - (left + right) / 2) / np.abs(right - left))


def _fit(z: Complex, weights: Array, mean: Complex) -> tuple[Complex, Complex]:
    """Return turn and move, (N, 1) each, with z = turn * mean + move; NaN where that is open."""
    known = np.isfinite(z)
    z = np.where(known, z, 0)
    base = np.where(known, weights, 0)
    robust = base
    with np.errstate(invalid="ignore", divide="ignore"):
        for _ in range(_ROUNDS):
            total = robust.sum(axis=1, keepdims=True)
            z_mean = (robust * z).sum(axis=1, keepdims=True) / total
            m_mean = (robust * mean).sum(axis=1, keepdims=True) / total
            spread = (robust * np.abs(mean - m_mean) ** 2).sum(axis=1, keepdims=True)
            turn = (robust * np.conj(mean - m_mean) * (z - z_mean)).sum(1, keepdims=True) / spread
            turn[spread < _LEAST_SPREAD * total] = np.nan  # one place fixes no angle
            move = z_mean - turn * m_mean
            away = np.abs(z - turn * mean - move) / np.abs(turn)
            robust = base * np.minimum(1, _NEAR / np.maximum(away, 1e-9))
    return turn, move


@dataclass(frozen=True)
class _Face:
    """N faces laid on the mean face; see `Geometry`."""

    names: tuple[str, ...]
    laid: Complex
    confidence: Array
    roll: Array
    species: Species

    def take(self, measure: Measure) -> Array:
        """Return (N,) what a measure is."""
        return np.asarray(_TAKE[measure.kind](self, measure))

    def trust(self, measure: Measure) -> Array:
        """Return (N,) the confidence a measure rests on."""
        groups = {group for pair in measure.pairs for group in pair}
        sure = [self._index(self.confidence, group).mean(axis=1) for group in groups]
        return np.asarray(np.min(sure, axis=0))

    def _index(self, rows: NDArray[Any], group: Group) -> NDArray[Any]:
        return rows[:, [self.names.index(name) for name in group]]

    def middle(self, group: Group) -> Complex:
        """Return (N,) the middle of a group, NaN where one of its points is not known."""
        middle: Complex = self._index(self.laid, group).mean(axis=1)
        return middle

    def span(self, measure: Measure) -> Complex:
        """Return (N, pairs) from the first group of each pair to the second."""
        return np.stack([self.middle(b) - self.middle(a) for a, b in measure.pairs], axis=1)


def _lay_mean(species: Species) -> _Face:
    """Return the mean face of the species as the only one of N = 1 faces."""
    place = place_mean(species)[None]
    return _Face(species.points, place, np.ones(place.shape), np.zeros(1), species)


def _list_measures(names: Sequence[str], species: Species) -> tuple[Measure, ...]:
    return tuple(each for each in species.measures if set(each.points) <= set(names))


def _take_distance(face: _Face, measure: Measure) -> Array:
    return np.asarray(np.abs(face.span(measure)).mean(axis=1))


def _take_shortening(face: _Face, measure: Measure) -> Array:
    return _take_distance(_lay_mean(face.species), measure) - _take_distance(face, measure)


def _take_height(face: _Face, measure: Measure) -> Array:
    return np.asarray(-face.span(measure).imag.mean(axis=1))


def _take_tilt(face: _Face, measure: Measure) -> Array:
    """Return angles from straight up, outwards of the face, -90 to 270 degrees."""
    span = face.span(measure)[:, 0]
    outwards = -span.real if measure.name.endswith("_left") else span.real
    angle = np.degrees(np.arctan2(outwards, -span.imag))
    return np.where(angle < -90, angle + 360, angle)


def _take_roll(face: _Face, _: Measure) -> Array:
    return face.roll


def _find_nose(face: _Face, measure: Measure) -> Complex:
    """Return (N,) the nose seen from between the eyes, along their line and across it."""
    eyes, nose = face.span(measure).T
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(nose * np.conj(eyes) / np.abs(eyes))


def _take_yaw(face: _Face, measure: Measure) -> Array:
    return np.asarray(_find_nose(face, measure).real)


def _take_pitch(face: _Face, measure: Measure) -> Array:
    return np.asarray(
        _find_nose(face, measure).imag - _find_nose(_lay_mean(face.species), measure).imag
    )


_TAKE: dict[str, Callable[[_Face, Measure], Array]] = {
    "distance": _take_distance,
    "shortening": _take_shortening,
    "height": _take_height,
    "tilt": _take_tilt,
    "roll": _take_roll,
    "yaw": _take_yaw,
    "pitch": _take_pitch,
}


def _split(z: Complex) -> Array:
    """Return x and y as a last axis of their own."""
    return np.stack([z.real, z.imag], axis=-1)


def _stack(columns: Sequence[Array], rows: int) -> Array:
    return np.stack(columns, axis=1) if columns else np.empty((rows, 0))


@dataclass(frozen=True)
class Column:
    """A column of the block `geometry`: its name, the region it tells of, and what it says."""

    name: str
    region: str
    meaning: str


def list_columns(names: Sequence[str], species: Species) -> tuple[Column, ...]:
    """Return the F columns that `tabulate_faces` gives for points of these names.

    First the measures, then x and y of each point, then the confidence of each.
    """
    spelled = _spell(names, species)
    columns = [
        Column(each.name, each.region, f"{each.meaning} [{each.unit}]")
        for each in _list_measures(spelled, species)
    ]
    for axis, meaning in (("x", "to the right of"), ("y", "below")):
        columns += [
            Column(
                f"{name}_{axis}",
                species.region_of(name) or "head",
                f"how far {_read(name)} is {meaning} the middle of the eyes [{FACE_UNITS}]",
            )
            for name in spelled
        ]
    columns += [
        Column(
            f"{name}_confidence",
            species.region_of(name) or "head",
            f"how well {_read(name)} is seen [0 to 1]",
        )
        for name in spelled
    ]
    return tuple(columns)


def _spell(names: Sequence[str], species: Species) -> tuple[str, ...]:
    return species.points if tuple(names) == species.points else tuple(map(spell_point, names))


def _read(point: str) -> str:
    return point.replace("_", " ")


def _find_neutral(names: tuple[str, ...], species: Species) -> Array:
    """Return the measures of the mean face, then x, then y of these points; 0 where unknown."""
    face = _lay_mean(species)
    values = [float(face.take(each)[0]) for each in _list_measures(names, species)]
    places = dict(zip(face.names, face.laid[0], strict=True))
    laid = [places.get(name, 0j) for name in names]
    return np.array([*values, *(z.real for z in laid), *(z.imag for z in laid)])


def tabulate_faces(
    xyc: NDArray[np.floating], names: Sequence[str], species: Species
) -> NDArray[np.float32]:
    """Return the block `geometry` of N faces, (N, F) float32, the columns of `list_columns`.

    A point that is not known stands where it is in the mean face, with confidence 0, and a measure
    that rests on such points is that of the mean face.
    """
    found = measure_points(xyc, names, species)
    spelled = _spell(names, species)
    order = [found.names.index(name) for name in spelled]
    neutral = _find_neutral(spelled, species)
    values = np.concatenate(
        [found.values, found.points[:, order, 0], found.points[:, order, 1]], axis=1
    )
    values = np.where(np.isfinite(values), values, neutral)
    return np.concatenate([values, found.confidence[:, order]], axis=1).astype(np.float32)
