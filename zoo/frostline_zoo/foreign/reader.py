"""The readers by format: what the jail does with a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial

from frostline_zoo.errors import InvalidError
from frostline_zoo.foreign.files import Files
from frostline_zoo.foreign.formats import START_BYTES, format_of
from frostline_zoo.foreign.stumbles import STUMBLES
from frostline_zoo.foreign.wire import Parsed, encode

Reader = Callable[[Files, str], AbstractContextManager[Parsed]]
"""Gives the network in the files, the main one named; its arrays may be read only while the context lasts."""


def reader_for(format: str, *, weights_only: bool = False) -> Reader:
    """Returns the reader of a format, with all that it needs imported: in the jail nothing can be, later.

    Args:
        format: one of `formats.FORMATS`.
        weights_only: whether the arrays are wanted, by their names, rather than a network.
    """
    if weights_only:
        from frostline_zoo.foreign.weights_reader import read_weights

        return partial(read_weights, format=format)
    if format == "keras":
        from frostline_zoo.foreign.keras_file import read_keras_file

        return read_keras_file
    if format == "keras_h5":
        from frostline_zoo.foreign.keras_h5 import read_keras_h5

        return read_keras_h5
    if format == "onnx":
        from frostline_zoo.foreign.onnx_reader import onnx_file

        return onnx_file
    if format == "caffe":
        from frostline_zoo.foreign.caffe_reader import caffe_files

        return caffe_files
    if format == "saved_model":
        from frostline_zoo.foreign.saved_model_reader import saved_model

        return saved_model
    if format == "huggingface":
        from frostline_zoo.foreign.hugging_face_reader import hugging_face_folder

        return hugging_face_folder
    from frostline_zoo.foreign.weights_reader import refuse_weights

    return partial(refuse_weights, format=format)


def format_in(files: Files, main: str, asked: str) -> str:
    """Returns the format of an import's main file. Raises InvalidError as `formats.format_of`."""
    return format_of(main, bytes(files.view(main)[:START_BYTES]), asked)


def answer(reader: Reader, files: Files, main: str) -> Iterator[bytes | memoryview]:
    """Yields the network in the files as `wire` writes it.

    Raises:
        InvalidError: the format can hold code (UNSAFE_FORMAT), the file is damaged (BAD_ARCHIVE, BAD_HDF5,
            BAD_SAFETENSORS, BAD_ONNX, BAD_CAFFE, BAD_MESSAGE, BAD_SAVED_MODEL, BAD_GRAPH, BAD_CHECKPOINT, BAD_JSON,
            BAD_CONFIG, BAD_WEIGHTS, LIMIT_DEPTH), points outside itself (EXTERNAL_REFERENCE), or holds what acts
            (UNSAFE_LAYER, UNSAFE_OP) or what no layers say (UNSUPPORTED_LAYER, UNSUPPORTED_OP, UNSUPPORTED_MODEL).
        ExhaustedError: it unpacks to more than is taken (LIMIT_INFLATE, LIMIT_PARAMS, LIMIT_MEMBERS, LIMIT_HEADER,
            LIMIT_NODES).
    """
    try:
        with reader(files, main) as network:
            yield from encode(network)
    except STUMBLES as error:
        raise InvalidError("the file's network does not hold together: save it again", reason="BAD_CONFIG") from error
