"""Names as people write them, and as the wire does.

    NAME, NAME:TAG, NAME@NUMBER    models/NAME, models/NAME/tags/TAG, models/NAME/versions/NUMBER
    NAME, NAME@NUMBER              datasets/NAME, datasets/NAME/versions/NUMBER
    ID                             jobs/ID

The left form is the one that this library returns and the command line prints; both are read. A name that cannot be one
is refused here, before anything is sent for it.
"""

from __future__ import annotations

import re

from frostline_client.errors import InvalidError

_ID = r"[a-z0-9][a-z0-9._-]{0,62}"
_NUMBER = r"[1-9][0-9]{0,9}"
_ID_RULE = "1 to 63 of a-z 0-9 . _ -, starting with a letter or a digit"
_COLLECTIONS = re.compile(r"^(models|datasets|jobs)/")


def short_name(name: str) -> str:
    """Returns the form that people write, of a name in either form."""
    name = _COLLECTIONS.sub("", name)
    return name.replace("/versions/", "@").replace("/tags/", ":")


def model_name(name: str) -> str:
    """Returns `models/{model}` for NAME. Raises InvalidError where it cannot name a model."""
    return f"models/{_checked(name, 'model')}"


def version_name(reference: str) -> str:
    """Returns the wire's name of a version for NAME (its latest), NAME:TAG or NAME@NUMBER.

    Raises:
        InvalidError: it is none of these.
    """
    match = re.fullmatch(rf"({_ID})(?::({_ID})|@({_NUMBER}))?", short_name(reference))
    if match is None:
        raise _refused(f"{reference[:120]!r} does not name a model: write NAME, NAME:TAG or NAME@VERSION")
    model, tag, number = match.groups()
    return f"models/{model}/versions/{number}" if number else f"models/{model}/tags/{tag or 'latest'}"


def tag_name(model: str, tag: str) -> str:
    """Returns the wire's name of a model's tag. Raises InvalidError where there cannot be one."""
    return f"{model_name(model)}/tags/{_checked(tag, 'tag')}"


def dataset_name(name: str) -> str:
    """Returns `datasets/{dataset}` for NAME. Raises InvalidError where it cannot name a dataset."""
    return f"datasets/{_checked(name, 'dataset')}"


def dataset_version_name(reference: str) -> str:
    """Returns the wire's name of a dataset for NAME (its newest version), of its version for NAME@NUMBER.

    Raises:
        InvalidError: it is neither.
    """
    match = re.fullmatch(rf"({_ID})(?:@({_NUMBER}))?", short_name(reference))
    if match is None:
        raise _refused(f"{reference[:120]!r} does not name a dataset: write NAME or NAME@VERSION")
    dataset, number = match.groups()
    return f"datasets/{dataset}/versions/{number}" if number else f"datasets/{dataset}"


def job_name(name: str) -> str:
    """Returns `jobs/{job}` for ID. Raises InvalidError where it cannot be a job's."""
    short = short_name(name)
    if not re.fullmatch("[a-z0-9]{12}", short):
        raise _refused(f"{name[:80]!r} is no job's id, which is 12 of a-z 0-9: see them with frostline jobs list")
    return f"jobs/{short}"


def _checked(name: str, of_what: str) -> str:
    short = short_name(name)
    if not re.fullmatch(_ID, short):
        raise _refused(f"{name[:80]!r} cannot name a {of_what}: use {_ID_RULE}")
    return short


def _refused(message: str) -> InvalidError:
    return InvalidError(message, reason="BAD_NAME")
