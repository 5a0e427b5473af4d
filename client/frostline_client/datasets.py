"""Datasets: versioned, ordered lists of examples.

digits = zoo.datasets.push("digits-5-9", x, y)
flowers = zoo.datasets.push_folder("flowers", "flowers/", on_error="skip")
zoo.train(data=digits, ...)
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from frostline.v1 import dataset_service_pb2 as pb
from frostline.v1.dataset_service_pb2_grpc import DatasetServiceStub
from frostline_client import names
from frostline_client.arrays import as_array
from frostline_client.blobs import Blobs
from frostline_client.channel import Channel
from frostline_client.errors import InvalidError
from frostline_client.example_digests import encode_list
from frostline_client.example_files import read_arrays, read_folder
from frostline_client.example_pushes import Push
from frostline_client.example_sources import ArraySource, FileSource, Source
from frostline_client.pages import every_page
from frostline_client.records import time_of
from frostline_client.streams import Progress

OnError = Literal["refuse", "skip"]
"""What becomes of a push with examples that are refused: nothing at all, or a dataset of the others."""

MAX_NAMED = 10
_MAX_CLASS = int(np.iinfo(np.int64).max)


@dataclass(frozen=True)
class Dataset:
    """One immutable list of examples.

    Attributes:
        name: NAME@NUMBER.
        digest: of its list.
        spec: `image`, or `array DTYPE SHAPE`.
        example_count: how many examples it has.
        class_names: label i is class_names[i]; empty where labels are numbers only.
        class_counts: how many examples each class has, where labels are classes.
        size_bytes: the sum of its contents, each counted once.
    """

    name: str
    digest: str
    spec: str
    example_count: int
    class_names: tuple[str, ...]
    class_counts: tuple[int, ...]
    size_bytes: int
    create_time: datetime | None

    @classmethod
    def of(cls, message: pb.DatasetVersion) -> Dataset:
        """Reads the wire's form."""
        return Dataset(
            name=names.short_name(message.name),
            digest=message.digest,
            spec=message.spec,
            example_count=message.example_count,
            class_names=tuple(message.class_names),
            class_counts=tuple(message.class_counts),
            size_bytes=message.size_bytes,
            create_time=time_of(message.create_time),
        )


@dataclass(frozen=True)
class PushedDataset(Dataset):
    """What a push made, and what it took.

    Attributes:
        sent_count: the examples whose contents were sent.
        present_count: those that the server had already.
        refused: the examples that were left out, by name, and why.
    """

    sent_count: int
    present_count: int
    refused: dict[str, str]


