"""Lists that come page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

PAGE_SIZE = 1000


def every_page(call: Callable[[Any], Any], request: Any, field: str) -> Iterator[Any]:
    """Yields what a list call puts into `field`, page after page."""
    request.page_size = PAGE_SIZE
    while True:
        page = call(request)
        yield from getattr(page, field)
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token
