import numpy as np
import pytest
import torch

from canemo.config import AugmentConfig, CropConfig, DetectConfig, GradientConfig
from canemo.faces.crops import extract_crops
from canemo.features.augment import augment_crop
from canemo.features.poolings import pool
from canemo.features.store import extract_features, load_features
from canemo.features.views import StudyViews
from canemo.networks.backbones import INPUT_SIDE_PX, Embedding, load_backbone
from canemo.records import Face, Video
from canemo.species import DOG
from canemo.video.times import Sampling
from clips import write_clip

JITTER = AugmentConfig(flip=0.5, area=(0.8, 1.0), brightness=0.3, contrast=0.0, hue=0.0)
UNCHANGED = AugmentConfig(
    flip=0.0, area=(1.0, 1.0), brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0
)
FRAMES = {"one": 4, "two": 3, "three": 5}


class ColourBackbone:
    """Its vectors are the mean colour of the crop, so that a row tells which crop it is of."""

    fingerprint = "colour-1"
    grid_shape = (4, 4)
    is_cnn = True

    def __init__(self):
        self.seen = 0

    def embed(self, images_rgb):
        self.seen += len(images_rgb)
        means = np.stack([image.reshape(-1, 3).mean(axis=0) for image in images_rgb])
        cls = torch.from_numpy(means.astype(np.float32))
        tokens = 0.5 * cls[:, None, :].expand(-1, 16, -1)
        return Embedding(cls, tokens, tokens)


class MiddleDetector:
    """Finds a face in the middle of every frame that is not black."""

    name = fingerprint = "middle"
    engine = "torch"
    score_threshold = 0.5

    def detect(self, images_rgb):
        face = Face((20.0, 10.0, 60.0, 50.0), 0.9)
        return [[face] if image.mean() > 40 else [] for image in images_rgb]


def colour_of(clip, frame):
    return np.array([70 + 60 * clip, 60 + 30 * frame, 120])


def draw(clip, number):
    """One colour over the whole frame; the third clip has no face in its middle frame."""
    if (clip, number) == (2, 2):
        return np.zeros((64, 80, 3), np.uint8)
    return np.broadcast_to(colour_of(clip, number), (64, 80, 3)).astype(np.uint8)


