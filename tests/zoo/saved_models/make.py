"""Makes the SavedModels beside it: tarballs, and for each an input and the outputs that TensorFlow gave for it.

    python tests/zoo/saved_models/make.py

The networks are tiny and their weights drawn at random; what counts is which operations TensorFlow writes for them.
"""

from __future__ import annotations

import os
import tarfile
import tempfile
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import tensorflow as tf
from keras import layers

FOLDER = Path(__file__).parent
Arrays = dict[str, Any]


def branches() -> Any:
    """Convolutions of each kind, normalisations on maps and on vectors, branches, two outputs."""
    image = keras.Input((16, 12, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="stem")(x)
    x = layers.BatchNormalization(name="stem_bn")(x)
    x = layers.ReLU(6.0, name="stem_relu")(x)
    y = layers.ZeroPadding2D(1)(x)
    y = layers.DepthwiseConv2D(3, name="dw")(y)
    y = layers.LeakyReLU(name="leaky")(y)
    y = layers.SeparableConv2D(8, 3, padding="same", activation="relu", name="sep")(y)
    x = layers.Add(name="sum")([x, y])
    dilated = layers.Conv2D(4, 3, padding="same", dilation_rate=2, activation="swish", name="dilated")(x)
    x = layers.Concatenate(name="cat")([x, dilated, layers.Conv2D(4, 3, padding="same", groups=2, name="grouped")(x)])
    x = layers.MaxPooling2D(name="pool")(x)
    y = layers.Conv2DTranspose(4, 3, strides=2, padding="same", name="up")(x)
    mean = layers.GlobalAveragePooling2D(name="gap")(y)
    x = layers.Dense(10, name="h")(layers.Flatten(name="flat")(x))
    x = layers.Dropout(0.3, name="drop")(layers.BatchNormalization(scale=False, name="h_bn")(x))
    x = layers.Concatenate(name="both")([x, mean])
    classes = layers.Dense(5, activation="softmax", name="classes")(x)
    return keras.Model(image, {"classes": classes, "box": layers.Dense(2, activation="sigmoid", name="box")(x)})


def sequence() -> Any:
    """One axis: convolutions and poolings that TensorFlow does as if there were two, dense layers on each place."""
    return keras.Sequential(
        [
            keras.Input((12, 4), name="steps"),
            layers.Conv1D(6, 3, padding="same", dilation_rate=2, activation="relu", name="wide"),
            layers.MaxPooling1D(2, name="pool"),
            layers.Dense(5, activation="tanh", name="each"),
            layers.Reshape((3, 10), name="pairs"),
            layers.Permute((2, 1), name="turned"),
            layers.GlobalMaxPooling1D(name="largest"),
            layers.Dense(2, name="out"),
        ]
    )


def shared() -> Any:
    """One tower for two inputs, an embedding, an inner network."""
    tower = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="relu", name="inner")], name="tower")
    words, left, right = (
        keras.Input((5,), dtype="int32", name="words"),
        keras.Input((4,), name="a"),
        keras.Input((4,), name="b"),
    )
    table = layers.Flatten(name="flat")(layers.Embedding(7, 2, name="table")(words))
    merged = layers.Concatenate(name="merged")([tower(left), tower(right), table])
    return keras.Model([words, left, right], layers.Dense(2, name="out")(merged))


def export_keras(model: Any, folder: Path) -> Arrays:
    """Exports a Keras network with weights of all sizes; returns an example input and its outputs."""
    random = np.random.default_rng(7)
    for variable in model.weights:
        if "float" in variable.dtype:
            spread = random.normal(0, 0.3, variable.shape)
            variable.assign(1 + np.abs(spread) if "variance" in variable.path else spread)
    model.export(folder, verbose=False)
    x = {each.name: _example(random, each) for each in model.inputs}
    y = model([x[each.name] for each in model.inputs] if len(x) > 1 else next(iter(x.values())), training=False)
    named = y if isinstance(y, dict) else {"output_0": y}
    return {f"x_{key}": value for key, value in x.items()} | {f"y_{key}": np.array(y) for key, y in named.items()}


def _example(random: Any, tensor: Any) -> Any:
    shape = (3, *tensor.shape[1:])
    return (
        random.integers(0, 7, shape).astype("int32")
        if "int" in tensor.dtype
        else random.normal(0, 1, shape).astype("float32")
    )


class Module(tf.Module):  # type: ignore[misc]
    """A network that is no Keras one: two variables, and arithmetic in a scope of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = tf.Variable(tf.random.stateless_normal((4, 3), (1, 2)), name="kernel")
        self.scale = tf.Variable(tf.random.stateless_normal((3,), (3, 4)), name="scale")

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])  # type: ignore[untyped-decorator]
    def __call__(self, x: Any) -> Any:
        with tf.name_scope("mixing"):
            x = tf.nn.relu(x @ self.kernel + 0.5)
        with tf.name_scope("scaling"):
            return tf.nn.softmax(x * self.scale)


def export_module(folder: Path) -> Arrays:
    """Exports the network that is no Keras one."""
    module, x = Module(), np.random.default_rng(1).normal(size=(3, 4)).astype("float32")
    tf.saved_model.save(module, str(folder))
    return {"x_x": x, "y_output_0": module(x).numpy()}


def export_scopes(folder: Path) -> Arrays:
    """Exports a graph of TensorFlow 1, its variables named by their scopes, with a checkpoint beside it."""
    v1, x = tf.compat.v1, np.random.default_rng(2).normal(size=(3, 8, 8, 3)).astype("float32")
    graph = tf.Graph()
    with graph.as_default(), v1.Session(graph=graph) as session:
        image = v1.placeholder(tf.float32, [None, 8, 8, 3], name="image")
        with v1.variable_scope("net/conv1"):
            h = tf.nn.conv2d(image, v1.get_variable("weights", [3, 3, 3, 4]), [1, 1, 1, 1], "SAME")
            h = tf.nn.relu(tf.nn.bias_add(h, v1.get_variable("biases", [4])))
        with v1.variable_scope("net/conv2"):
            h = tf.nn.conv2d(h, v1.get_variable("weights", [3, 3, 4, 4]), [1, 2, 2, 1], "VALID")
            ones = v1.ones_initializer()
            names = ("gamma", "beta", "moving_mean", "moving_variance")
            bn = [v1.get_variable(f"bn/{name}", [4], initializer=ones) for name in names]
            h = tf.nn.relu(v1.nn.fused_batch_norm(h, *bn, is_training=False)[0])
        h = tf.reduce_mean(h, [1, 2], name="pool5")
        with v1.variable_scope("net/logits"):
            y = tf.nn.softmax(tf.matmul(h, v1.get_variable("weights", [4, 2])), name="probabilities")
        v1.set_random_seed(3)
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, str(folder), {"image": image}, {"probabilities": y})
        return {"x_image": x, "y_probabilities": session.run(y, {image: x})}


def _without_times(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mtime = member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    tf.random.set_seed(0)
    exports = {
        "branches": lambda folder: export_keras(branches(), folder),
        "sequence": lambda folder: export_keras(sequence(), folder),
        "shared": lambda folder: export_keras(shared(), folder),
        "module": export_module,
        "scopes": export_scopes,
    }
    for name, export in exports.items():
        with tempfile.TemporaryDirectory() as made:
            arrays = export(Path(made, name))
            with tarfile.open(FOLDER / f"{name}.tar.gz", "w:gz") as archive:
                archive.add(Path(made, name), name, filter=_without_times)
        np.savez_compressed(FOLDER / f"{name}.npz", **arrays)
