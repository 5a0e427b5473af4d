"""Weights as safetensors: checked to the last byte. They are numbers without a network."""

from __future__ import annotations

import json

from frostline_zoo.errors import CorruptError, ExhaustedError, InvalidError
from frostline_zoo.foreign.json_text import each_once
from frostline_zoo.tensors import MAX_HEADER_BYTES, Array, arrays_in


def tensors_of(content: memoryview) -> dict[str, Array]:
    """Returns the arrays of a safetensors file, as views of it.

    Raises:
        InvalidError: it is damaged, names a tensor twice, or has bytes that no tensor owns (BAD_SAFETENSORS).
        ExhaustedError: its header is too long (LIMIT_HEADER).
    """
    header_bytes = int.from_bytes(content[:8], "little")
    if MAX_HEADER_BYTES < header_bytes <= len(content) - 8:
        text = f"the tensor file has a header of {header_bytes:,} bytes: at most {MAX_HEADER_BYTES:,} are taken"
        raise ExhaustedError(text, reason="LIMIT_HEADER")
    try:
        if header_bytes > len(content) - 8:
            raise ValueError(header_bytes)
        header = json.loads(bytes(content[8 : 8 + header_bytes]), object_pairs_hook=each_once)
        if isinstance(header, dict):
            header.pop("__metadata__", None)
            "".join(header).encode()  # half a surrogate pair can be said in JSON, and told to nobody
        return arrays_in(header, content[8 + header_bytes :])
    except (ValueError, RecursionError, CorruptError) as error:
        text = "the tensor file's header does not describe its bytes: save it again"
        raise InvalidError(text, reason="BAD_SAFETENSORS") from error
