"""Getting contents to the server: only those that it lacks, and after a broken connection only the rest.

A first push streams without asking. Where a sample shows that the server knows some of the examples, all of them are
hashed here, and those that it has are not sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from frostline.v1 import dataset_service_pb2 as pb
from frostline.wire import WithData
from frostline_client.errors import CorruptError, UnavailableError
from frostline_client.example_digests import DIGEST_BYTES
from frostline_client.example_sources import Places, Source
from frostline_client.patience import Patience
from frostline_client.streams import Progress

SAMPLE = 32
DIGESTS_PER_REQUEST = 65_536


class Push:
    """One push of the contents of a source.

    Attributes:
        digests: (n, 32), as far as they are known.
        is_stored: (n,), which examples are durable on the server.
        refused: the examples that are not, and why.
        sent_count: how many contents were sent and are durable.
    """

    def __init__(self, stub: Any, source: Source, progress: Progress | None) -> None:
        self._stub = stub
        self._source = source
        self._progress = progress
        self._shown = 0
        self.digests: npt.NDArray[np.uint8] = np.zeros((len(source), DIGEST_BYTES), np.uint8)
        self.is_stored: npt.NDArray[np.bool_] = np.zeros(len(source), bool)
        self.refused: dict[int, str] = {}
        self.sent_count = 0

    def kept(self) -> Places:
        """Returns the examples that are not refused."""
        is_kept = np.ones(len(self._source), bool)
        is_kept[list(self.refused)] = False
        return np.flatnonzero(is_kept)

    def run(self, when_known: Callable[[], None]) -> None:
        """Makes every example durable on the server, or finds it refused.

        Args:
            when_known: called when every digest is known, before the last contents are durable; perhaps never, or again
                after a broken connection.

        Raises:
            UnavailableError: the server is gone for longer than is worth waiting.
            InvalidError: the server does not take examples of this kind.
            ExhaustedError: its disk is full.
        """
        patience = Patience()
        sample = np.unique(np.linspace(0, len(self._source) - 1, min(SAMPLE, len(self._source))).astype(np.int64))
        self._find(sample)
        patience.progressed()
        expected = {place: self.digests[place].tobytes() for place in sample.tolist()}
        is_first = not self.is_stored.any()
        while len(rest := self._rest()):
            try:
                if not is_first:
                    self._find(rest)
                    patience.progressed()
                    rest = self._rest()
                if len(rest):
                    self._send(rest, patience, when_known)
            except UnavailableError as error:
                patience.wait(error)
            is_first = False
        for place, digest in expected.items():
            if place not in self.refused and self.digests[place].tobytes() != digest:
                name = self._source.name(place)
                raise CorruptError(f"{name} changed on its way to the server: push again", reason="DIGEST_MISMATCH")
        self._show(len(self._source))

    def _rest(self) -> Places:
        """Returns the examples of which nothing is known yet."""
        self.refused.update(self._source.refused)
        is_done = self.is_stored.copy()
        is_done[list(self.refused)] = True
        return np.flatnonzero(~is_done)

    def _find(self, places: Places) -> None:
        """Hashes examples, and marks those that the server has."""
        for group, digests in self._source.digests(places):
            self.digests[group] = digests
        self.refused.update(self._source.refused)
        for start in range(0, len(places), DIGESTS_PER_REQUEST):
            asked = places[start : start + DIGESTS_PER_REQUEST]
            request = pb.FindMissingExamplesRequest(digests=self.digests[asked].tobytes())
            missing = self._stub.FindMissingExamples(request).missing
            self.is_stored[asked] = True
            self.is_stored[asked[list(missing)]] = False
        self.is_stored[list(self.refused)] = False

    def _send(self, places: Places, patience: Patience, when_known: Callable[[], None]) -> None:
        order = places.copy()  # in which they are sent: what cannot be read is left out
        sent, answered, durable, is_all_sent = 0, 0, 0, False

        def requests() -> Iterator[pb.PushExamplesRequest | WithData]:
            nonlocal sent, is_all_sent
            done = len(self._source) - len(places)
            yield pb.PushExamplesRequest(spec=self._source.spec)
            for piece in self._source.pieces(places):
                order[sent : sent + len(piece.places)] = piece.places
                sent += len(piece.places)
                yield WithData(pb.PushExamplesRequest(sizes=piece.sizes), piece.data)
                done += len(piece.places)
                self._show(done)
            is_all_sent = True

        with self._stub.PushExamples(requests()) as answers:
            for answer in answers:
                patience.progressed()
                group = order[answered : answered + len(answer.digests) // DIGEST_BYTES]
                self.digests[group] = np.frombuffer(answer.digests, np.uint8).reshape(-1, DIGEST_BYTES)
                self.refused.update({int(order[refused.index]): refused.reason for refused in answer.refused})
                answered += len(group)
                if len(group) and is_all_sent and answered == sent:
                    when_known()
                group = order[durable : answer.durable_count]
                self.is_stored[group] = True
                self.is_stored[list(self.refused)] = False
                self.sent_count += int(self.is_stored[group].sum())
                durable += len(group)
        if durable < sent:
            raise UnavailableError("the server ended the push before it had answered everything: try again")

    def _show(self, done: int) -> None:
        if self._progress is not None and done > self._shown:
            self._shown = done
            self._progress(done, len(self._source))
