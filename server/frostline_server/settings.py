"""The server's settings: from the command line, else from the environment (`FROSTLINE_DATA` and so on), else these."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

GIBIBYTE = 1 << 30


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
        grace_seconds: how long calls that are under way may go on once the server was asked to stop.
    """

    model_config = SettingsConfigDict(env_prefix="FROSTLINE_", extra="forbid")

    data: Path = Path("data")
    listen: str = "127.0.0.1:8470"
    insecure: bool = False
    workers: bool = True
    largest_blob_bytes: int = Field(16 * GIBIBYTE, gt=0)
    largest_import_bytes: int = Field(4 * GIBIBYTE, gt=0)
    concurrent_calls: int = Field(400, gt=0)
    grace_seconds: float = Field(10.0, ge=0)

    @property
    def host(self) -> str:
        """The host to listen on, without brackets."""
        return self.listen.rpartition(":")[0].strip("[]")

    @field_validator("listen")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65535:
            raise ValueError(f"{value!r} is no address to listen on: write HOST:PORT, as in 127.0.0.1:8470")
        return value

    @model_validator(mode="after")
    def _is_not_open_by_accident(self) -> Self:
        if not self.insecure and not _is_loopback(self.host):
            raise ValueError(
                f"{self.listen} can be reached from other machines, and Frostline neither encrypts nor asks for a "
                "password: listen on 127.0.0.1, or say --insecure where the network keeps strangers out"
            )
        return self


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
