"""TensorFlow's messages, as far as they are read here: their fields by number, and nothing of TensorFlow.

They stand in a pool of their own, so that they and TensorFlow's can live in one process. A map is a list of entries:
its bytes are the same. What is not named here, such as devices and debug information, is skipped by the parser.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from frostline_zoo.errors import InvalidError
from frostline_zoo.foreign.messages import BYTES, fields

MAX_DEPTH = 100
_PACKAGE = "frostline.foreign.tensorflow"

# Message: field = number type; `*` marks a repeated one.
_FIELDS = """
SavedModel: meta_graphs=2 *MetaGraph
MetaGraph: info=1 MetaInfo, graph=2 Graph, collections=4 *CollectionEntry, signatures=5 *SignatureEntry,
    assets=6 *AssetFile, objects=7 SavedObjectGraph
MetaInfo: tags=4 *string
CollectionEntry: key=1 string, value=2 Collection
Collection: nodes=1 NodeList
NodeList: value=1 *string
SignatureEntry: key=1 string, value=2 Signature
Signature: inputs=1 *TensorInfoEntry, outputs=2 *TensorInfoEntry, method=3 string
TensorInfoEntry: key=1 string, value=2 TensorInfo
TensorInfo: name=1 string, dtype=2 int32, shape=3 Shape
AssetFile: tensor=1 TensorInfo, filename=2 string
Graph: nodes=1 *Node, library=2 Library
Library: functions=1 *Function
Function: signature=1 Operation, nodes=3 *Node, returns=4 *TextEntry, control_returns=6 *TextEntry
TextEntry: key=1 string, value=2 string
Operation: name=1 string, inputs=2 *Argument, outputs=3 *Argument
Argument: name=1 string
Node: name=1 string, op=2 string, inputs=3 *string, attributes=5 *AttributeEntry
AttributeEntry: key=1 string, value=2 Attribute
Attribute: list=1 AttributeList, s=2 bytes, i=3 int64, f=4 float, b=5 bool, type=6 int32, shape=7 Shape,
    tensor=8 Tensor, function=10 NamedAttributes
AttributeList: s=2 *bytes, i=3 *int64, f=4 *float, b=5 *bool, type=6 *int32, shape=7 *Shape, tensor=8 *Tensor,
    function=9 *NamedAttributes
NamedAttributes: name=1 string, attributes=2 *AttributeEntry
Shape: sides=2 *Side, unknown_rank=3 bool
Side: size=1 int64
Tensor: dtype=1 int32, shape=2 Shape, content=4 bytes, floats=5 *float, doubles=6 *double, ints=7 *int32,
    strings=8 *bytes, int64s=10 *int64, bools=11 *bool, halves=13 *int32
SavedObjectGraph: nodes=1 *SavedObject, functions=2 *ConcreteFunctionEntry
SavedObject: children=1 *Child, user=4 UserObject, variable=7 SavedVariable
Child: node=1 int32, name=2 string
UserObject: identifier=1 string, metadata=3 string
SavedVariable: dtype=1 int32, shape=2 Shape, trainable=3 bool, name=6 string
ConcreteFunctionEntry: key=1 string, value=2 ConcreteFunction
ConcreteFunction: bound=2 *int32
SavedMetadata: nodes=1 *SavedMetadataNode
SavedMetadataNode: identifier=4 string, metadata=5 string
TrackableGraph: nodes=1 *Trackable
Trackable: children=1 *Child, attributes=2 *TrackableAttribute
TrackableAttribute: name=1 string, full_name=2 string, key=3 string
BundleHeader: shards=1 int32, endianness=2 int32
BundleEntry: dtype=1 int32, shape=2 Shape, shard=3 int32, offset=4 int64, size=5 int64, crc32c=6 fixed32,
    slices=7 *Slice
Slice: extents=1 *bytes
"""
_MESSAGE_TYPE = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="frostline_tensorflow.proto", package=_PACKAGE, syntax="proto3")
    for line in _FIELDS.strip().replace(",\n", ",").splitlines():
        name = line.partition(":")[0]
        message = file.message_type.add(name=name)
        for listed in line.partition(":")[2].split(","):
            key, _, rest = listed.strip().partition("=")
            number, _, kind = rest.partition(" ")
            repeated = kind.startswith("*")
            added = message.field.add(name=key, number=int(number), label=3 if repeated else 1)
            kind = kind.lstrip("*")
            if kind[0].isupper():
                added.type, added.type_name = _MESSAGE_TYPE, f".{_PACKAGE}.{kind}"
            else:
                added.type = descriptor_pb2.FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)  # type: ignore[no-untyped-call]
    names = [message.name for message in file.message_type]
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))  # type: ignore[no-untyped-call]
        for name in names
    }


_CLASSES = _classes()


def message(kind: str, content: bytes | memoryview, what: str, reason: str = "BAD_SAVED_MODEL") -> Any:
    """Returns the message of a kind that bytes hold.

    Args:
        kind: the message's name.
        content: its bytes.
        what: what to call it in a refusal.
        reason: of a refusal.

    Raises:
        InvalidError: it is damaged, or nested more than 100 deep (LIMIT_DEPTH).
    """
    try:
        return _CLASSES[kind].FromString(bytes(content))
    except DecodeError as error:
        if _is_deep(kind, content):
            raise InvalidError(f"{what} is nested more than {MAX_DEPTH} deep", reason="LIMIT_DEPTH") from error
        raise InvalidError(f"{what} cannot be read: it is damaged; save the network again", reason=reason) from error


def _is_deep(kind: str, content: bytes | memoryview) -> bool:
    """Whether messages stand in messages more than 100 deep, as far as the bytes can be followed."""
    level = [(_CLASSES[kind].DESCRIPTOR, memoryview(content))]
    try:
        for _ in range(MAX_DEPTH):
            level = [inner for descriptor, view in level for inner in _inner(descriptor, view)]
    except InvalidError:
        return False
    return bool(level)


def _inner(descriptor: Any, view: memoryview) -> list[tuple[Any, memoryview]]:
    found = []
    for field in fields(view):
        known = descriptor.fields_by_number.get(field.number)
        if field.wire_type == BYTES and known is not None and known.message_type is not None:
            found.append((known.message_type, field.bytes))
    return found
