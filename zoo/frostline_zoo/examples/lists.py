"""The list of a dataset version: its examples in order, and their labels. It is kept as a canonical safetensors blob.

digests  uint8 (n, 32)
labels   int64 (n,): classes from 0; float32 or float64 (n,) or (n, k): numbers; left out where there are none
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from frostline_zoo.errors import CorruptError, InvalidError
from frostline_zoo.examples.spec import DIGEST_BYTES, Digests
from frostline_zoo.tensors import NAMES, decode_tensors, encode_tensors, tensors_header

Labels = npt.NDArray[Any]

MAX_CLASSES = 65_536

_LABEL_DTYPES = (np.dtype("<i8"), np.dtype("<f4"), np.dtype("<f8"))


@dataclass(frozen=True)
class ExampleList:
    """Examples in order.

    Attributes:
        digests: (n, 32).
        labels: (n,) or (n, k), or None.
    """

    digests: Digests
    labels: Labels | None

    def __len__(self) -> int:
        return len(self.digests)

    def encode(self) -> bytes:
        """Returns the canonical bytes."""
        labels = {} if self.labels is None else {"labels": self.labels}
        return encode_tensors({"digests": self.digests, **labels})

    def _header(self) -> bytes:
        """Returns what the canonical bytes begin with; what reads as a list and begins so has no others."""
        labels = [] if self.labels is None else [("labels", NAMES[self.labels.dtype], self.labels.shape)]
        return tensors_header([*labels, ("digests", "U8", self.digests.shape)])

    @classmethod
    def decode(cls, content: bytes) -> Self:
        """Reads the canonical bytes.

        Raises:
            InvalidError: they are not a list, or an empty one.
        """
        try:
            tensors = decode_tensors(content)
            digests, labels = tensors.pop("digests"), tensors.pop("labels", None)
            decoded = cls(digests, labels)
            has_labels = labels is None or (labels.ndim in (1, 2) and labels.dtype in _LABEL_DTYPES)
            is_list = digests.dtype == np.uint8 and digests.ndim == 2 and digests.shape[1] == DIGEST_BYTES
            is_paired = labels is None or len(labels) == len(digests)
            if tensors or not has_labels or not is_list or not is_paired or not content.startswith(decoded._header()):
                raise KeyError
        except (CorruptError, KeyError) as error:
            form = "digests uint8 (n, 32), and labels int64 (n,) or float (n,) or (n, k)"
            message = f"the blob is no list of examples: upload a canonical safetensors file of {form}"
            raise InvalidError(message, reason="BAD_LIST") from error
        if not len(decoded):
            raise InvalidError("a dataset needs at least one example", reason="EMPTY_DATASET")
        return decoded

    def check_labels(self, class_names: tuple[str, ...]) -> None:
        """Checks that the labels are what can be trained on, and fit the classes.

        Raises:
            InvalidError: they are not; the message names the first such label.
        """
        repeated = [name for name, count in Counter(class_names).items() if count > 1]
        if repeated or "" in class_names:
            name = repeated[0] if repeated else ""
            raise _refused(f"{name[:80]!r} is the name of several classes or none: give each its own")
        if self.labels is None:
            if class_names:
                raise _refused("class names need labels: push labels too, or no class names")
        elif self.labels.dtype.kind == "i":
            _check_classes(self.labels, class_names)
        else:
            _check_numbers(self.labels, class_names)

    def class_counts(self, class_names: tuple[str, ...]) -> list[int]:
        """Returns how many examples each class has; empty where labels are not classes."""
        if self.labels is None or self.labels.dtype.kind != "i":
            return []
        return [int(count) for count in np.bincount(self.labels, minlength=len(class_names))]


def appended(
    old: ExampleList, old_names: tuple[str, ...], new: ExampleList, new_names: tuple[str, ...]
) -> tuple[ExampleList, tuple[str, ...]]:
    """Returns the list that continues `old` with `new`, and its classes: matched by name, new ones at the end.

    Without names, the new labels count in the old classes.

    Raises:
        InvalidError: their labels or classes are of different kinds.
    """
    digests = np.concatenate([old.digests, new.digests])
    if old.labels is None or new.labels is None:
        if old.labels is not new.labels:
            raise _refused("some examples would have labels and some not: append examples like those there")
        return ExampleList(digests, None), ()
    if old.labels.dtype.kind != new.labels.dtype.kind or old.labels.shape[1:] != new.labels.shape[1:]:
        there, here = _kind(old.labels), _kind(new.labels)
        raise _refused(f"the dataset's labels are {there}, not {here}: append labels of one kind")
    if new_names and not old_names:
        raise _refused("the dataset's classes have no names: append labels that are numbers, without class names")
    labels, names = new.labels, old_names
    if labels.dtype.kind == "f":
        if new_names not in ((), old_names):
            raise _refused("the columns have other class names than the dataset's: append the same ones")
        labels = labels.astype(old.labels.dtype)
    elif new_names:
        names = tuple(dict.fromkeys((*old_names, *new_names)))
        number_of = {name: number for number, name in enumerate(names)}
        labels = np.array([number_of[name] for name in new_names], np.int64)[labels]
    merged = ExampleList(digests, np.concatenate([old.labels, labels]))
    merged.check_labels(names)
    return merged, names


def _check_classes(labels: Labels, class_names: tuple[str, ...]) -> None:
    if labels.ndim != 1:
        raise _refused(f"int64 labels are classes, one an example, not {labels.shape[1]}: push floats")
    _check_each(labels, labels >= 0, "classes are counted from 0")
    if class_names:
        _check_each(labels, labels < len(class_names), f"there are {len(class_names)} classes, counted from 0")
    _check_each(labels, labels < MAX_CLASSES, f"there can be {MAX_CLASSES:,} classes; push other numbers as floats")


def _check_numbers(labels: Labels, class_names: tuple[str, ...]) -> None:
    if labels.ndim == 2 and not labels.shape[1]:
        raise _refused("labels of shape (n, 0) say nothing: push labels with values, or none")
    _check_each(labels, np.isfinite(labels), "labels have to be numbers")
    if class_names and (labels.ndim != 2 or labels.shape[1] != len(class_names)):
        mend = "push int64 (n,), or floats with a column for each class"
        raise _refused(f"labels that are {_kind(labels)} do not fit {len(class_names)} classes: {mend}")


def _check_each(labels: Labels, good: npt.NDArray[np.bool_], rule: str) -> None:
    if not good.all():
        place = tuple(int(side) for side in np.argwhere(~good)[0])
        raise _refused(f"labels[{','.join(map(str, place))}] is {labels[place]}: {rule}")


def _kind(labels: Labels) -> str:
    return f"{labels.dtype} of shape (n{''.join(f', {side}' for side in labels.shape[1:])})"


def _refused(message: str) -> InvalidError:
    return InvalidError(message, reason="BAD_LABELS")
