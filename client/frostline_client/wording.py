"""The server's messages in people's words: they name things as the wire does, and here as one types them.

no models/mnist/versions/9: see the versions of models/mnist
no mnist@9: see the versions of model mnist
"""

from __future__ import annotations

import re

# What stands in quotes is what somebody wrote, and stays so.
_NAME = re.compile(
    r"(?<![\w/'\"])(?:(model|dataset)s/([a-z0-9._-]+)(?:/versions/([0-9]+)|/tags/([a-z0-9._-]+))?|jobs/([a-z0-9]{12})\b)"
)


def worded(message: str) -> str:
    """Returns a message of the server with NAME@NUMBER, NAME:TAG, `model NAME`, `dataset NAME` and `job ID`."""
    return _NAME.sub(_short, message)


def _short(match: re.Match[str]) -> str:
    kind, name, number, tag, job = match.groups()
    if job:
        return f"job {job}"
    return f"{name}@{number}" if number else f"{name}:{tag}" if tag else f"{kind} {name}"
