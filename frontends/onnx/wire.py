"""Takes a serialised model apart far enough to leave its big tensors where they are: in the mapped file.

Protobuf would copy every weight twice. Here a tensor's raw bytes are cut out of the message and replaced by a note of
where they lie (protobuf wire format: https://protobuf.dev/programming-guides/encoding).
"""

import mmap

from ...compiler.diagnostics import ModelError

SMALL = 4096
"""Fields shorter than this many bytes are copied as they are."""

IN_MODEL = "\0model"
"""The external location that stands for the model file itself; no path can contain it."""

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_RAW_DATA = 9

# Message fields on the way to tensors, by field number; numbers from onnx.proto.
_NESTED: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_DEEPEST = 100


def cut(data: bytes | mmap.mmap) -> bytes:
    """The serialised model with the raw bytes of big tensors replaced by notes; the rest byte for byte.

    Raises ModelError for bytes that are not in protobuf's wire format, such as those of a truncated file.
    """
    return b"".join(_message(data, 0, len(data), "model", 0))


def _message(data: bytes | mmap.mmap, start: int, end: int, kind: str, depth: int) -> list[bytes]:
    if depth > _DEEPEST:
        raise ModelError(f"messages are nested more than {_DEEPEST} deep", hint="the file is damaged")
    nested = _NESTED[kind]
    parts: list[bytes] = []
    note = b""
    copied = position = start
    while position < end:
        tag_at = position
        tag, position = _varint(data, position, end)
        number, form = tag >> 3, tag & 7
        if form == _LENGTH:
            length, position = _varint(data, position, end)
            if length > end - position:
                raise ModelError(
                    f"truncated or damaged: the field at byte {tag_at} has {length} bytes, {end - position} are left",
                    hint="copy or export the file again",
                )
            inner = nested.get(number)
            if length >= SMALL and (inner is not None or (kind == "tensor" and number == _RAW_DATA)):
                parts.append(bytes(data[copied:tag_at]))
                if inner is None:
                    note = _note(position, length)
                else:
                    body = _message(data, position, position + length, inner, depth + 1)
                    parts += [_encode(tag), _encode(sum(map(len, body))), *body]
                copied = position + length
            position += length
        elif form == _VARINT:
            _, position = _varint(data, position, end)
        elif form in (_FIXED64, _FIXED32):
            position += 8 if form == _FIXED64 else 4
        else:
            raise ModelError(
                f"not an ONNX model: byte {tag_at} begins no protobuf field",
                hint="check that this is the right file",
            )
    if position > end:
        raise ModelError(
            "truncated or damaged: its last field is cut off", hint="copy or export the file again"
        )
    # of a field that comes twice the last one counts: the note goes behind a location that the file states
    return [*parts, bytes(data[copied:end]), note]


def _varint(data: bytes | mmap.mmap, position: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while position < end and shift < 64:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ModelError(f"truncated or damaged near byte {position}", hint="copy or export the file again")


def _encode(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, content: bytes) -> bytes:
    return _encode(number << 3 | _LENGTH) + _encode(len(content)) + content


def _note(offset: int, length: int) -> bytes:
    """TensorProto fields 13 (external_data: key 1, value 2) and 14 (data_location = EXTERNAL)."""
    entries = (("location", IN_MODEL), ("offset", str(offset)), ("length", str(length)))
    notes = b"".join(
        _field(13, _field(1, key.encode()) + _field(2, value.encode())) for key, value in entries
    )
    return notes + _encode(14 << 3 | _VARINT) + b"\1"
