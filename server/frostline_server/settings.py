"""The server's settings: from the command line, else from the environment (`FROSTLINE_DATA` and so on), else these."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, ByteSize, Field, TypeAdapter, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

MEBIBYTE = 1 << 20
GIBIBYTE = 1 << 30
LARGEST_BYTES = (1 << 63) - 1
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,252}[a-z0-9])?(:[0-9]{1,5})?")


def _as_bytes(value: Any) -> int:
    try:
        return int(TypeAdapter(ByteSize).validate_python(value))
    except ValidationError:
        raise ValueError(f"{value!r} is not a number of bytes: write it as 10GiB, 500MB or 1073741824") from None


Bytes = Annotated[int, BeforeValidator(_as_bytes), Field(ge=0, le=LARGEST_BYTES)]
"""A number of bytes, which may come as text with a unit."""


def _as_hosts(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    hosts = frozenset(host.strip().lower() for host in value.split(",") if host.strip())
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise ValueError(f"{host!r} is no host: write names with commas between, as in tfhub.dev,www.kaggle.com")
    return hosts


Hosts = Annotated[frozenset[str], NoDecode, BeforeValidator(_as_hosts)]
"""Hosts, which may come as text with commas between."""


class Settings(BaseSettings):
    """What can be chosen about a server.

    Attributes:
        data: the folder that holds everything; made where it is missing.
        listen: HOST:PORT; port 0 takes a free one.
        insecure: whether to listen beyond this machine although nothing is encrypted and nobody is asked who they are.
        workers: whether to start the processes that train, import, export and predict.
        largest_blob_bytes: larger uploads are refused.
        largest_import_bytes: larger files of other tools are refused.
        concurrent_calls: calls beyond these are refused.
        feature_bytes: how much disk cached features may take; 0 stores none; None: half of what is free at the start.
        feature_memory: how many bytes of features a job may have in memory; None: half of what there is at the start.
        worker_growth: how many bytes a worker may gather before a fresh one follows; None: an eighth of the memory that
            there is at the start.
        hub_hosts: from where networks of TF Hub are fetched, HOST or HOST:PORT; none: from nowhere.
        hub_cache: where TensorFlow's library keeps such networks, from $TFHUB_CACHE_DIR as there; None: nowhere.
        require_sandbox: whether to refuse to start where the machine lacks a lock of the jail that files are read in.
        metrics: HOST:PORT to serve Prometheus's metrics on; port 0 takes a free one; None serves none.
        grace_seconds: how long calls that are under way may go on once the server was asked to stop.
    """

    model_config = SettingsConfigDict(env_prefix="FROSTLINE_", extra="forbid")

    data: Path = Path("data")
    listen: str = "127.0.0.1:8470"
    insecure: bool = False
    workers: bool = True
    largest_blob_bytes: int = Field(16 * GIBIBYTE, gt=0)
    largest_import_bytes: int = Field(4 * GIBIBYTE, gt=0)
    feature_bytes: Bytes | None = None
    feature_memory: Bytes | None = None
    worker_growth: Bytes | None = None
    hub_hosts: Hosts = frozenset()
    hub_cache: Path | None = Field(None, validation_alias="TFHUB_CACHE_DIR")
    require_sandbox: bool = False
    metrics: str | None = None
    concurrent_calls: int = Field(400, gt=0)
    grace_seconds: float = Field(10.0, ge=0)

    @field_validator("listen", "metrics")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        host, _, port = value.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65535:
            raise ValueError(f"{value!r} is no address to listen on: write HOST:PORT, as in 127.0.0.1:8470")
        return value

    @field_validator("hub_cache", mode="before")
    @classmethod
    def _is_named(cls, value: Any) -> Any:
        return value or None  # TensorFlow's library takes an empty variable for none

    @field_validator("feature_bytes")
    @classmethod
    def _holds_something(cls, value: int | None) -> int | None:
        if value is not None and 0 < value < MEBIBYTE:
            raise ValueError(f"{value} bytes hold hardly a batch of features: give at least 1MiB, or 0 to store none")
        return value

    @field_validator("feature_memory")
    @classmethod
    def _holds_a_batch(cls, value: int | None) -> int | None:
        if value is not None and value < MEBIBYTE:
            raise ValueError(f"{value} bytes hold hardly a batch of features: give at least 1MiB")
        return value

    @model_validator(mode="after")
    def _is_not_open_by_accident(self) -> Self:
        for address in filter(None, (self.listen, self.metrics)):
            if not self.insecure and not _is_loopback(host_and_port(address)[0]):
                raise ValueError(
                    f"{address} can be reached from other machines, and Frostline neither encrypts nor asks for a "
                    "password: listen on 127.0.0.1, or say --insecure where the network keeps strangers out"
                )
        return self


def host_and_port(address: str) -> tuple[str, int]:
    """Returns the parts of HOST:PORT, the host without brackets."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
