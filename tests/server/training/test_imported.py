"""Networks of other tools, fine-tuned: their layers freeze, are cached, thaw and train as any others."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frostline_server.training.zoo import ZooAccess
from frostline_zoo.manifest import TensorRef

ASSETS = Path(os.environ.get("FROSTLINE_ASSETS", Path(__file__).parents[4] / "shared" / "assets"))
pytestmark = [
    pytest.mark.keras,
    pytest.mark.real_assets,
    pytest.mark.skipif(not ASSETS.is_dir(), reason="neither $FROSTLINE_ASSETS nor ../shared/assets is there"),
]
HEAD = [{"GlobalAveragePooling2D": {}}, {"Dense": {"units": 2, "activation": "softmax", "name": "top"}}]


@pytest.fixture
def faces(zoo: ZooAccess, push_rows: Callable[..., None]) -> Callable[[str], None]:
    """Puts the detector into the zoo, and twelve bright and dark images beside it."""
    from frostline_zoo.networks.importer import import_network

    def put(kind: str) -> None:
        folder = ASSETS / "networks"
        beside = [folder / "face_rfb320.prototxt"] if kind == "caffemodel" else []
        network = import_network(folder / f"face_rfb320.{kind}", beside=beside)
        for content in network.blobs.values():
            zoo.blobs.put(content)
        with zoo.engine.begin() as connection:
            zoo.models.add_version(connection, "faces", network.manifest)
        labels = np.arange(12) % 2
        noise = np.random.default_rng(5).normal(size=(12, 240, 320, 3)).astype(np.float32)
        push_rows("digits", noise * (0.2 + labels[:, None, None, None]).astype(np.float32), labels)

    return put


def losses(outcome: Any) -> list[float]:
    return [loss for stage in outcome.stages for loss in stage.history["loss"]]


@pytest.mark.parametrize("kind", ["onnx", "caffemodel"])
def test_upper_layers_train_on_a_cached_trunk(faces: Callable[[str], None], run: Callable[..., Any], kind: str) -> None:
    faces(kind)
    stages = [{"freeze": {"through": "360"}, "optimizer": {"Adam": {"learning_rate": 0.003}}, "epochs": 6}]
    keys: dict[str, Any] = {"base": "faces", "reuse": {"through": "400"}, "head": HEAD, "stages": stages}
    first = run("first", **keys)
    assert first.stages[0].rows_computed == 12
    assert losses(first)[-1] < losses(first)[0]
    assert run("second", **keys).stages[0].rows_computed == 0


def test_thawing_every_layer_of_the_onnx_detector_lowers_its_loss(
    faces: Callable[[str], None], run: Callable[..., Any]
) -> None:
    faces("onnx")
    stages = [{"freeze": "none", "optimizer": {"Adam": {"learning_rate": 0.001}}, "batch_size": 6, "epochs": 5}]
    outcome = run("thawed", base="faces", reuse={"through": "400"}, head=HEAD, stages=stages)
    assert losses(outcome)[-1] < losses(outcome)[0]
    assert all(layer.trainable for layer in outcome.manifest.layers)


def test_surgery_leaves_both_outputs_of_the_detector_what_they_were(
    faces: Callable[[str], None], run: Callable[..., Any], zoo: ZooAccess
) -> None:
    from frostline_zoo.networks.build import build

    faces("onnx")
    reuse: dict[str, Any] = {"through": ["scores", "boxes"], "rename": {"boxes": "corners"}}
    reuse |= {"insert": [{"after": "360", "layer": {"Dropout": {"rate": 0.1}}}]}
    head = [{"Concatenate": {}}, {"GlobalAveragePooling1D": {}}, HEAD[1]]
    stages = [
        {"freeze": {"through": ["scores", "corners"]}, "optimizer": {"Adam": {"learning_rate": 0.01}}, "epochs": 6}
    ]
    outcome = run("both", base="faces", reuse=reuse, head=head, stages=stages)
    assert losses(outcome)[-1] < losses(outcome)[0]
    reference = np.load(ASSETS / "reference" / "face_rfb320.onnx.npz")
    network = build(outcome.manifest, zoo.blobs.get)
    tensors = [network.tensors[TensorRef(name)] for name in ("scores", "corners")]
    made = type(network.model)(network.model.inputs, tensors)(reference["x"].transpose(0, 2, 3, 1), training=False)
    for name, found in zip(("scores", "boxes"), made, strict=True):
        np.testing.assert_allclose(found, reference[name], rtol=0, atol=1e-4)


def test_upper_layers_of_a_saved_model_train_on_a_cached_trunk(
    zoo: ZooAccess, push_rows: Callable[..., None], run: Callable[..., Any]
) -> None:
    from frostline_zoo.foreign.saved_model_reader import read_saved_model
    from frostline_zoo.networks.importer import take_in

    folder = ASSETS / "networks" / "kws_saved_model"
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    network = take_in(read_saved_model(files, "saved_model.pb"))
    for content in network.blobs.values():
        zoo.blobs.put(content)
    with zoo.engine.begin() as connection:
        zoo.models.add_version(connection, "keywords", network.manifest)
    labels = np.arange(24) % 2
    sounds = np.random.default_rng(5).normal(size=(24, 49, 10, 1)).astype(np.float32) + labels[:, None, None, None]
    push_rows("digits", sounds.astype(np.float32), labels)
    stages = [{"freeze": {"through": "activation_6"}, "optimizer": {"Adam": {"learning_rate": 0.003}}, "epochs": 6}]
    keys: dict[str, Any] = {"base": "keywords", "reuse": {"through": "flatten"}, "head": HEAD[1:], "stages": stages}
    first = run("first", **keys)
    assert first.stages[0].rows_computed == 24
    assert losses(first)[-1] < losses(first)[0]
    assert run("second", **keys).stages[0].rows_computed == 0
