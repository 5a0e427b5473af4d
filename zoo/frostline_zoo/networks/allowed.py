"""The allow-list: the Keras layers a network may be made of, and what their configurations may hold.

Every class here is built into Keras, is made from plain numbers and words, computes one function of its inputs in
inference mode, and holds no code and no name of a file. A configuration is checked value by value before a class sees
it; what Keras itself would look up by name, this module looks up in its own tables.
"""

from __future__ import annotations

import functools
import inspect
import math
import re
from typing import Any

import keras

from frostline_zoo.errors import InvalidError
from frostline_zoo.identity import RANDOM_IMAGE_LAYERS

Config = dict[str, Any]

_LAYER_NAMES = """
    Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D
    AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add AdditiveAttention AlphaDropout Attention
    Average AveragePooling1D AveragePooling2D AveragePooling3D BatchNormalization Bidirectional CenterCrop
    Concatenate Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose Cropping1D Cropping2D
    Cropping3D Dense DepthwiseConv1D DepthwiseConv2D Dot Dropout ELU EinsumDense Embedding Flatten GRU
    GaussianDropout GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D
    GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization GroupQueryAttention Identity LSTM
    LayerNormalization LeakyReLU Masking MaxPooling1D MaxPooling2D MaxPooling3D Maximum Minimum MultiHeadAttention
    Multiply Normalization PReLU Permute RMSNormalization RandomBrightness RandomColorDegeneration RandomColorJitter
    RandomContrast RandomCrop RandomErasing RandomFlip RandomGrayscale RandomHue RandomInvert RandomPerspective
    RandomPosterization RandomRotation RandomSaturation RandomSharpness RandomTranslation RandomZoom ReLU
    RepeatVector Rescaling Reshape Resizing STFTSpectrogram SeparableConv1D SeparableConv2D SimpleRNN Softmax
    SpatialDropout1D SpatialDropout2D SpatialDropout3D Subtract TimeDistributed UnitNormalization UpSampling1D
    UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
"""
_INITIALIZER_NAMES = """
    Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity LecunNormal LecunUniform Ones Orthogonal
    RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros
"""

_ACTIVATION_NAMES = """
    celu elu exponential gelu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear log_sigmoid
    log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus sparse_sigmoid
    sparsemax squareplus swish tanh tanh_shrink threshold
"""
_DTYPE_NAMES = """
    bool uint8 int8 uint16 int16 uint32 int32 int64 float16 bfloat16 float32 float64 mixed_float16 mixed_bfloat16
"""
_CLASSES = [getattr(keras.layers, name) for name in _LAYER_NAMES.split()]
LAYERS: dict[str, type[Any]] = {cls.__name__: cls for cls in _CLASSES}
ACTIVATIONS = frozenset(_ACTIVATION_NAMES.split())  # but for glu: of half as many channels as Keras says
DTYPES = frozenset(_DTYPE_NAMES.split())
# Keras exports some classes under several names, and writes one that is not the class's own.
_ALIASES = {name: cls.__name__ for name, cls in vars(keras.layers).items() if cls in _CLASSES and name not in LAYERS}
_OBJECTS: dict[str, dict[str, type[Any]]] = {
    "initializer": {name: getattr(keras.initializers, name) for name in _INITIALIZER_NAMES.split()},
    "regularizer": {name: getattr(keras.regularizers, name) for name in ("L1", "L2", "L1L2", "OrthogonalRegularizer")},
    "constraint": {name: getattr(keras.constraints, name) for name in ("MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm")},
}
# Built-in layers outside the list above which may: of the others it is only said that they are not taken in.
_HOLD_CODE_OR_FILES = {"IntegerLookup", "JaxLayer", "Lambda", "StringLookup", "TFSMLayer", "TextVectorization"} | {
    "FlaxLayer",
    "TorchModuleWrapper",
    "Wrapper",
}
_WRAPPERS = {"Bidirectional", "TimeDistributed"}
_RECURRENT = {"LSTM", "GRU", "SimpleRNN"}

# Keys that say nothing here: name and switch stand in the manifest, and a loop that is unrolled computes the same, only
# it is traced step by step, for as many steps as a file cares to name.
_DROPPED = {"name", "trainable", "build_config", "unroll"}
# Keys that ask for what is not taken in. They may be there with one of these values.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "quantization_config": (None,),
    "lora_rank": (None,),
    "lora_alpha": (None,),
    "gptq_unpacked_column_size": (None,),
    "weights": (None,),
    "stateful": (False,),
    "autocast": (True,),
    "rms_scaling": (False,),
}
_WORD = re.compile(r"[A-Za-z0-9_]{1,40}")
_EQUATION = re.compile(r"[A-Za-z.]+,[A-Za-z.]+->[A-Za-z.]+")
_MODULE = re.compile(r"(tf_)?keras(\.(api|src))*(\.(layers|models|engine)(\.\w+)*)?")
_MAX_INTEGER = 2**31 - 1
_MAX_ITEMS = 1 << 20
_MAX_DEPTH = 4


