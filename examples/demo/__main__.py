"""The demo: a network learns some classes; its lower layers are then reused for others, with few examples of each.

    make demo                       handwritten digits: a network for 0 to 4 is reused for 5 to 9
    make demo ASSETS=DIR            photographs: a ResNet-8 that somebody else trained is reused

It starts a server of its own and speaks to it as any client does. In build/demo it leaves the server's data, a
picture of the curves and the table.
"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path

import digits
import photos
from compare import METHODS, compare
from picture import draw
from progress import Progress
from rich.console import Console
from table import report

from frostline_client import Client
from frostline_server.embedded import serve


def main() -> None:
    parser = argparse.ArgumentParser(description="Reuses a network's lower layers, and compares.")
    parser.add_argument("--assets", type=Path, help="the folder with a real ResNet-8 and the JPEG files")
    parser.add_argument("--seeds", type=int, help="how often each method is tried (default: 5; with --assets 3)")
    parser.add_argument("--out", type=Path, default=Path("build/demo"), help="where the results go")
    arguments = parser.parse_args()
    console = Console(highlight=False)
    started = time.monotonic()
    shutil.rmtree(arguments.out / "zoo", ignore_errors=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    with serve(arguments.out / "zoo") as address, Client(address) as zoo, Progress(console) as progress:
        seeds = range(arguments.seeds or (3 if arguments.assets else 5))
        if arguments.assets:
            task = photos.prepare(zoo, arguments.assets, seeds)
        else:
            task = digits.prepare(zoo, seeds, progress)
        results = compare(zoo, task, seeds, progress)
        parent = zoo.models.get(task.base)
    report(console, task, results, parent)
    with (arguments.out / "table.txt").open("w") as file:
        report(Console(file=file, width=100), task, results, parent)
    draw(task, results, METHODS, arguments.out / "curves.png")
    console.print(f"\n{time.monotonic() - started:.0f} s in all. The curves are in {arguments.out}/curves.png.")
    console.print(f"Look around in the zoo that it made: make serve DATA={arguments.out}/zoo", soft_wrap=True)


if __name__ == "__main__":
    main()
