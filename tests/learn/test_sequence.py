import numpy as np
import pytest
import torch

from canemo.config import SequenceConfig
from canemo.errors import ConfigError
from canemo.faces.geometry import place_mean, tabulate_faces
from canemo.learn.sequence import HEADS, fit_sequence
from canemo.species import DOG

LABELS = ("anticipation", "frustration")
SETTINGS = SequenceConfig(hidden=32, epochs=30, learning_rate=3e-3)
BRIEF = SETTINGS.model_copy(update={"epochs": 5})
"""For what must hold of any model, however little it has learned."""
FEATURES = 16


class World:
    """Clips of many subjects; `draw` says what a label looks like, (T, F) from (label, rng)."""

    def __init__(self, draw, *, clips=240, frames=20, seed=0, share=0.5, per_subject=8):
        rng = np.random.default_rng(seed)
        lengths = frames if np.ndim(frames) else np.full(clips, frames)
        y = (rng.random(clips) < share).astype(np.int64)
        dogs = 0.3 * rng.normal(size=(clips // per_subject + 1, FEATURES))
        clips_x = []
        for clip, (label, length) in enumerate(zip(y, lengths, strict=True)):
            noise = rng.normal(size=(length, FEATURES))
            clips_x.append(dogs[clip // per_subject] + noise + draw(label, length, rng))
        self.x = np.concatenate(clips_x).astype(np.float32)
        self.clip = np.repeat(np.arange(clips), lengths)
        self.y = y[self.clip]
        self.video_ids = np.array([f"clip {i:03d}" for i in self.clip], dtype=object)
        self.time_s = np.concatenate([np.arange(n) / 5 for n in lengths])
        self.subject = self.clip // per_subject

    def fit(self, head, rows=slice(None), **kwargs):
        chosen = {"settings": SETTINGS, "seed": 0, **kwargs}
        return fit_sequence(
            self.x[rows],
            self.y[rows],
            video_ids=self.video_ids[rows],
            time_s=self.time_s[rows],
            labels=LABELS,
            head=head,
            **chosen,
        )

    def predict(self, probe, rows=slice(None)):
        return probe.predict(self.x[rows], video_ids=self.video_ids[rows], time_s=self.time_s[rows])

    def score(self, head, **kwargs):
        """Fit on two thirds of the subjects; return the accuracy on clips of the others."""
        train = self.subject % 3 > 0
        _, clips = self.predict(self.fit(head, train, **kwargs), ~train)
        _, first = np.unique(self.clip[~train], return_index=True)
        return (clips.argmax(1) == self.y[~train][first]).mean()


def in_mean(label, length, rng):
    shift = np.zeros(FEATURES)
    shift[label] = 1.5
    return shift


def in_order(label, length, rng):
    direction = np.random.default_rng(99).normal(size=FEATURES)
    ramp = np.linspace(-2, 2, length)[:, None] * direction
    return ramp if label else ramp[::-1]


def in_few_frames(label, length, rng):
    marks = np.zeros((length, FEATURES))
    marks[rng.choice(length, 2, replace=False), label] = 4.0
    return marks


def nowhere(label, length, rng):
    return 0.0


@pytest.fixture(scope="module")
def ragged():
    lengths = np.random.default_rng(5).integers(1, 25, size=60)
    lengths[:5] = 1
    return World(in_mean, clips=60, frames=lengths)


@pytest.mark.parametrize("head", HEADS)
def test_label_in_the_mean_is_found_on_unseen_subjects(head):
    assert World(in_mean, clips=120, frames=12).score(head, settings=SequenceConfig()) >= 0.95


@pytest.mark.parametrize("head", ["convolution", "gru"])
def test_label_in_the_order_is_found_by_heads_that_see_it(head):
    assert World(in_order, frames=8).score(head) >= 0.9


def test_mouths_that_open_are_told_from_mouths_that_close_by_the_geometry_of_faces():
    world = World(nowhere, clips=120, frames=8)
    way = np.tile(np.linspace(0, 0.4, 8), 120)
    z = np.tile(place_mean(DOG), (len(way), 1))
    z += 0.01 * np.random.default_rng(0).normal(size=(*z.shape, 2)) @ (1, 1j)
    chin = [i for i, name in enumerate(DOG.points) if name.startswith(("lip_lower", "chin"))]
    z[:, chin] += 1j * np.where(world.y, way, 0.4 - way)[:, None]
    xyc = 40 * np.stack([z.real, z.imag, np.full(z.shape, 0.9 / 40)], axis=2)
    world.x = tabulate_faces(xyc, DOG.points, DOG)
    assert world.score("gru") >= 0.9


@pytest.mark.parametrize("head", ["mean", "attention"])
def test_label_in_the_order_is_hidden_from_heads_that_do_not(head):
    assert 0.3 < World(in_order, frames=8).score(head) < 0.7


def test_label_in_few_frames_is_better_found_than_by_the_mean():
    world = World(in_few_frames)
    scores = {head: world.score(head) for head in ("mean", "attention", "convolution")}
    assert scores["attention"] > 0.9
    assert scores["convolution"] > 0.85
    assert scores["mean"] < 0.75


@pytest.mark.parametrize("head", HEADS)
def test_nothing_there_nothing_found(head):
    assert 0.3 < World(nowhere, frames=8).score(head) < 0.7


@pytest.mark.parametrize("head", HEADS)
def test_answer_does_not_depend_on_company(head, ragged):
    probe = ragged.fit(head, settings=BRIEF)
    frames, clips = ragged.predict(probe)
    for clip in (0, 17, 59):
        rows = ragged.clip == clip
        frames_alone, clip_alone = ragged.predict(probe, rows)
        np.testing.assert_allclose(frames_alone, frames[rows], atol=1e-5)
        np.testing.assert_allclose(clip_alone, clips[[clip]], atol=1e-5)
    np.testing.assert_allclose(clips.sum(1), 1)
    np.testing.assert_allclose(frames.sum(1), 1)


@pytest.mark.parametrize("head", HEADS)
def test_order_of_rows_does_not_matter(head, ragged):
    shuffled = np.random.default_rng(3).permutation(len(ragged.x))
    probe, again = (ragged.fit(head, rows, settings=BRIEF) for rows in (slice(None), shuffled))
    for name, tensor in probe.state.items():
        np.testing.assert_array_equal(again.state[name], tensor)
    frames, clips = ragged.predict(probe)
    frames_again, clips_again = ragged.predict(probe, shuffled)
    np.testing.assert_allclose(frames_again, frames[shuffled], atol=1e-6)
    _, first = np.unique(ragged.clip[shuffled], return_index=True)
    np.testing.assert_allclose(clips_again, clips[np.argsort(first)], atol=1e-6)


@pytest.mark.parametrize("head", HEADS)
def test_frame_is_answered_by_the_window_around_it(head):
    world = World(in_order, clips=20, frames=40)
    probe = world.fit(head, settings=BRIEF.model_copy(update={"window_s": 2.0}))
    frames, _ = world.predict(probe)
    for row, window in ((20, range(15, 26)), (2, range(8)), (39, range(34, 40))):
        _, alone = world.predict(probe, np.array(window))
        np.testing.assert_allclose(frames[row], alone[0], atol=1e-5)


def test_window_of_one_frame_and_window_of_the_whole_clip(ragged):
    for window_s, same in ((1e-3, False), (1e3, True)):
        settings = BRIEF.model_copy(update={"window_s": window_s})
        frames, clips = ragged.predict(ragged.fit("convolution", settings=settings))
        whole = clips[ragged.clip]
        assert np.allclose(frames, whole, atol=1e-5) == same
        np.testing.assert_allclose(frames[:5], whole[:5], atol=1e-5)  # clips of one frame


@pytest.mark.parametrize("head", HEADS)
def test_seed_decides_everything_and_nothing_else_is_touched(head, ragged):
    x, y, time_s = ragged.x.copy(), ragged.y.copy(), ragged.time_s.copy()
    random_state, threads = torch.get_rng_state(), torch.get_num_threads()
    probe, again, other = (ragged.fit(head, settings=BRIEF, seed=seed) for seed in (4, 4, 5))
    frames, _ = ragged.predict(probe)
    np.testing.assert_array_equal(frames, ragged.predict(again)[0])
    assert not np.array_equal(frames, ragged.predict(other)[0])
    assert torch.equal(random_state, torch.get_rng_state())
    assert torch.get_num_threads() == threads
    for now, before in ((ragged.x, x), (ragged.y, y), (ragged.time_s, time_s)):
        np.testing.assert_array_equal(now, before)


@pytest.mark.parametrize("head", HEADS)
def test_balanced_weights_undo_uneven_labels(head):
    world = World(nowhere, clips=80, frames=2, share=0.85)
    world.x[:] = 1.0  # so that nothing but the share of the labels can be learned
    settings = SequenceConfig(hidden=4, epochs=60, learning_rate=0.03, dropout=0.0)
    for class_weight, expected in (("none", world.y.mean()), ("balanced", 0.5)):
        _, clips = world.predict(world.fit(head, settings=settings, class_weight=class_weight))
        np.testing.assert_allclose(clips[:, 1], expected, atol=0.02)


@pytest.mark.parametrize("head", HEADS)
def test_constant_feature_does_no_harm(head, ragged):
    x = ragged.x.copy()
    x[:, 3] = 0.1
    clips = {"video_ids": ragged.video_ids, "time_s": ragged.time_s}
    probe = fit_sequence(x, ragged.y, **clips, labels=LABELS, head=head, settings=BRIEF)
    frames, _ = probe.predict(x, **clips)
    assert np.isfinite(frames).all()
    assert probe.scale[3] == 1
    x[:, 3] = 50.0
    np.testing.assert_array_equal(probe.predict(x, **clips)[0], frames)


def test_three_labels_and_half_floats():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(60) % 3, 6)
    x = (np.eye(3)[y] * 4 + rng.normal(size=(360, 3))).astype(np.float16)
    clips = {
        "video_ids": np.repeat(np.arange(60).astype(str), 6).astype(object),
        "time_s": np.tile(np.arange(6) / 5, 60),
    }
    for head in HEADS:
        probe = fit_sequence(x, y, **clips, labels=("a", "b", "c"), head=head, settings=SETTINGS)
        _, answers = probe.predict(x, **clips)
        assert answers.shape == (60, 3)
        assert (answers.argmax(1) == np.arange(60) % 3).mean() > 0.95
        assert {tensor.dtype for tensor in probe.state.values()} == {np.dtype(np.float32)}


def test_no_frames_no_answers(ragged):
    frames, clips = ragged.predict(ragged.fit("gru", settings=BRIEF), slice(0))
    assert frames.shape == clips.shape == (0, 2)


def test_unknown_head_is_an_error(ragged):
    with pytest.raises(ConfigError, match="'lstm' is unknown; there are mean, attention"):
        ragged.fit("lstm")
