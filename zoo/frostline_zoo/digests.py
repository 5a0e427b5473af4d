"""Digests: the names of contents.

A digest is `sha256:` and 64 lower-case hexadecimal digits. What is hashed is either bytes as they are, or a JSON value
in its one canonical form: keys sorted, no white space, UTF-8, numbers as Python's `json` writes them, no NaN.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from typing_extensions import Buffer

from frostline_zoo.errors import InvalidError

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def digest_of(content: Buffer) -> str:
    """Returns the digest of `content`."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def digest_of_json(kind: str, value: Any) -> str:
    """Returns the digest of a JSON value of one `kind`: of `frostline.KIND.v1`, a newline and its canonical form.

    The kind keeps values of different kinds apart, should they ever be written alike.
    """
    return digest_of(f"frostline.{kind}.v1\n".encode() + canonical_json(value))


def canonical_json(value: Any) -> bytes:
    """Returns the one form in which a JSON value is hashed and stored."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def checked_digest(text: str) -> str:
    """Returns `text` where it is a digest.

    Raises:
        InvalidError: it is not.
    """
    if not _DIGEST.fullmatch(text):
        raise InvalidError(
            f"{text[:80]!r} is not a digest: write sha256: and 64 hexadecimal digits", reason="BAD_DIGEST"
        )
    return text
