"""Names as people write them, and as the wire does.

    NAME, NAME:TAG, NAME@NUMBER    models/NAME, models/NAME/tags/TAG, models/NAME/versions/NUMBER
    NAME, NAME@NUMBER              datasets/NAME, datasets/NAME/versions/NUMBER
    ID                             jobs/ID

The left form is the one that this library returns and the command line prints; both are read. What an id may hold is
for the server to judge.
"""

from __future__ import annotations

import re

_COLLECTIONS = re.compile(r"^(models|datasets|jobs)/")


def short_name(name: str) -> str:
    """Returns the form that people write, of a name in either form."""
    name = _COLLECTIONS.sub("", name)
    return name.replace("/versions/", "@").replace("/tags/", ":")


def model_name(name: str) -> str:
    """Returns `models/{model}` for NAME."""
    return f"models/{short_name(name)}"


def version_name(reference: str) -> str:
    """Returns the wire's name of a version for NAME (its latest), NAME:TAG or NAME@NUMBER."""
    short = short_name(reference)
    if "@" in short:
        model, _, number = short.partition("@")
        return f"models/{model}/versions/{number}"
    model, colon, tag = short.partition(":")
    return f"models/{model}/tags/{tag if colon else 'latest'}"


def tag_name(model: str, tag: str) -> str:
    """Returns the wire's name of a model's tag."""
    return f"{model_name(model)}/tags/{tag}"


def dataset_name(reference: str) -> str:
    """Returns the wire's name of a dataset for NAME, of its version for NAME@NUMBER."""
    return "datasets/" + short_name(reference).replace("@", "/versions/")


def job_name(name: str) -> str:
    """Returns `jobs/{job}` for ID."""
    return f"jobs/{short_name(name)}"
