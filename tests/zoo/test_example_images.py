"""Image files: which are whole, and what is in them."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from frostline_zoo.errors import InvalidError
from frostline_zoo.examples import images

PIXELS = np.random.default_rng(3).integers(0, 256, (9, 7, 3), np.uint8)


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


PNG = encoded(Image.fromarray(PIXELS), "PNG")
JPEG = encoded(Image.fromarray(PIXELS), "JPEG")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_whole_images_of_every_kind_are_taken_and_decoded(mode: str) -> None:
    image = Image.fromarray(PIXELS[:, :, 0].astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(PIXELS)
    content = encoded(image if mode == "I;16" else image.convert(mode), "PNG")
    assert images.refusal(content) == ""
    assert images.decode(content, 9, 7, 3, "bilinear").shape == (9, 7, 3)


def test_a_png_gives_the_pixels_that_went_in() -> None:
    assert (images.decode(PNG, 9, 7, 3, "bilinear") == PIXELS).all()
    deep = encoded(Image.fromarray(PIXELS[:, :, 0].astype(np.uint16) * 256 + 255), "PNG")
    assert (images.decode(deep, 9, 7, 1, "bilinear")[:, :, 0] == PIXELS[:, :, 0]).all()


@pytest.mark.parametrize("content", [b"", b"hello", encoded(Image.fromarray(PIXELS), "GIF"), PNG[:8], JPEG[:2]])
def test_what_is_no_image_is_refused(content: bytes) -> None:
    assert images.refusal(content) in ("is not a JPEG or PNG image", "is a damaged or truncated image")


@pytest.mark.parametrize("content", [PNG, JPEG], ids=["png", "jpeg"])
def test_an_image_cut_anywhere_in_its_pixels_is_refused(content: bytes) -> None:
    for size in range(len(content) // 2, len(content) - 20, 7):
        assert images.refusal(content[:size]) != ""


def test_a_small_file_that_claims_millions_of_pixels_is_refused_without_unpacking_it() -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    bomb = PNG[:8] + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1 << 20))) + chunk(b"IEND", b"")
    assert "pixels" in images.refusal(bomb)


@given(st.integers(8, len(PNG) - 1), st.integers(1, 255))
def test_whatever_the_fast_check_takes_the_decoder_takes_too(place: int, change: int) -> None:
    changed = bytearray(PNG)
    changed[place] ^= change
    if images.is_plain_png(bytes(changed)):
        Image.open(io.BytesIO(changed), formats=["PNG"]).load()


@given(st.binary(max_size=64), st.integers(0, 9), st.integers(0, 9), st.sampled_from([0, 2, 3, 4, 6]))
def test_the_fast_check_takes_no_more_than_the_decoder_of_well_formed_chunks(
    lines: bytes, width: int, height: int, colour: int
) -> None:
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    content = PNG[:8] + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    if images.is_plain_png(content):
        Image.open(io.BytesIO(content), formats=["PNG"]).load()


@pytest.mark.parametrize("lines", [b"\x05ab", b"\x00a", b"\x00abc", b""], ids=["filter", "short", "long", "empty"])
def test_a_png_of_right_checksums_but_wrong_pixels_is_not_plain(lines: bytes) -> None:
    header = struct.pack(">IIBBBBB", 2, 1, 8, 0, 0, 0, 0)
    content = PNG[:8] + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    assert not images.is_plain_png(content)


def test_a_png_whose_pixels_have_no_end_is_not_plain() -> None:
    header = struct.pack(">IIBBBBB", 2, 1, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\x00ab")
    assert images.is_plain_png(PNG[:8] + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
    assert not images.is_plain_png(PNG[:8] + chunk(b"IHDR", header) + chunk(b"IDAT", pixels[:-2]) + chunk(b"IEND", b""))


def test_an_image_of_another_size_is_resized_as_asked() -> None:
    black_and_white = encoded(Image.fromarray(np.array([[0, 255]], np.uint8)), "PNG")
    assert images.decode(black_and_white, 1, 4, 1, "nearest").ravel().tolist() == [0, 0, 255, 255]
    assert images.decode(black_and_white, 1, 1, 1, "area").ravel().tolist() == [128]
    smooth = images.decode(black_and_white, 1, 4, 1, "bilinear").ravel().tolist()
    assert smooth == sorted(smooth)
    assert 0 < smooth[1] < smooth[2] < 255


def test_gray_becomes_three_equal_channels_and_colour_becomes_gray() -> None:
    gray = images.decode(encoded(Image.fromarray(PIXELS[:, :, 0]), "PNG"), 9, 7, 3, "bilinear")
    assert (gray == PIXELS[:, :, :1]).all()
    luma = PIXELS @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(images.decode(PNG, 9, 7, 1, "bilinear")[:, :, 0], luma, atol=1)


def test_decoding_something_else_is_an_error_of_ours() -> None:
    with pytest.raises(InvalidError, match="not a JPEG or PNG"):
        images.decode(b"hello", 9, 7, 3, "bilinear")