def make_layer(class_name: str, config: Config, name: str) -> Any:
    """Returns a new, unbuilt Keras layer of a class on the allow-list.

    Args:
        class_name: its Keras class.
        config: its configuration; checked here.
        name: its name in the network.

    Raises:
        InvalidError: the class is not on the allow-list (UNSAFE_LAYER), or a value cannot stand in its configuration.
    """
    class_name = _ALIASES.get(class_name, class_name)
    checked = checked_config(class_name, config, name)
    values = {key: _value_for_keras(key, value, name) for key, value in checked.items()}
    try:
        return LAYERS[class_name](**values, name=name)
    except InvalidError:
        raise
    except Exception as error:  # whatever a constructor raises, the values do not fit together
        raise InvalidError(f"layer {name!r}: {class_name} refuses its configuration", reason="BAD_CONFIG") from error


def checked_config(class_name: str, config: Any, name: str) -> Config:
    """Returns a layer's configuration in the form that manifests hold: plain JSON, nested objects as class and config.

    Raises:
        InvalidError: as `make_layer`.
    """
    if class_name not in LAYERS:
        raise unsafe(name, class_name)
    if not isinstance(config, dict):
        raise InvalidError(f"layer {name!r}: its configuration is not an object", reason="BAD_CONFIG")
    allowed = _arguments_of(class_name)
    checked = {}
    for key, value in config.items():
        if key in _DROPPED:
            continue
        if key in _NEUTRAL:
            if value not in _NEUTRAL[key]:
                text = f"layer {name!r}: {key} is not supported: save the network without it"
                raise InvalidError(text, reason="UNSUPPORTED_LAYER")
            continue
        if key == "seed" and key not in allowed:  # some classes write one that they do not take
            continue
        if key not in allowed:
            raise InvalidError(f"layer {name!r}: {class_name} has no {key!r}", reason="BAD_CONFIG")
        if isinstance(value, bool) and key in _number_arguments(class_name):
            text = f"layer {name!r}: {key} of a {class_name} is {str(value).lower()}: give a number"
            raise InvalidError(text, reason="BAD_CONFIG")
        checked[key] = _checked_value(class_name, key, value, name)
    return checked


@functools.cache
def _arguments_of(class_name: str) -> frozenset[str]:
    """Returns what may stand in the configuration of a layer of the class."""
    allowed = _parameters_of(LAYERS[class_name]) | {"dtype", "activity_regularizer"}
    allowed |= {"zero_output_for_mask"} if class_name in _RECURRENT else set()
    return allowed | ({"data_format"} if class_name in RANDOM_IMAGE_LAYERS else set())


@functools.cache
def _number_arguments(class_name: str) -> frozenset[str]:
    """Returns what takes no true or false in the configuration of a layer of the class: Python would take it for 1."""
    parameters = inspect.signature(LAYERS[class_name].__init__).parameters
    may_be_flags = {key for key, each in parameters.items() if isinstance(each.default, bool | str | None)}
    return frozenset(parameters) - may_be_flags - {"activation", "equation", "layer"}


@functools.cache
def _object_arguments(kind: str, class_name: str) -> frozenset[str]:
    """Returns what may stand in the configuration of an initializer, a regularizer or a constraint."""
    return _parameters_of(_OBJECTS[kind][class_name])


def _parameters_of(kind: type) -> frozenset[str]:
    """Returns what a class takes: a question that takes Python longer than to make a layer."""
    return frozenset(inspect.signature(kind.__init__).parameters) - {"self", "kwargs"}  # type: ignore[misc]


def is_of_keras(module: Any) -> bool:
    """Whether a module that a file names, if any, is one of Keras's that hold layers and models and nothing else."""
    return module is None or _MODULE.fullmatch(str(module)) is not None


def unsafe(name: str, class_name: str) -> InvalidError:
    """Returns the refusal of a layer that is not on the allow-list."""
    own = hasattr(keras.layers, class_name) and class_name not in _HOLD_CODE_OR_FILES
    why = "which is not among the layers taken in" if own else "which may hold code or files and is not taken in"
    return InvalidError(
        f"layer {name[:80]!r} is a {class_name[:80]}, {why}: replace it by built-in layers and save the network again",
        reason="UNSAFE_LAYER",
        layer=name[:80],
    )


def _checked_value(class_name: str, key: str, value: Any, name: str) -> Any:
    kind = key.rpartition("_")[2]
    if key in ("activation", "recurrent_activation"):
        return _checked_activation(value, name)
    if kind in _OBJECTS:
        return _checked_object(kind, value, name)
    if key == "dtype":
        return _checked_dtype(value, name)
    if class_name in _WRAPPERS and key in ("layer", "backward_layer"):
        return _checked_inner(key, value, name)
    if key == "seed":
        return value if isinstance(value, int) and 0 <= value <= _MAX_INTEGER else None
    if class_name == "EinsumDense" and key == "equation" and isinstance(value, str) and _EQUATION.fullmatch(value):
        return value
    if class_name == "STFTSpectrogram" and key == "window" and isinstance(value, str):
        text = f"layer {name!r}: a window by its name is not supported: give its numbers, or null for none"
        raise InvalidError(text, reason="UNSUPPORTED_LAYER")
    return _plain(key, value, name)


