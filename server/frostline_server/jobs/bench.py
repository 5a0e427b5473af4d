"""The workbench's work, done in the child: networks in, out and run, recipes checked and planned."""

from __future__ import annotations

import mmap
import secrets
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog

from frostline_server.jobs.channel import ChildChannel, Frame
from frostline_server.jobs.growth import Growth
from frostline_server.jobs.predictor import Predictor
from frostline_server.jobs.warming import warm_up
from frostline_server.training.planner import plan_recipe
from frostline_server.training.prepare import prepare
from frostline_server.training.recipe import Recipe
from frostline_server.training.zoo import ZooAccess
from frostline_zoo.errors import ZooError
from frostline_zoo.foreign.wire import Parsed, decode
from frostline_zoo.manifest import Manifest
from frostline_zoo.networks.applications import take_in_application
from frostline_zoo.networks.build import build
from frostline_zoo.networks.export import export_network
from frostline_zoo.networks.importer import Imported, fill_in, take_in
from frostline_zoo.preprocessing import Preprocessing

log = structlog.get_logger()


class Bench:
    """Answers calls, one after the other, until the server is gone or this has grown by more than `growth_bytes`."""

    def __init__(self, channel: ChildChannel, zoo: ZooAccess, growth_bytes: int) -> None:
        self._channel = channel
        self._growth_bytes = growth_bytes
        self._zoo = zoo
        self._predictor = Predictor(zoo.blobs)
        self._calls: dict[str, Callable[..., Frame]] = {
            "import": self._import,
            "fill": self._fill,
            "make": self._make,
            "export": self._export,
            "predict": self._predictor.predict,
            "check": self._check,
            "plan": self._plan,
        }

    def run(self) -> None:
        """Warms up, says so, and answers."""
        warm_up(train=False)
        growth = Growth(self._growth_bytes)
        self._channel.send(Frame({"ready": True}))
        while (frame := self._channel.receive()) is not None and "stop" not in frame.header:
            arguments = dict(frame.header)
            call, number = arguments.pop("call"), arguments.pop("number")
            answer = self._answer(self._calls[call], frame.payload, arguments)
            is_last = growth.is_too_much()
            if is_last:  # said before the answer, after which the next call comes
                self._channel.send(Frame({"ready": False}))
            self._channel.send(Frame({**answer.header, "number": number}, answer.payload))
            if is_last:
                return

    def _answer(self, call: Callable[..., Frame], payload: bytes, arguments: dict[str, Any]) -> Frame:
        try:
            return call(payload, **arguments)
        except ZooError as refusal:
            kind = type(refusal).__name__
            error = {"kind": kind, "message": refusal.message, "reason": refusal.reason, "metadata": refusal.metadata}
            return Frame({"error": error})
        except Exception:
            incident = secrets.token_hex(4)
            log.exception("the workbench failed", call=call.__name__, incident=incident)
            return Frame({"error": {"id": incident}})

    def _import(self, _: bytes, path: str, preprocessing: dict[str, Any] | None) -> Frame:
        return self._stored(take_in(_read(path), _preprocessing(preprocessing)))

    def _fill(self, base: bytes, path: str, name_map: Any) -> Frame:
        return self._stored(fill_in(_read(path), Manifest.decode(base), name_map, self._zoo.blobs.get))

    def _make(self, _: bytes, source: str, preprocessing: dict[str, Any] | None) -> Frame:
        return self._stored(take_in_application(source, _preprocessing(preprocessing)))

    def _stored(self, imported: Imported) -> Frame:
        new = self._zoo.blobs.missing(imported.blobs)
        self._zoo.blobs.put_all(imported.blobs.values())
        return Frame({"report": asdict(imported.report), "new_blob_count": len(new)}, imported.manifest.encode())

    def _export(self, manifest: bytes, format: str, destination: str) -> Frame:
        export_network(build(Manifest.decode(manifest), self._zoo.blobs.get), format, Path(destination))
        return Frame({})

    def _check(self, _: bytes, recipe: str) -> Frame:
        prepare(Recipe.parse(recipe), self._zoo)
        return Frame({})

    def _plan(self, _: bytes, recipe: str) -> Frame:
        return Frame({"plans": [asdict(plan) for plan in plan_recipe(Recipe.parse(recipe), self._zoo)]})


def _preprocessing(value: dict[str, Any] | None) -> Preprocessing | None:
    return None if value is None else Preprocessing.from_json(value)


def _read(path: str) -> Parsed:
    with Path(path).open("rb") as file:
        return decode(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
