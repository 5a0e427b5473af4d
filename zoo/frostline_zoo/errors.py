"""Everything the zoo refuses to do, and why.

ZooError
├── InvalidError            the request is malformed, or does not fit what it names
├── NotFoundError           the zoo holds no such thing
├── AlreadyExistsError      the request id is taken by a different request
├── FailedPreconditionError the thing is not in a state that allows this
├── OutOfRangeError         an offset is not where the thing ends
├── AbortedError            somebody else was faster: read again and retry
├── ExhaustedError          a limit or the disk is reached
├── UnavailableError        not now: retry later
└── CorruptError            stored bytes are not those that were stored

A message is one line that names the thing and the mend. It never holds a path, a class name of ours or the text of
another exception: it goes to clients as it is.
"""

from __future__ import annotations


class ZooError(Exception):
    """What the zoo refuses. `reason` is for programs: UPPER_SNAKE_CASE; `metadata` holds what the message names."""

    default_reason = "REFUSED"

    def __init__(self, message: str, *, reason: str | None = None, **metadata: str) -> None:
        self.message = on_one_line(message)
        super().__init__(self.message)
        self.reason = reason or self.default_reason
        self.metadata = metadata


class InvalidError(ZooError):
    """The request is malformed, or does not fit what it names."""

    default_reason = "INVALID"


class NotFoundError(ZooError):
    """The zoo holds no such thing."""

    default_reason = "NOT_FOUND"


class AlreadyExistsError(ZooError):
    """The request id is taken by a different request."""

    default_reason = "ALREADY_EXISTS"


class FailedPreconditionError(ZooError):
    """The thing is not in a state that allows this."""

    default_reason = "FAILED_PRECONDITION"


class OutOfRangeError(ZooError):
    """An offset is not where the thing ends."""

    default_reason = "OUT_OF_RANGE"


class AbortedError(ZooError):
    """Somebody else was faster: read again and retry."""

    default_reason = "ABORTED"


class ExhaustedError(ZooError):
    """A limit or the disk is reached."""

    default_reason = "EXHAUSTED"


class UnavailableError(ZooError):
    """Not now: retry later."""

    default_reason = "UNAVAILABLE"


class CorruptError(ZooError):
    """Stored bytes are not those that were stored."""

    default_reason = "CORRUPT"


def on_one_line(message: str) -> str:
    """Returns a message with what cannot be printed escaped: it may quote a file, or whoever asked."""
    if message.isprintable():
        return message
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in message)


def full_disk() -> ExhaustedError:
    """Returns the error for a disk that takes no more."""
    message = "the server's disk is full, or its limit reached: free space there, then try again"
    return ExhaustedError(message, reason="STORAGE_FULL")
