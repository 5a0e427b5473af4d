"""Epochs of a head as compiled programs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from frostline_server.engine.forward import one_or_all

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Slice:
    """Some of an epoch's examples.

    Attributes:
        features: one array a tensor of the frontier, each (n, ...).
        labels: (n, ...).
        order: (k,), the places among them of the examples to take, a batch at a time.
    """

    features: Sequence[Array]
    labels: Array
    order: Array


class CompiledEpoch:
    """One epoch of one head, as compiled code: no Python between the steps, batches gathered inside.

    The head's and the optimizer's variables are the state; an epoch changes them. The programs are compiled at their
    first call for each set of shapes.
    """

    def __init__(
        self,
        head: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        loss: keras.losses.Loss,
        metrics: Sequence[keras.metrics.Metric],
        batch_size: int,
    ) -> None:
        self.head = head
        self.optimizer = optimizer
        self.batch_size = batch_size
        self.is_quick = _suits_xla(head)
        self._loss = loss
        self._metrics = list(metrics)
        self._dtypes = [tensor.dtype for tensor in head.inputs]
        optimizer.build(head.trainable_variables)
        self._whole = tf.function(self._epoch, jit_compile=self.is_quick, autograph=False)
        self._train_slice = tf.function(self._steps_of(self._train), jit_compile=self.is_quick, autograph=False)
        self._test_slice = tf.function(self._steps_of(self._test), jit_compile=self.is_quick, autograph=False)
        self._held: dict[int, tuple[Any, Any]] = {}

    @property
    def variables(self) -> list[keras.Variable]:
        """Everything that training changes: the head's weights and random states, then the optimizer's."""
        return [*self.head.variables, *self.optimizer.variables]

    def at_once(self, train: Slice, held_out: Slice | None) -> dict[str, float]:
        """Trains on every example of `train` once, and then measures on `held_out`: all of it one program.

        Returns:
            "loss" and the metrics as running means over the epoch, as Keras reports them; with a "val_" prefix those of
            the validation examples after it.
        """
        whole = len(train.order) - len(train.order) % self.batch_size
        batches = tf.constant(train.order[:whole].reshape(-1, self.batch_size).astype(np.int32))
        rest = tf.constant(train.order[whole:].astype(np.int32))
        validation = self._on_device(held_out) if held_out else None
        return self._named(self._whole(self._on_device(train), batches, rest, validation).numpy(), held_out is not None)

    def in_slices(
        self, train: Iterable[Slice], held_out: Iterable[Slice] | None, between: Callable[[], None], *, stays: bool
    ) -> dict[str, float]:
        """Does the same, slice after slice, for what is larger than memory or takes long.

        Every slice of `train` but the last takes whole batches; the arrays of all slices have the same length.

        Args:
            train: the examples to train on.
            held_out: the validation examples.
            between: called after every slice; may raise to stop.
            stays: the slices are of arrays that other epochs take too, so they are copied only once.
        """
        figures = self._sliced(self._train_slice, train, between, stays)
        if held_out is not None:
            figures += self._sliced(self._test_slice, held_out, between, stays)
        return self._named(figures, held_out is not None)

    def release(self) -> None:
        """Lets go of the examples that the last calls were given."""
        self._held.clear()

    def _named(self, figures: Any, has_validation: bool) -> dict[str, float]:
        names = ["loss", *(metric.name for metric in self._metrics)]
        names += [f"val_{name}" for name in names] if has_validation else []
        return {name: float(figure) for name, figure in zip(names, figures, strict=True)}

    def _on_device(self, part: Slice) -> list[Any]:
        """Copies each array once, however many epochs it is used in."""
        for array in (*part.features, part.labels):
            if id(array) not in self._held:
                self._held[id(array)] = (array, tf.constant(array))
        return [self._held[id(array)][1] for array in (*part.features, part.labels)]

    def _sliced(self, program: Any, slices: Iterable[Slice], between: Callable[[], None], stays: bool) -> list[float]:
        for metric in self._metrics:
            metric.reset_state()
        total, count, steps_in_slice = 0.0, 0, 0
        for part in slices:
            arguments = (
                self._on_device(part) if stays else [tf.constant(array) for array in (*part.features, part.labels)]
            )
            order = part.order.astype(np.int32)
            steps = len(order) // self.batch_size
            steps_in_slice = steps_in_slice or steps
            if steps:
                batches = np.zeros((steps_in_slice, self.batch_size), np.int32)
                batches[:steps] = order[: steps * self.batch_size].reshape(steps, -1)
                total += float(program(arguments, tf.constant(batches), tf.constant(steps)))
            if rest := len(order) % self.batch_size:
                total += float(program(arguments, tf.constant(order[-rest:][None, :]), tf.constant(1)))
            count += len(order)
            between()
        return [total / count, *(float(metric.result()) for metric in self._metrics)]

    def _steps_of(self, step: Callable[..., Any]) -> Callable[..., Any]:
        return lambda arguments, batches, steps: self._loop(step, arguments, batches, steps)

    def _epoch(self, arguments: list[Any], batches: Any, rest: Any, validation: list[Any] | None) -> Any:
        figures = self._pass(self._train, arguments, batches, rest)
        if validation is not None:
            count = validation[-1].shape[0]
            size = min(count, max(self.batch_size, 256))
            places = tf.range(count)
            whole = count - count % size
            figures += self._pass(self._test, validation, tf.reshape(places[:whole], (-1, size)), places[whole:])
        return tf.stack([tf.cast(figure, tf.float32) for figure in figures])

    def _pass(self, step: Callable[..., Any], arguments: list[Any], batches: Any, rest: Any) -> list[Any]:
        for metric in self._metrics:
            metric.reset_state()
        steps, size = batches.shape
        total = self._loop(step, arguments, batches, steps) if steps else tf.constant(0.0)
        if rest.shape[0]:
            total += step(arguments, rest) * rest.shape[0]
        return [total / (steps * size + rest.shape[0]), *(metric.result() for metric in self._metrics)]

    def _loop(self, step: Callable[..., Any], arguments: list[Any], batches: Any, steps: Any) -> Any:
        """Returns the sum of the examples' losses over the first `steps` batches."""

        def body(number: Any, total: Any) -> Any:
            return number + 1, total + step(arguments, batches[number]) * batches.shape[1]

        start = (tf.constant(0), tf.constant(0.0))
        return tf.while_loop(lambda at, _: at < steps, body, start, parallel_iterations=1)[1]

    def _train(self, arguments: list[Any], places: Any) -> Any:
        features, labels = self._batch(arguments, places)
        with tf.GradientTape() as tape:
            outputs = self.head(one_or_all(features), training=True)
            loss = self._loss(labels, outputs) + sum(self.head.losses)
        variables = self.head.trainable_variables
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        self.optimizer.apply(gradients, variables)
        for metric in self._metrics:
            metric.update_state(labels, outputs)
        return loss

    def _test(self, arguments: list[Any], places: Any) -> Any:
        features, labels = self._batch(arguments, places)
        outputs = self.head(one_or_all(features), training=False)
        for metric in self._metrics:
            metric.update_state(labels, outputs)
        return self._loss(labels, outputs) + sum(self.head.losses)

    def _batch(self, arguments: list[Any], places: Any) -> tuple[list[Any], Any]:
        """Returns a batch's features, which may be kept in fewer bits than the head works in, and its labels."""
        *features, labels = (tf.gather(array, places) for array in arguments)
        return [tf.cast(rows, dtype) for rows, dtype in zip(features, self._dtypes, strict=True)], labels


def _suits_xla(head: keras.Model) -> bool:
    """XLA fuses a step of dense layers into one kernel, but convolves on a CPU slower than TensorFlow does."""
    return not any("Conv" in type(layer).__name__ for layer in head._flatten_layers())
