"""Follows the newest job of a server, and draws its loss as a line of text.

    python examples/watch_jobs.py [HOST:PORT]

Watching goes on by itself where the connection breaks or the server restarts; ending it leaves the job alone.
"""

from __future__ import annotations

import sys

from frostline_client import Client
from frostline_client.events import EpochEnded, Filled, StateChanged


def main(address: str | None = None) -> None:
    """Watches the newest job of the server at `address` until it ends."""
    with Client(address) as zoo:
        newest = next(iter(zoo.jobs.list()), None)
        if newest is None:
            print("there are no jobs: submit one first")
            return
        for event in zoo.jobs.get(newest.name).watch():
            match event:
                case StateChanged():
                    print(f"{newest.name} is {event.state} {event.error or event.model}")
                case Filled():
                    print(f"features: {event.done} of {event.total} are there, {event.computed} computed")
                case EpochEnded():
                    print(
                        f"epoch {event.epoch:4} loss {event.metrics['loss']:7.4f}",
                        "▪" * int(event.metrics["loss"] * 20),
                    )


if __name__ == "__main__":
    main(*sys.argv[1:])
