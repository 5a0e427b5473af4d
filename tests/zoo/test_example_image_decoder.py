"""Images decoded in processes of their own: the same pixels, whoever decodes them and whatever becomes of a process."""

from __future__ import annotations

import gc
import io
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from frostline_zoo.errors import InvalidError
from frostline_zoo.examples import images
from frostline_zoo.examples.image_decoder import LARGEST_REQUEST_BYTES, ImageDecoder
from frostline_zoo.examples.image_decoding import AREA_BYTES

needs_linux = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux, to find the process")


def image(side: int = 20, seed: int = 3, kind: str = "JPEG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side + 3, 3), np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind)
    return content.getvalue()


def children() -> set[int]:
    tasks = Path("/proc/self/task").glob("*/children")
    return {int(number) for task in tasks for number in task.read_text().split()}


def eventually(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.01)


class Decoding:
    """A decoder, and whether it decoded the last files in another process."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.decoder, self.here, own = ImageDecoder(), 0, images.decode

        def counted(*given: object) -> object:
            self.here += 1
            return own(*given)  # type: ignore[arg-type]

        patch.setattr(images, "decode", counted)

    def __call__(self, files: list[bytes], size: tuple[int, int, int] = (16, 12, 3), by: str = "bilinear") -> bool:
        self.here = 0
        found = self.decoder.decode(files, *size, by)
        was_here = self.here
        assert (found == np.stack([images.decode(content, *size, by) for content in files])).all()
        return not was_here


@pytest.fixture
def decoding(monkeypatch: pytest.MonkeyPatch) -> Decoding:
    """Decodes files, holds their pixels against those of `images.decode`, and returns whether a process made them."""
    return Decoding(monkeypatch)


def test_a_process_makes_the_pixels_that_this_one_would_make(decoding: Decoding) -> None:
    files = [image(seed=seed, kind=kind) for seed in range(4) for kind in ("JPEG", "PNG")]
    assert not decoding(files)  # it starts up meanwhile
    eventually(lambda: decoding(files))
    for by in images.INTERPOLATIONS:
        assert decoding(files, by=by)
    assert decoding(files[:1], (20, 23, 3))
    assert decoding(files, (9, 9, 1))


def test_what_does_not_fit_or_takes_long_is_decoded_here(decoding: Decoding) -> None:
    eventually(lambda: decoding([image()]))
    assert not decoding([image()], (AREA_BYTES // 3000, 1001, 3))
    assert not decoding([image(kind="PNG") * (1 + LARGEST_REQUEST_BYTES // len(image(kind="PNG")))])


def test_threads_share_a_decoder(decoding: Decoding) -> None:
    eventually(lambda: decoding([image()]))
    batches = [[image(seed=10 * number + seed) for seed in range(5)] for number in range(12)]
    expected = [np.stack([images.decode(content, 8, 8, 3, "area") for content in files]) for files in batches]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda files: decoding.decoder.decode(files, 8, 8, 3, "area"), batches))
    assert all((one == other).all() for one, other in zip(found, expected, strict=True))


def test_a_file_that_is_no_image_is_refused_and_the_process_goes_on(decoding: Decoding) -> None:
    eventually(lambda: decoding([image()]))
    with pytest.raises(InvalidError, match="not a JPEG or PNG image"):
        decoding.decoder.decode([image(), image()[:100], image()], 8, 8, 3, "bilinear")
    assert decoding([image(seed=7)])


@needs_linux
def test_a_process_that_was_killed_is_started_again(decoding: Decoding) -> None:
    before = children()
    eventually(lambda: decoding([image()]))
    for child in children() - before:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert not decoding([image(seed=4)])
    eventually(lambda: decoding([image(seed=5)]))


@needs_linux
def test_a_thread_that_gives_way_is_served_by_processes_that_do(decoding: Decoding) -> None:
    eventually(lambda: decoding([image()]))
    before = children()

    def give_way() -> set[int]:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 5)
        eventually(lambda: decoding([image()]))
        return children() - before  # here, since for a moment nobody has the children of a thread that ends

    with ThreadPoolExecutor(1) as thread:
        started = thread.submit(give_way).result()
    assert {os.getpriority(os.PRIO_PROCESS, child) for child in started} == {5}
    assert decoding([image()])


@needs_linux
def test_processes_end_with_their_decoder(decoding: Decoding) -> None:
    before = children()
    eventually(lambda: decoding([image()]))
    started = children() - before
    assert started
    decoding.decoder = ImageDecoder()
    gc.collect()
    for child in started:
        eventually(lambda child=child: os.waitpid(child, os.WNOHANG)[0] == child or child not in children())
