"""Jobs that wait: what they will freeze of the same network is filled in the pass that this job makes anyway."""

from __future__ import annotations

from collections.abc import Iterable

from frostline_server.training.frozen import Frozen
from frostline_server.training.recipe import Recipe
from frostline_server.training.surgery import kept_part
from frostline_server.training.zoo import ZooAccess
from frostline_zoo.errors import ZooError
from frostline_zoo.graph import Cut, cut_through
from frostline_zoo.identity import trunk_digests


def waiting_cuts(texts: Iterable[str], recipe: Recipe, cut: Cut, frozen: Frozen, zoo: ZooAccess) -> list[Cut]:
    """Returns the cuts below `cut` whose features jobs that wait will need of the same examples.

    Args:
        texts: the recipes of the jobs that wait.
        recipe: of the job that runs.
        cut: the stage's own.
        frozen: the network that the job trains.
        zoo: where the bases of the recipes are.
    """
    found: list[Cut] = []
    for text in texts:
        try:
            other = Recipe.parse(text)
            if other.data.train == recipe.data.train and other.cached and not (other.augment or other.views):
                found += [each for each in _cuts(other, frozen, zoo) if each.frozen < cut.frozen]
        except ZooError:  # it is refused when its turn comes
            continue
    return list(dict.fromkeys(found))


def _cuts(other: Recipe, frozen: Frozen, zoo: ZooAccess) -> Iterable[Cut]:
    """Yields the cuts of a recipe's first stages, as cuts of the network at hand, where it has the same trunks."""
    if other.base is None or other.reuse.changes:
        return
    base = zoo.manifest_of(other.base)
    kept = kept_part(other.reuse, bool(other.head), base)
    digests = trunk_digests(kept)
    here = {digest: ref for ref, digest in frozen.digests.items()}
    reused = tuple(ref.layer for ref in kept.outputs)
    for stage in other.stages:
        names = reused if stage.freeze is None else stage.freeze
        if not names or any(kept.layer(name) is None for name in names):
            continue  # layers of its head: their features are not known before it trains
        wanted = {digests[ref] for name in names for ref in digests if ref.layer == name and ref.output == 0}
        if wanted <= here.keys():
            yield cut_through(frozen.manifest, sorted({here[digest].layer for digest in wanted}))
