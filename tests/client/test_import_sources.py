"""Networks that the server gets by itself: by the name that Keras knows them by, or by their address on a hub."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from frostline_client import Client
from frostline_client.errors import FailedPreconditionError, InvalidError, NotFoundError
from frostline_server.embedded import serve
from tests.server.hub.host import CERTIFICATE, HubHost, hub_host

SAVED_MODELS = Path(__file__).parents[1] / "zoo" / "saved_models"

SMALL = "keras-applications:MobileNetV2?weights=none&input_shape=32,32,3&alpha=0.35&classes=5"


def test_a_network_of_keras_applications_comes_in_by_its_name(frostline: Callable[..., Result], address: str) -> None:
    first, second = (
        json.loads(frostline("models", "import", SMALL, "--name", "small", "--json", "--server", address).stdout)
        for _ in range(2)
    )
    assert first["new_blob_count"] > 50
    assert second["new_blob_count"] == 0
    assert second["notes"] == ["the weights are random: train them"]


def test_a_network_that_keras_does_not_have_is_refused_with_names_near_it(zoo: Client) -> None:
    with pytest.raises(InvalidError, match="did you mean ResNet50"):
        zoo.models.import_source("keras-applications:Resnet50", "no")
    with pytest.raises(InvalidError, match="names no network: write keras-applications:NAME"):
        zoo.models.import_source("ftp://example.com/network", "no")


def test_options_that_speak_of_files_do_not_go_with_a_source(frostline: Callable[..., Result]) -> None:
    told = frostline("models", "import", SMALL, "--name", "small", "--format", "onnx")
    assert told.exit_code == 2
    assert "is no file: leave out --with, --format" in told.stderr


@dataclass(frozen=True)
class Fetching:
    """A server that fetches from one hub, the hub, and the server's cache of what others fetched before."""

    zoo: Client
    hub: HubHost
    cache: Path
    data: Path


@pytest.fixture(scope="module")
def fetching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fetching]:
    cache, data = tmp_path_factory.mktemp("cache"), tmp_path_factory.mktemp("fetching")
    with pytest.MonkeyPatch.context() as patch, hub_host() as hub:
        patch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
        patch.setenv("TFHUB_CACHE_DIR", str(cache))
        for name in ("no_proxy", "NO_PROXY"):
            patch.setenv(name, "localhost,127.0.0.1")
        with serve(data, options=["--hub-hosts", hub.host]) as address, Client(address) as zoo:
            yield Fetching(zoo, hub, cache, data)


def test_a_network_of_a_hub_comes_in_by_its_address_as_its_tarball_does(
    fetching: Fetching, frostline: Callable[..., Result]
) -> None:
    zoo, packed = fetching.zoo, (SAVED_MODELS / "scopes.tar.gz").read_bytes()
    fetching.hub.put("/store/scopes.tar.gz", packed)
    handle = fetching.hub.put("/google/scopes/1", b"", 303, Location="/store/scopes.tar.gz")
    made = json.loads(frostline("models", "import", handle, "--name", "hub", "--json", "--server", zoo.address).stdout)
    assert made["notes"][0] == f"{handle} was fetched: sha256:{hashlib.sha256(packed).hexdigest()}"
    sent = zoo.models.import_file(SAVED_MODELS / "scopes.tar.gz", "sent")
    assert sent.new_blob_count == 0
    assert {row.status for row in zoo.models.diff("hub", sent.version)} == {"shared"}
    arrays = np.load(SAVED_MODELS / "scopes.npz")
    np.testing.assert_allclose(zoo.predict("hub", arrays["x_image"]), arrays["y_probabilities"], atol=1e-6)


def test_a_network_in_the_servers_cache_needs_no_hub(fetching: Fetching) -> None:
    handle = "https://tfhub.dev/google/scopes/2"
    with pytest.raises(FailedPreconditionError, match=r"leads to tfhub.dev, from where nothing is fetched: name that"):
        fetching.zoo.models.import_source(handle, "cached")
    with tarfile.open(SAVED_MODELS / "scopes.tar.gz") as archive:
        archive.extractall(fetching.cache / "unpacked", filter="data")
    folder = fetching.cache / hashlib.sha1(handle.encode()).hexdigest()
    (fetching.cache / "unpacked" / "scopes").rename(folder)
    made = fetching.zoo.models.import_source(handle, "cached", preprocessing={"scale": 0.5})
    assert made.notes[0] == f"{handle} was in the server's cache"
    assert made.report.renamed


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\x80\x04cposix\nsystem\n.", "UNSAFE_FORMAT"),
        (b"<html>sign in</html>", "BAD_ARCHIVE"),
        ((SAVED_MODELS / "scopes.tar.gz").read_bytes()[:-500], "BAD_ARCHIVE"),
    ],
)
def test_what_a_hub_sends_is_refused_as_any_file_is_and_leaves_nothing(
    fetching: Fetching, body: bytes, reason: str
) -> None:
    before = sorted((fetching.data / "blobs").rglob("*"))
    with pytest.raises(InvalidError) as refused:
        fetching.zoo.models.import_source(fetching.hub.put("/google/bad/1", body), "bad")
    assert refused.value.reason == reason
    with pytest.raises(NotFoundError):
        fetching.zoo.models.get("bad")
    assert sorted((fetching.data / "blobs").rglob("*")) == before
    assert list((fetching.data / "staging").iterdir()) == []


def test_a_server_that_was_not_told_to_fetches_nothing(zoo: Client, fetching: Fetching) -> None:
    handle = fetching.hub.put("/google/scopes/3", (SAVED_MODELS / "scopes.tar.gz").read_bytes())
    fetching.hub.asked.clear()
    with pytest.raises(FailedPreconditionError, match="and it fetches nothing: start it with --hub-hosts"):
        zoo.models.import_source(handle, "no")
    assert fetching.hub.asked == []
