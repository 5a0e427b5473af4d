"""Why a plan is what it is, in one sentence for people."""

from __future__ import annotations

from collections.abc import Sequence

from frostline_server.training.option import Option
from frostline_server.training.plan import told_bytes, told_seconds
from frostline_zoo.graph import Cut


def reason_of(
    best: Option, options: Sequence[Option], own: Cut, *, epochs: int, size: int, budget: int, beside: int
) -> str:
    """Returns why the best of some options is the best.

    Args:
        best: it.
        options: all that there were.
        own: the stage's cut.
        epochs: how many the stage has.
        size: what the rows take at the stage's cut, in bytes.
        budget: what features may take on disk, in bytes.
        beside: what other stages of the job keep of that.
    """
    over = f"over {epochs} epoch" + ("s" if epochs > 1 else "")
    nowhere = next(option for option in options if option.kept == "nowhere")
    if best is nowhere:
        if len(options) == 1:
            others = f" beside the {told_bytes(beside)} of the job's other stages" if beside else ""
            return (
                f"the {told_bytes(budget)} for features on disk have no room for the rows' {told_bytes(size)}{others}, "
                "nor has memory: they are computed in every epoch"
            )
        return f"{over}, computing rows takes less time than writing {told_bytes(size)} and reading them"
    saved = f"{over} that takes {told_seconds(best.seconds)} in place of {told_seconds(nowhere.seconds)}"
    if best.seconds > nowhere.seconds:
        saved += ", which is little enough for what later jobs find"
    if best.cut != own:
        layers = ", ".join(repr(ref.layer) for ref in (best.cut or own).frontier)
        return f"rows are smaller at {layers}, and the layers from there to the cut are cheap: {saved}"
    if best.kept == "memory" and any(option.kept == "store" and option.cut == best.cut for option in options):
        return f"writing {told_bytes(best.size_bytes)} takes longer than is worth it, memory has room: {saved}"
    if best.kept == "memory":
        return f"the budget for features on disk has no room for {told_bytes(best.size_bytes)}, memory has: {saved}"
    return f"each row is computed once and then {'read' if epochs > 1 else 'kept for later jobs'}: {saved}"