def cut(video_id, path, cache_dir):
    return extract_crops(
        Video(video_id, path, "dog", "frustration"),
        MiddleDetector(),
        sampling=Sampling(every_nth=1),
        detect=DetectConfig(max_gap_s=0.0),
        crop=CropConfig(),
        cache_dir=cache_dir,
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    found = {}
    for clip, (video_id, frames) in enumerate(FRAMES.items()):
        path = folder / f"{video_id}.mp4"
        write_clip(path, frames=frames, size=(80, 64), draw=lambda n, clip=clip: draw(clip, n))
        found[video_id] = cut(video_id, path, folder)
    return found


@pytest.fixture
def offer(files, tmp_path):
    def offer(*, backbone=None, feed="exact", epochs=3, **settings):
        return StudyViews(
            **{
                "files": files,
                "backbone": backbone or ColourBackbone(),
                "pooling": "cls",
                "augment": JITTER,
                "seed": 0,
                "batch_size": 4,
                "cache_dir": tmp_path,
                **settings,
            },
            gradient=GradientConfig(feed=feed, epochs=epochs),
        )

    return offer


def all_epochs(views, videos=("one", "two", "three"), epochs=3):
    feed = views.feed(list(videos))
    return np.stack([feed(epoch) for epoch in range(epochs)])


def count_files(folder):
    return len(list((folder / "views").glob("*.parquet")))


def test_rows_are_in_the_order_of_videos_and_of_time(offer):
    videos = ["three", "one", "two"]
    rows = offer(augment=UNCHANGED).feed(videos)(0).astype(float)
    expected = [colour_of(2, n) for n in (0, 1, 3, 4)]  # no face in frame 2
    expected += [colour_of(0, n) for n in range(4)] + [colour_of(1, n) for n in range(3)]
    np.testing.assert_allclose(rows, expected, atol=6)  # what the codec does to a colour


def test_view_is_made_from_seed_footage_frame_and_its_number(offer, files):
    rows = all_epochs(offer(seed=7))
    start = 0
    for video_id in FRAMES:
        crops = files[video_id]
        used = [f for numbers, _ in crops.iter_crops(9) for f in numbers]
        for row, frame in enumerate(used, start=start):
            for epoch in range(3):
                seed = (7, int(crops.path.stem, 16), frame, epoch)
                view = augment_crop(crops.read_crop(frame), JITTER, side_px=224, seed=seed)
                expected = view.reshape(-1, 3).mean(axis=0)
                np.testing.assert_allclose(rows[epoch, row], expected, rtol=1e-3)
        start += len(used)
    assert start == rows.shape[1] == 11


def test_company_name_and_batches_do_not_change_a_view(offer, files, tmp_path):
    among = all_epochs(offer())[:, 4:7]  # "two" after the four crops of "one"
    renamed = {"other name": cut("other name", files["two"].video.path, tmp_path / "elsewhere")}
    alone = offer(files=renamed, batch_size=1, cache_dir=tmp_path / "elsewhere")
    np.testing.assert_array_equal(all_epochs(alone, ["other name"]), among)


def test_second_object_reads_everything_from_the_cache(offer):
    first, backbone = offer(), ColourBackbone()
    made = all_epochs(first)
    assert (first.made, first.cached) == (11 * 3, 0)
    second = offer(backbone=backbone)
    np.testing.assert_array_equal(all_epochs(second), made)
    assert (second.made, second.cached, backbone.seen) == (0, 11 * 3, 0)


def test_views_are_made_for_the_videos_asked_for_and_once(offer, tmp_path):
    backbone = ColourBackbone()
    views = offer(backbone=backbone)
    views.feed(["one"])
    assert (backbone.seen, count_files(tmp_path)) == (4 * 3, 1)
    views.feed(["two", "one"])
    assert (backbone.seen, count_files(tmp_path)) == (7 * 3, 2)
    assert (views.made, views.cached) == (7 * 3, 0)
    assert views.seconds > 0


def test_exact_gives_a_fresh_view_in_every_epoch(offer):
    rows = all_epochs(offer(epochs=5), epochs=5)
    for crop in range(rows.shape[1]):
        assert len(np.unique(rows[:, crop], axis=0)) == 5
    longer = all_epochs(offer(epochs=7), epochs=5)
    np.testing.assert_array_equal(longer, rows)  # more epochs add views and change none


def test_drawn_views_are_those_of_exact_and_all_of_them_occur(offer):
    k, epochs = 3, 60
    known = all_epochs(offer(epochs=k), epochs=k)  # (K, N, F)
    rows = all_epochs(offer(feed=f"views:{k}", epochs=epochs), epochs=epochs)
    same = (rows[:, None] == known[None]).all(axis=3)  # (epochs, K, N)
    np.testing.assert_array_equal(same.sum(axis=1), 1)
    drawn = same.mean(axis=0)  # (K, N) how often each view of each crop was drawn
    assert drawn.min() > 0.1
    assert drawn.mean(axis=1) == pytest.approx([1 / k] * k, abs=0.06)
    # A view is drawn for each crop by itself, not one number for the whole epoch.
    chosen = same.argmax(axis=1)
    assert (chosen.max(axis=1) > chosen.min(axis=1)).mean() > 0.9


def test_an_epoch_is_the_same_whenever_it_is_asked_for(offer):
    feed = offer(feed="views:4", epochs=30).feed(["one", "two", "three"])
    rows = [feed(epoch) for epoch in range(5)]
    for epoch in (4, 0, 2):
        np.testing.assert_array_equal(feed(epoch), rows[epoch])
    assert not np.array_equal(rows[0], rows[1])


def test_seed_decides_the_views_and_which_is_drawn(offer):
    settings = {"feed": "views:4", "epochs": 30}
    a, b, c = (all_epochs(offer(**settings, seed=seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)
    plain = {**settings, "augment": JITTER.model_copy(update={"brightness": 0.0})}
    assert np.ptp(all_epochs(offer(**plain)), axis=0).max() < np.ptp(a, axis=0).max()


def other_backbone():
    backbone = ColourBackbone()
    backbone.fingerprint = "colour-2"
    return backbone


@pytest.mark.parametrize(
    "change",
    [
        {"augment": JITTER.model_copy(update={"flip": 0.4})},
        {"pooling": "mean"},
        {"seed": 1},
        {"backbone": other_backbone()},
        {"epochs": 4},
        {"feed": "views:2"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_decides_the_numbers_decides_the_file(offer, tmp_path, change):
    offer().feed(["one"])
    changed = offer(**change)
    changed.feed(["one"])
    assert changed.cached == 0
    assert count_files(tmp_path) == 2


def test_more_epochs_of_drawn_views_need_no_new_ones(offer, tmp_path):
    offer(feed="views:2", epochs=3).feed(["one"])
    longer = offer(feed="views:2", epochs=30)
    longer.feed(["one"])
    assert (longer.made, longer.cached, count_files(tmp_path)) == (0, 8, 1)


def test_pooling_picks_the_vector_that_is_kept(offer):
    cls, mean = (all_epochs(offer(pooling=pooling)) for pooling in ("cls", "mean"))
    np.testing.assert_allclose(mean, cls / 2, rtol=2e-3)  # the tokens are half the colour


def test_view_without_any_change_is_the_plain_feature(offer, files, tmp_path):
    backbone = load_backbone("efficientnet_lite0")
    sources = [
        (
            crops,
            extract_features(crops, backbone, species=DOG, batch_size=4, cache_dir=tmp_path).path,
        )
        for crops in files.values()
    ]
    plain = pool(load_features(sources), "cls")
    rows = offer(backbone=backbone, augment=UNCHANGED, epochs=2).feed(list(FRAMES))
    for epoch in range(2):
        np.testing.assert_allclose(rows(epoch), plain, rtol=4e-3, atol=4e-3)
    assert plain.std(axis=0).max() > 0.1  # the crops do differ


def test_what_was_interrupted_is_made_again(offer, tmp_path):
    backbone = ColourBackbone()
    embed, calls = backbone.embed, []

    def interrupted(images):
        calls.append(len(images))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return embed(images)

    backbone.embed = interrupted
    with pytest.raises(KeyboardInterrupt):
        offer(backbone=backbone).feed(["one"])
    assert not list((tmp_path / "views").iterdir())
    again = offer()
    assert len(again.feed(["one"])(0)) == 4
    assert again.made == 12


def test_progress_counts_videos(offer):
    told = []
    views = offer(progress=lambda done, total: told.append((done, total)))
    views.feed(["one", "two"])
    assert told == [(1, 2), (2, 2)]


def test_side_of_a_view_is_that_of_the_backbones_input(offer):
    sides = set()
    backbone = ColourBackbone()
    embed = backbone.embed
    backbone.embed = lambda images: sides.update(i.shape for i in images) or embed(images)
    offer(backbone=backbone).feed(["one"])
    assert sides == {(INPUT_SIDE_PX, INPUT_SIDE_PX, 3)}
