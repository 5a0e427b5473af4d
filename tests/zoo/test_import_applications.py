"""Networks of Keras Applications by name, made by Keras's own code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frostline_zoo.errors import FailedPreconditionError, InvalidError

pytestmark = pytest.mark.keras

SMALL = "keras-applications:MobileNetV2?weights=none&input_shape=32,32,3&alpha=0.35&classes=5"


def taken_in(source: str, **arguments: Any) -> Any:
    from frostline_zoo.networks.applications import take_in_application

    return take_in_application(source, **arguments)


def test_a_network_computes_what_keras_makes_of_the_same_arguments(tmp_path: Path) -> None:
    import keras

    from frostline_zoo.networks.build import build

    made = taken_in(SMALL)
    model = build(made.manifest, made.blobs.__getitem__).model
    theirs = keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3), alpha=0.35, classes=5)
    theirs.set_weights(model.get_weights())
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(model(x, training=False), theirs(x, training=False), atol=1e-5)
    assert made.report.notes == ["the weights are random: train them"]


def test_the_same_name_gives_the_same_network_every_time() -> None:
    assert taken_in(SMALL).manifest == taken_in(SMALL).manifest


def test_a_network_brings_its_own_preprocessing_unless_another_is_given() -> None:
    from frostline_zoo.preprocessing import Preprocessing

    own = taken_in(SMALL).manifest.preprocessing
    np.testing.assert_allclose(own.scale, [1 / 127.5] * 3)
    np.testing.assert_allclose(own.offset, [-1.0] * 3)
    assert taken_in(SMALL, preprocessing=Preprocessing(0.5)).manifest.preprocessing.scale == 0.5


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("MobilNetV2", "has no network 'MobilNetV2': did you mean MobileNetV2, MobileNet"),
        ("get_file", "has no network 'get_file'"),
        ("ConvNeXtTiny", "is made of more than built-in layers"),
        ("MobileNetV2?weight=none", "takes no 'weight': use input_shape, alpha"),
        ("MobileNetV2?weights=/etc/passwd", "weights of MobileNetV2 cannot be '/etc/passwd'"),
        ("MobileNetV2?input_shape=a,b", "input_shape of MobileNetV2 cannot be 'a,b'"),
        ("MobileNetV2?weights=none&input_shape=3,3,3", r"cannot be made with input_shape=\(3, 3, 3\)"),
    ],
)
def test_what_keras_does_not_have_is_refused(source: str, message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        taken_in(f"keras-applications:{source}")


def test_weights_that_cannot_be_fetched_are_refused_with_the_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from keras.src.backend import config  # which reads $KERAS_HOME when it is imported

    monkeypatch.setattr(config, "_KERAS_DIR", str(tmp_path))
    for proxy in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:1")  # nobody listens there
    for exempt in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(exempt, raising=False)
    with pytest.raises(FailedPreconditionError, match=r"cannot be fetched from here: .*weights=none"):
        taken_in("keras-applications:MobileNetV2?input_shape=96,96,3&alpha=0.35&include_top=false")
    assert capsys.readouterr().out == ""  # Keras would say what it downloads
