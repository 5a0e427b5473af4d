"""The workbench: a warm child process for what a caller waits for and what needs Keras.

It does one thing at a time, so what kills it is known: where that is a file that came from outside, the file is
refused. Whatever else it died of, it is started again, and the next caller finds another one.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frostline_server.jobs.channel import Frame
from frostline_server.jobs.processes import Child
from frostline_server.training.events import plan_from_json
from frostline_server.training.plan import StagePlan
from frostline_zoo import errors
from frostline_zoo.errors import InvalidError, UnavailableError, ZooError
from frostline_zoo.foreign.draft import Report
from frostline_zoo.manifest import Manifest

START_SECONDS = 120.0
CALL_SECONDS = 300.0
_UNFINISHED = UnavailableError("the server's worker died of this: try again, with less where it asks for much")
_CRASHED = InvalidError("the file made its reader crash: it is damaged", reason="READER_CRASHED")


class WorkbenchFailureError(Exception):
    """What the workbench did failed inside; its log has the trace under the id that the text holds."""


class _DiedError(Exception):
    """The workbench died of a call."""


@dataclass(frozen=True)
class Imported:
    """A network that was taken in: its blobs are stored, its manifest is not yet anybody's version.

    Attributes:
        new_blob_count: how many of its layer blobs the zoo had not.
        report: what became of everything in the file.
    """

    manifest: Manifest
    new_blob_count: int
    report: Report


@dataclass(frozen=True)
class Rows:
    """Rows of one array: `data` holds whole ones, little-endian, C-ordered."""

    dtype: str
    row_shape: tuple[int, ...]
    data: bytes


class Workbench:
    """The server's side of the workbench."""

    def __init__(self, command: Sequence[str]) -> None:
        self._child = Child(command, self._received, self._died)
        self._numbers = itertools.count(1)
        self._one_at_a_time = asyncio.Lock()
        self._answer: tuple[int, asyncio.Future[Frame]] | None = None
        self._asked = ""

    @property
    def ready(self) -> asyncio.Event:
        """Set while the process is warm."""
        return self._child.ready

    def start(self) -> None:
        """Starts the process in the background; calls wait for it."""
        self._child.start()

    async def stop(self, grace_seconds: float) -> None:
        """Stops the process."""
        await self._child.stop(grace_seconds)

    def check_running(self) -> None:
        """Raises UnavailableError where this server runs no workers."""
        self._child.check_running()

    async def take_in(self, network: Path, preprocessing: dict[str, Any] | None) -> Imported:
        """Takes in a network that the jail has read, and stores its layer blobs.

        Args:
            network: a file with what the jail wrote.
            preprocessing: as in a manifest; None for what the network's file says of it.

        Raises:
            InvalidError: the network does not hold together, or holds what is not allowed.
            ExhaustedError: it is too large.
            UnavailableError: the server is stopping.
        """
        arguments = {"path": str(network), "preprocessing": preprocessing}
        return _imported(await self._call("import", arguments, if_it_dies=_CRASHED))

    async def make(self, source: str, preprocessing: dict[str, Any] | None) -> Imported:
        """Makes a network that Keras knows by name, and stores its layer blobs.

        Args:
            source: as `applications.take_in_application` takes it.
            preprocessing: as in a manifest; None for the network's own.

        Raises:
            InvalidError: there is no such network, or it does not take the arguments.
            FailedPreconditionError: its weights cannot be fetched.
            UnavailableError: the workbench died, or the server is stopping.
        """
        return _imported(await self._call("make", {"source": source, "preprocessing": preprocessing}))

    async def fill_in(self, weights: Path, base: Manifest, name_map: dict[str, Any]) -> Imported:
        """Puts weights that the jail has read into a network of the zoo, and stores the layer blobs that this makes.

        Args:
            weights: a file with what the jail wrote.
            base: the network.
            name_map: as `name_map.rules_of` takes it.

        Raises:
            InvalidError: no weights belong to the network, or the map cannot be used.
            CorruptError: a stored layer has changed.
            UnavailableError: the server is stopping.
        """
        arguments = {"path": str(weights), "name_map": name_map}
        return _imported(await self._call("fill", arguments, base.encode(), if_it_dies=_CRASHED))

    async def export_network(self, manifest: Manifest, format: str, destination: Path) -> None:
        """Writes a network to `destination`, a file or a folder on the server, in the format of another tool.

        Raises:
            InvalidError: the format is unknown, or cannot say what a layer does.
            CorruptError: a stored layer has changed.
            UnavailableError: the workbench died, or the server is stopping.
        """
        await self._call("export", {"format": format, "destination": str(destination)}, manifest.encode())

    async def predict(self, version: str, layer: str, rows: Rows) -> Rows:
        """Returns what a layer of the network of manifest `version` (a digest) puts out for `rows`.

        `layer` is empty for the network's only output.

        Raises:
            InvalidError: the rows do not fit the network's input, or hold NaN; the network has several inputs, or
                several outputs and `layer` names none.
            NotFoundError: there is no such layer.
            CorruptError: a stored layer has changed.
            UnavailableError: the workbench died, or the server is stopping.
        """
        arguments = {"version": version, "layer": layer, "dtype": rows.dtype, "row_shape": list(rows.row_shape)}
        frame = await self._call("predict", arguments, rows.data)
        return Rows(frame.header["dtype"], tuple(frame.header["row_shape"]), frame.payload)

    async def check_recipe(self, recipe: str) -> None:
        """Refuses a recipe, JSON text, that cannot be run on this zoo.

        Raises:
            InvalidError, NotFoundError: what is wrong with it.
            CorruptError: a stored layer or example has changed.
            UnavailableError: the workbench died, or the server is stopping.
        """
        await self._call("check", {"recipe": recipe})

    async def plan_recipe(self, recipe: str) -> list[StagePlan]:
        """Returns what each stage of a recipe, JSON text, would do about its features.

        Raises:
            InvalidError, NotFoundError: what is wrong with it.
            CorruptError: a stored layer or example has changed.
            UnavailableError: the workbench died, or the server is stopping.
        """
        frame = await self._call("plan", {"recipe": recipe})
        return [plan_from_json(plan) for plan in frame.header["plans"]]

    async def _call(
        self, call: str, arguments: dict[str, Any], payload: bytes = b"", *, if_it_dies: ZooError = _UNFINISHED
    ) -> Frame:
        # Shielded: a caller that goes away must not let the next one in while the process is still at work.
        try:
            return await asyncio.shield(asyncio.ensure_future(self._exchange(call, arguments, payload)))
        except _DiedError as error:
            raise if_it_dies from error

    async def _exchange(self, call: str, arguments: dict[str, Any], payload: bytes) -> Frame:
        async with self._one_at_a_time:
            number = next(self._numbers)
            answer: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
            self._answer, self._asked = (number, answer), ""
            try:
                self._asked = await self._send(Frame({"call": call, "number": number, **arguments}, payload))
                frame = await asyncio.wait_for(answer, CALL_SECONDS)
            except TimeoutError:
                self._child.kill()
                raise _DiedError from None
            finally:
                self._answer = None
        if "error" in frame.header:
            raise _error_from(frame.header["error"])
        return frame

    async def _send(self, frame: Frame) -> str:
        try:
            return await asyncio.wait_for(self._child.send(frame), START_SECONDS)
        except TimeoutError:
            raise UnavailableError("the server's workers do not start: its log says why") from None

    def _received(self, frame: Frame) -> None:
        if self._answer is not None and self._answer[0] == frame.header["number"] and not self._answer[1].done():
            self._answer[1].set_result(frame)

    async def _died(self, owner: str, _crashed: bool) -> None:
        if owner == self._asked and self._answer is not None and not self._answer[1].done():
            self._answer[1].set_exception(_DiedError())


def _error_from(error: dict[str, Any]) -> Exception:
    if "id" in error:
        return WorkbenchFailureError(error["id"])
    kind: type[ZooError] = getattr(errors, error["kind"])
    return kind(error["message"], reason=error["reason"], **error["metadata"])


def _imported(frame: Frame) -> Imported:
    report = Report(**frame.header["report"])
    return Imported(Manifest.decode(frame.payload), frame.header["new_blob_count"], report)
