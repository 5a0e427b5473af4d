"""What is refused of an ONNX file, in one line each."""

from __future__ import annotations

from frostline_zoo.errors import InvalidError


def bad_onnx(what: str) -> InvalidError:
    """Returns the refusal of a file that is no sound ONNX."""
    return InvalidError(f"the ONNX file is damaged: {what}: export the network again", reason="BAD_ONNX")


def unsupported(op_type: str, node: str, why: str) -> InvalidError:
    """Returns the refusal of a node that Keras layers do not say."""
    text = f"node {node[:80]!r} ({op_type[:80]}) {why}: no Keras layer says that; export the network without it"
    return InvalidError(text, reason="UNSUPPORTED_OP", node=node[:80])
