"""Image files as examples: whether they are whole, and the pixels in them.

Every accepted file decodes later, in another process: it is decoded once, whole, before it is stored.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from frostline_zoo.errors import InvalidError

MAX_PIXELS = 50_000_000
"""A file of a few bytes can claim any number of pixels, each of which costs memory."""

FORMATS = ("JPEG", "PNG")

_MODES = {1: "L", 3: "RGB"}
_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "area": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
INTERPOLATIONS = tuple(_RESAMPLING)

_JPEG_SIGNATURE = b"\xff\xd8\xff"
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHUNK_HEADER = struct.Struct(">I4s")
_IMAGE_HEADER = struct.Struct(">IIBBBBB")
_PNG_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # palettes are left to the decoder


def refusal(content: bytes) -> str:
    """Returns why `content` is refused as an image, in words that follow a file's name; empty where it decodes."""
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        if image.width * image.height > MAX_PIXELS:
            raise Image.DecompressionBombError
        image.load()
    except Image.DecompressionBombError:
        return f"has more than {MAX_PIXELS:,} pixels"
    except Exception:  # a decoder meets what nobody foresaw: whatever it raises, this is no image to keep
        is_image = content.startswith((_PNG_SIGNATURE, _JPEG_SIGNATURE))
        return "is a damaged or truncated image" if is_image else "is not a JPEG or PNG image"
    return ""


def decode(content: bytes, height: int, width: int, channels: int, interpolation: str) -> npt.NDArray[np.uint8]:
    """Returns the pixels of a JPEG or PNG file as (height, width, channels), channels being 1 (gray) or 3 (RGB).

    An image of another size is resized. Transparency is dropped; 16 bits a channel become 8.

    Raises:
        InvalidError: the content is not a whole image.
    """
    try:
        image: Image.Image = Image.open(io.BytesIO(content), formats=FORMATS)
        if image.mode.startswith("I"):
            image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
        if image.mode != _MODES[channels]:
            image = image.convert(_MODES[channels])
        if image.size != (width, height):
            image = image.resize((width, height), _RESAMPLING[interpolation])
        return np.frombuffer(image.tobytes(), np.uint8).reshape(height, width, channels)
    except (OSError, ValueError, SyntaxError) as error:
        raise InvalidError("an example is not a JPEG or PNG image", reason="BAD_IMAGE") from error


def resize(rows: npt.NDArray[Any], height: int, width: int, interpolation: str) -> npt.NDArray[Any]:
    """Returns images (n, h, w, c) as (n, height, width, c): uint8 stays uint8, all else becomes float32."""
    kind = np.uint8 if rows.dtype == np.uint8 else np.float32
    resized = np.empty((len(rows), height, width, rows.shape[3]), kind)
    for row, target in zip(rows, resized, strict=True):
        for channel in range(rows.shape[3]):
            plane = Image.fromarray(np.ascontiguousarray(row[:, :, channel], kind))
            target[:, :, channel] = np.asarray(plane.resize((width, height), _RESAMPLING[interpolation]))
    return resized


def is_plain_png(content: bytes) -> bool:
    """Whether this is a PNG of the plainest kind, whole to its last checksum. It is several times faster than decoding.

    Plain is: no chunks but header, data and end; not interlaced; no palette. No is not a refusal: the decoder is asked.
    """
    if content[:8] != _PNG_SIGNATURE:
        return False
    place, header, data = 8, b"", []
    try:
        while True:
            size, kind = _CHUNK_HEADER.unpack_from(content, place)
            body = content[place + 8 : place + 8 + size]
            checksum = content[place + 8 + size : place + 12 + size]
            if zlib.crc32(body, zlib.crc32(kind)).to_bytes(4, "big") != checksum:
                return False
            place += 12 + size
            if kind == b"IDAT" and header:
                data.append(body)
            elif kind == b"IHDR" and not header:
                header = body
            elif kind == b"IEND" and not body and place == len(content):
                break
            else:
                return False
        width, height, depth, colour, compression, filtering, interlacing = _IMAGE_HEADER.unpack(header)
        channels = _PNG_CHANNELS.get(colour, 0)
        plain = depth == 8 and channels and not (compression or filtering or interlacing)
        if not plain or not 0 < width * height <= MAX_PIXELS:
            return False
        line = 1 + width * channels  # a filter's number, and the pixels
        inflater = zlib.decompressobj()
        lines = inflater.decompress(b"".join(data), line * height + 1)
    except (struct.error, zlib.error):
        return False
    return len(lines) == line * height and inflater.eof and not inflater.unused_data and max(lines[::line]) <= 4