class Datasets:
    """The datasets of a server."""

    def __init__(self, channel: Channel, blobs: Blobs) -> None:
        self._stub: Any = DatasetServiceStub(channel)
        self._blobs = blobs

    def push(
        self,
        name: str,
        x: npt.ArrayLike,
        y: npt.ArrayLike | None = None,
        *,
        class_names: Sequence[str] = (),
        append: bool = False,
        on_error: OnError = "refuse",
        progress: Progress | None = None,
    ) -> PushedDataset:
        """Makes arrays the newest version of the dataset `name`, which is made where it does not exist.

        Only contents that the server lacks are sent, whatever dataset they came with. A broken connection is taken up
        again where it broke.

        Args:
            x: the examples, (n, ...).
            y: the labels: classes from 0 (n,), or numbers (n,) or (n, k) as floats, or the names of classes (n,).
            class_names: the names of the classes.
            append: whether the examples follow those of the newest version instead of replacing them.
            on_error: what to do about examples that hold NaN or infinity.
            progress: told how many examples are on their way, and of how many.

        Raises:
            InvalidError: examples are refused, labels do not fit, or what is appended does not.
        """
        examples = as_array("x", x)
        if examples.ndim == 0:
            raise InvalidError(
                "x is no array: give examples (n, ...), or push a folder with push_folder", reason="BAD_SPEC"
            )
        labels, found_names = _labels(y)
        if labels is not None and len(labels) != len(examples):
            raise InvalidError(f"x has {len(examples)} examples and y {len(labels)} labels: give each its label")
        if not len(examples):
            raise InvalidError("x has no examples: a dataset needs at least one", reason="EMPTY_DATASET")
        class_names = class_names or found_names
        if labels is not None:
            _check(labels, len(class_names))
        return self._push(name, ArraySource(examples), labels, class_names, {}, append, on_error, progress)

    def push_file(
        self,
        name: str,
        path: str | Path,
        *,
        split: str | None = None,
        class_names: Sequence[str] = (),
        append: bool = False,
        on_error: OnError = "refuse",
        progress: Progress | None = None,
    ) -> PushedDataset:
        """Makes the arrays in an `.npz` or `.npy` file the newest version of the dataset `name`, as `push` does.

        An `.npz` file holds `x` and `y`, or `x_train` and `y_train` with `x_test` and `y_test`; an `.npy` file holds
        examples without labels.

        Args:
            split: `train` or `test`, to push only that; None: all there is, train before test.

        Raises:
            InvalidError: also where the file is damaged, or holds something else.
            OSError: the file cannot be read.
        """
        x, y = read_arrays(Path(path), split)
        return self.push(name, x, y, class_names=class_names, append=append, on_error=on_error, progress=progress)

    def push_folder(
        self,
        name: str,
        path: str | Path,
        *,
        append: bool = False,
        on_error: OnError = "refuse",
        progress: Progress | None = None,
    ) -> PushedDataset:
        """Makes a folder of JPEG and PNG files, one folder a class, the newest version of the dataset `name`.

        The classes are the folders' names, sorted. Otherwise as `push`.

        Args:
            on_error: what to do about files that are no whole images.

        Raises:
            InvalidError: there is no class folder, or one without images; files are refused.
            OSError: a folder cannot be read.
        """
        found = read_folder(Path(path))
        source = FileSource(Path(path), found.files)
        return self._push(name, source, found.labels, found.class_names, found.others, append, on_error, progress)

    def push_path(self, name: str, path: str | Path, **options: Any) -> PushedDataset:
        """Pushes what `path` is: a folder as `push_folder` does, a file as `push_file` does."""
        push = self.push_folder if Path(path).is_dir() else self.push_file
        return push(name, path, **options)

    def list(self) -> tuple[Dataset, ...]:
        """Returns the newest version of every dataset, by name."""
        return tuple(Dataset.of(d) for d in every_page(self._stub.ListDatasets, pb.ListDatasetsRequest(), "datasets"))

    def get(self, reference: str | Dataset) -> Dataset:
        """Returns one version: NAME (its newest) or NAME@NUMBER.

        Raises:
            NotFoundError: the zoo holds no such dataset or version.
        """
        name = names.dataset_version_name(reference if isinstance(reference, str) else reference.name)
        return Dataset.of(self._stub.GetDatasetVersion(pb.GetDatasetVersionRequest(name=name)))

    def delete(self, name: str) -> None:
        """Deletes a dataset with its versions. Contents stay stored: a later push finds them.

        Raises:
            NotFoundError: the zoo holds no such dataset.
            FailedPreconditionError: an unfinished job uses it.
        """
        self._stub.DeleteDataset(pb.DeleteDatasetRequest(name=names.dataset_name(name)))

    def _push(
        self,
        name: str,
        source: Source,
        labels: npt.NDArray[Any] | None,
        class_names: Sequence[str],
        others: dict[str, str],
        append: bool,
        on_error: OnError,
        progress: Progress | None,
    ) -> PushedDataset:
        dataset = names.dataset_name(name)
        if on_error not in get_args(OnError):
            raise InvalidError(f"on_error is {on_error!r}: use {' or '.join(get_args(OnError))}")
        push = Push(self._stub, source, progress)
        early: list[tuple[int, Future[str]]] = []
        if source.refused and on_error == "refuse":
            named = {source.name(place): reason for place, reason in sorted(source.refused.items())}
            raise _refusal(named, len(source))

        def listed() -> bytes:
            kept = push.kept()
            return encode_list(push.digests[kept], None if labels is None else labels[kept])

        with ThreadPoolExecutor(1, "frostline-list") as thread:

            def when_known() -> None:
                if not push.refused or on_error == "skip":
                    early.append((len(push.refused), thread.submit(self._blobs.upload, listed())))

            push.run(when_known)
        refused = others | {source.name(place): push.refused[place] for place in sorted(push.refused)}
        kept_count = len(push.kept())
        if refused and (on_error == "refuse" or not kept_count):
            raise _refusal(refused, len(source) + len(others))
        is_listed = early and early[-1][0] == len(push.refused)  # digests were known, and do not change
        digest = early[-1][1].result() if is_listed else self._blobs.upload(listed())
        request = pb.CreateDatasetVersionRequest(
            dataset=dataset,
            list_digest=digest,
            spec=source.spec,
            class_names=class_names,
            append=append,
            request_id=str(uuid.uuid4()),
        )
        made = Dataset.of(self._stub.CreateDatasetVersion(request))
        values = {field.name: getattr(made, field.name) for field in fields(made)}
        return PushedDataset(
            **values, sent_count=push.sent_count, present_count=kept_count - push.sent_count, refused=refused
        )


