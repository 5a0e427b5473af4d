"""The client of one server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import numpy.typing as npt

from frostline_client.blobs import Blobs
from frostline_client.channel import Channel
from frostline_client.datasets import Datasets
from frostline_client.features import Features
from frostline_client.jobs import Job, Jobs
from frostline_client.models import Models, Reference
from frostline_client.plans import StagePlan
from frostline_client.predictions import Predictions
from frostline_client.recipes import build_recipe
from frostline_client.records import Version
from frostline_client.streams import Progress


class Client:
    """A server's zoo: its `models`, `datasets`, `jobs` and `features`, and the verbs `train`, `plan` and `predict`.

    Every method raises NoServerError where no server answers, and other FrostlineErrors as its docstring says. A
    client may be used from several threads; `close`, or a `with` block, ends its connection.
    """

    def __init__(self, address: str | None = None) -> None:
        """Makes a client of the server at `address` (HOST:PORT), else $FROSTLINE_SERVER, else 127.0.0.1:8470.

        It connects with the first call, not before.
        """
        self._channel = Channel(address)
        self.blobs = Blobs(self._channel)
        self.models = Models(self._channel, self.blobs)
        self.datasets = Datasets(self._channel, self.blobs)
        self.jobs = Jobs(self._channel, self.models.get)
        self.features = Features(self._channel)
        self._predictions = Predictions(self._channel)

    @property
    def address(self) -> str:
        """The server's HOST:PORT."""
        return self._channel.address

    def train(
        self,
        *,
        name: str,
        data: Any,
        base: Reference | None = None,
        reuse: str | int | Sequence[str | int] | Mapping[str, Any] | None = None,
        augment: Iterable[Any] = (),
        head: Iterable[Any] = (),
        validation: Any = None,
        preprocessing: Mapping[str, Any] | None = None,
        loss: Any = None,
        metrics: Sequence[Any] | None = None,
        seed: int | None = None,
        stages: Sequence[Mapping[str, Any]] | None = None,
        freeze: str | Sequence[str] | None = None,
        optimizer: Any = None,
        batch_size: int | None = None,
        epochs: int | None = None,
        early_stopping: Mapping[str, Any] | None = None,
        cache: Any = None,
        request_id: str | None = None,
    ) -> Job:
        """Submits the recipe that the arguments say, and returns its job. docs/recipes.md has every key and default.

        Args:
            name: the model that the result becomes a version of.
            data: the dataset to train on: NAME, NAME@NUMBER, or what `datasets.push` returned.
            base: the model to start from; None trains from scratch, on the whole network in `head`.
            reuse: the layer, or layers, up to which the base is kept, by name or index; None: all but its output layer.
                A dict of `through`, `drop`, `replace`, `insert`, `rename` and `input` changes what is kept.
            augment: random image layers put before the first layer, such as `layers.RandomFlip("horizontal")`: one,
                or several.
            head: the layers put on top, such as `layers.Dense(5, activation="softmax")`: one, or several.
            validation: a fraction of `data`, or `{"fraction": 0.2, "seed": 7}`, or another dataset.
            preprocessing: how an example becomes the input, where there is no base to say so.
            stages: dicts of `freeze`, `optimizer`, `batch_size`, `epochs`, `early_stopping`; a single stage may be
                given by arguments of these names instead.
            freeze: the layer, or layers, up to which nothing trains; "none": everything trains; None: what is reused
                does not.
            cache: False computes the trunk again in every epoch instead of keeping its outputs; a dict says how they
                are kept: `{"views": 4}` random views of each example, and their `dtype`.
            request_id: a UUID; submitting again with the same one answers with the same job.

        Raises:
            InvalidError: the recipe is malformed or does not fit the zoo; the message names the key.
            NotFoundError: the zoo holds no such base or dataset.
        """
        recipe = build_recipe(
            name=name,
            data=data,
            base=base,
            reuse=reuse,
            augment=augment,
            head=head,
            validation=validation,
            preprocessing=preprocessing,
            loss=loss,
            metrics=metrics,
            seed=seed,
            stages=stages,
            freeze=freeze,
            optimizer=optimizer,
            batch_size=batch_size,
            epochs=epochs,
            early_stopping=early_stopping,
            cache=cache,
        )
        return self.jobs.submit(recipe, request_id=request_id)

    def plan(self, **recipe: Any) -> tuple[StagePlan, ...]:
        """Returns what `train` with these arguments would do about the features of each stage, and why.

        Nothing is submitted. What the network costs on the server is measured, which takes some seconds.

        Raises:
            InvalidError, NotFoundError: as `train`.
        """
        return self.jobs.plan(build_recipe(**recipe))

    def predict(
        self, model: Reference, x: npt.ArrayLike, *, layer: str | None = None, progress: Progress | None = None
    ) -> npt.NDArray[Any]:
        """Returns the outputs (rows, ...) of a version, or of one of its layers, for `x` (rows, ...).

        The version's preprocessing applies. `progress` is told how many rows are done, and of how many.

        Raises:
            InvalidError: `x` does not fit the network's input, or holds NaN; the network has several inputs, or
                several outputs and `layer` names none of them.
            NotFoundError: the zoo holds no such version, or the version no such layer.
        """
        reference = model.name if isinstance(model, Version) else model
        return self._predictions.predict(reference, x, layer=layer, progress=progress)

    def close(self) -> None:
        """Ends the connection. Jobs go on."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
