"""Resource names: the one place where they are written and read.

    models/{model}
    models/{model}/versions/{number}
    models/{model}/tags/{tag}
    datasets/{dataset}
    datasets/{dataset}/versions/{number}
    jobs/{job}

Every name keeps the law ``parse(str(name)) == name``. An id is 1 to 63 of a-z 0-9 . _ -, and starts with a letter or
a digit, so it can never be a path.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from frostline_zoo.errors import InvalidError

_ID = r"[a-z0-9][a-z0-9._-]{0,62}"
_NUMBER = r"[1-9][0-9]{0,9}"
_ID_RULE = "1 to 63 of a-z 0-9 . _ -, starting with a letter or a digit"


def checked_id(text: str, of_what: str) -> str:
    """Returns `text` where it can name a model, tag or dataset.

    Raises:
        InvalidError: it cannot; the message says what can.
    """
    if not re.fullmatch(_ID, text):
        raise InvalidError(f"{text[:80]!r} cannot name a {of_what}: use {_ID_RULE}", reason="BAD_NAME")
    return text


def _parse(pattern: str, text: str, form: str) -> tuple[str, ...]:
    match = re.fullmatch(pattern, text)
    if match is None:
        raise InvalidError(f"{text[:120]!r} is not a name of the form {form} (an id is {_ID_RULE})", reason="BAD_NAME")
    return match.groups()


@dataclass(frozen=True, order=True)
class ModelName:
    """Names one model."""

    model: str

    def __str__(self) -> str:
        return f"models/{self.model}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `models/{model}`. Raises InvalidError."""
        (model,) = _parse(rf"models/({_ID})", text, "models/{model}")
        return cls(model)


@dataclass(frozen=True, order=True)
class VersionName:
    """Names one immutable version of a model."""

    model: str
    number: int

    def __str__(self) -> str:
        return f"models/{self.model}/versions/{self.number}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `models/{model}/versions/{number}`. Raises InvalidError."""
        model, number = _parse(rf"models/({_ID})/versions/({_NUMBER})", text, "models/{model}/versions/{number}")
        return cls(model, int(number))


@dataclass(frozen=True, order=True)
class TagName:
    """Names one tag of a model."""

    model: str
    tag: str

    def __str__(self) -> str:
        return f"models/{self.model}/tags/{self.tag}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `models/{model}/tags/{tag}`. Raises InvalidError."""
        return cls(*_parse(rf"models/({_ID})/tags/({_ID})", text, "models/{model}/tags/{tag}"))


def parse_version_or_tag(text: str) -> VersionName | TagName:
    """Reads the name of a version, given by number or by tag. Raises InvalidError."""
    if re.fullmatch(rf"models/{_ID}/tags/{_ID}", text):
        return TagName.parse(text)
    return VersionName.parse(text)


def parse_model_reference(text: str) -> VersionName | TagName:
    """Reads the short form that people and recipes use: `NAME` (its latest version), `NAME:TAG` or `NAME@VERSION`.

    Raises InvalidError.
    """
    match = re.fullmatch(rf"({_ID})(?::({_ID})|@({_NUMBER}))?", text)
    if match is None:
        raise InvalidError(
            f"{text[:120]!r} does not name a model: write NAME, NAME:TAG or NAME@VERSION", reason="BAD_NAME"
        )
    model, tag, number = match.groups()
    return VersionName(model, int(number)) if number else TagName(model, tag or LATEST)


LATEST = "latest"
"""The tag that the server keeps on a model's newest version."""


@dataclass(frozen=True, order=True)
class DatasetName:
    """Names one dataset."""

    dataset: str

    def __str__(self) -> str:
        return f"datasets/{self.dataset}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `datasets/{dataset}`. Raises InvalidError."""
        (dataset,) = _parse(rf"datasets/({_ID})", text, "datasets/{dataset}")
        return cls(dataset)


@dataclass(frozen=True, order=True)
class DatasetVersionName:
    """Names one immutable version of a dataset."""

    dataset: str
    number: int

    def __str__(self) -> str:
        return f"datasets/{self.dataset}/versions/{self.number}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `datasets/{dataset}/versions/{number}`. Raises InvalidError."""
        form = "datasets/{dataset}/versions/{number}"
        dataset, number = _parse(rf"datasets/({_ID})/versions/({_NUMBER})", text, form)
        return cls(dataset, int(number))


def parse_dataset_reference(text: str) -> DatasetName | DatasetVersionName:
    """Reads the short form that people and recipes use: `NAME` (its newest version) or `NAME@VERSION`.

    Raises InvalidError.
    """
    match = re.fullmatch(rf"({_ID})(?:@({_NUMBER}))?", text)
    if match is None:
        raise InvalidError(f"{text[:120]!r} does not name a dataset: write NAME or NAME@VERSION", reason="BAD_NAME")
    dataset, number = match.groups()
    return DatasetVersionName(dataset, int(number)) if number else DatasetName(dataset)


@dataclass(frozen=True, order=True)
class JobName:
    """Names one job."""

    job: str

    def __str__(self) -> str:
        return f"jobs/{self.job}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `jobs/{job}`. Raises InvalidError."""
        (job,) = _parse(r"jobs/([a-z0-9]{12})", text, "jobs/{job}, a job being 12 of a-z 0-9")
        return cls(job)