def _refusal(refused: dict[str, str], count: int) -> InvalidError:
    named = "; ".join(f"{name} {reason}" for name, reason in list(refused.items())[:MAX_NAMED])
    more = f"; and {len(refused) - MAX_NAMED} more" if len(refused) > MAX_NAMED else ""
    are = "is" if len(refused) == 1 else "are"
    message = f"{len(refused)} of {count} {are} refused, so no dataset was made: {named}{more}"
    return InvalidError(
        f"{message}. Mend or remove them, or leave them out with --on-error skip", reason="BAD_EXAMPLES"
    )


def _labels(y: npt.ArrayLike | None) -> tuple[npt.NDArray[Any] | None, tuple[str, ...]]:
    """Returns labels as the server takes them, and the classes where labels are names."""
    if y is None:
        return None, ()
    labels = as_array("y", y)
    if labels.ndim == 2 and labels.shape[1] == 1 and labels.dtype.kind in "biuUS":
        labels = labels[:, 0]
    if labels.dtype.kind in "US" and labels.ndim == 1:
        class_names, classes = np.unique(labels.astype(str), return_inverse=True)
        return classes.astype(np.int64), tuple(class_names.tolist())
    if labels.ndim not in (1, 2) or labels.dtype.kind not in "biuf":
        raise InvalidError(f"y is {labels.dtype} of shape {labels.shape}: give classes (n,), or floats (n,) or (n, k)")
    if labels.ndim == 1 and labels.dtype == np.uint64 and labels.max(initial=0) > _MAX_CLASS:
        raise InvalidError(f"a label is {labels.max()}: classes are numbers up to {_MAX_CLASS}", reason="BAD_LABELS")
    if labels.ndim == 1 and labels.dtype.kind in "biu":
        return labels.astype(np.int64), ()
    return labels.astype(np.float64 if labels.dtype == np.float64 else np.float32), ()


def _check(labels: npt.NDArray[Any], class_count: int) -> None:
    """Refuses labels that the server would refuse, before examples are sent."""
    if labels.dtype.kind == "f":
        good, rule = np.isfinite(labels), "labels have to be numbers"
    elif class_count:
        good, rule = (labels >= 0) & (labels < class_count), f"there are {class_count} classes, counted from 0"
    else:
        good, rule = labels >= 0, "classes are counted from 0"
    if not good.all():
        place = tuple(int(side) for side in np.argwhere(~good)[0])
        where = f"labels[{','.join(map(str, place))}]"
        raise InvalidError(f"{where} is {labels[place]}: {rule}", reason="BAD_LABELS")