def _checked_activation(value: Any, name: str) -> str:
    if value is None:
        return "linear"
    if isinstance(value, dict) and isinstance(value.get("config"), str):  # how Keras writes a function
        value = value["config"]
    if not isinstance(value, str) or value not in ACTIVATIONS:
        text = value if isinstance(value, str) else value.get("class_name") if isinstance(value, dict) else value
        mend = "use a layer for it, or one of Keras's own, such as relu"
        raise InvalidError(
            f"layer {name!r}: the activation {str(text)[:80]!r} is not taken: {mend}",
            reason="UNSAFE_LAYER",
        )
    return value


def _checked_object(kind: str, value: Any, name: str) -> Config | None:
    """Checks an initializer, a regularizer or a constraint."""
    if value is None:
        return None
    class_name, config = (value, {}) if isinstance(value, str) else _class_and_config(value, name)
    known = _OBJECTS[kind]
    class_name = _OBJECT_ALIASES.get(class_name, class_name)
    if class_name not in known or not isinstance(config, dict):
        raise InvalidError(
            f"layer {name!r}: the {kind} {class_name[:80]!r} is not one of Keras's: save the network without it",
            reason="UNSAFE_LAYER",
        )
    allowed = _object_arguments(kind, class_name)
    plain = {
        key: (_checked_value("", key, item, name) if key == "seed" else _plain(key, item, name))
        for key, item in config.items()
        if key in allowed
    }
    return {"class_name": class_name, "config": plain}


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


_OBJECT_ALIASES = {_snake(name): name for table in _OBJECTS.values() for name in table} | {
    "IdentityInitializer": "Identity",
    "OrthogonalInitializer": "Orthogonal",
    "l1": "L1",
    "l2": "L2",
    "l1_l2": "L1L2",
}


def _checked_dtype(value: Any, name: str) -> str:
    if isinstance(value, dict):
        _, config = _class_and_config(value, name)
        value = config.get("name") if isinstance(config, dict) else None
    if not isinstance(value, str) or value not in DTYPES:
        text = f"layer {name!r}: the dtype {str(value)[:80]!r} is not supported: use float32 or another plain one"
        raise InvalidError(text, reason="UNSUPPORTED_LAYER")
    return value


def _checked_inner(key: str, value: Any, name: str) -> Config | None:
    if value is None and key == "backward_layer":
        return None
    class_name, config = _class_and_config(value, name)
    registered = value.get("registered_name")
    if not is_of_keras(value.get("module")) or registered not in (None, class_name):
        raise unsafe(f"{name}.{key}", str(registered or f"{value['module']}.{class_name}"))
    class_name = _ALIASES.get(class_name, class_name)
    if class_name in _WRAPPERS and isinstance(config, dict) and isinstance(config.get("layer"), dict):
        raise InvalidError(f"layer {name!r}: a wrapper in a wrapper is not supported", reason="UNSUPPORTED_LAYER")
    return {"class_name": class_name, "config": checked_config(class_name, config, f"{name}.{key}")}


def _class_and_config(value: Any, name: str) -> tuple[str, Any]:
    if not isinstance(value, dict) or not isinstance(value.get("class_name"), str) or "config" not in value:
        text = f"layer {name!r}: its configuration holds an object of no known class"
        raise InvalidError(text, reason="UNSAFE_LAYER")
    return value["class_name"], value["config"]


def _plain(key: str, value: Any, name: str, depth: int = 0) -> Any:
    """Checks a number, a word or a list of them."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) <= _MAX_INTEGER:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, str) and _WORD.fullmatch(value):
        return value
    if isinstance(value, list | tuple) and depth < _MAX_DEPTH and len(value) <= _MAX_ITEMS:
        return [_plain(key, item, name, depth + 1) for item in value]
    if isinstance(value, str):
        raise InvalidError(
            f"layer {name!r}: {key} holds {value[:80]!r}, which may name a file or an address: only words are taken",
            reason="EXTERNAL_REFERENCE",
        )
    if isinstance(value, dict) and "class_name" in value:
        raise InvalidError(f"layer {name!r}: {key} holds an object, which is not taken in", reason="UNSAFE_LAYER")
    raise InvalidError(f"layer {name!r}: {key} holds a value that cannot stand there", reason="BAD_CONFIG")


def _value_for_keras(key: str, value: Any, name: str) -> Any:
    """Returns a checked value as the class's constructor takes it, objects made by the tables above."""
    kind = key.rpartition("_")[2]
    if isinstance(value, dict) and kind in _OBJECTS:
        return _OBJECTS[kind][value["class_name"]](**value["config"])
    if isinstance(value, dict):
        return make_layer(value["class_name"], value["config"], f"{name}_{key}")
    return value
