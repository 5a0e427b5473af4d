"""Epochs of a head as compiled programs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from frostline_server.engine.as_tensor import as_tensor
from frostline_server.engine.forward import forward_batch_size, one_or_all, taking_values

Array = npt.NDArray[Any]

_LARGEST_TEST_BATCH = 1 << 16


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

    @property
    def arrays(self) -> list[Array]:
        """The features and the labels."""
        return [*self.features, self.labels]


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
        self.test_batch_size = max(batch_size, forward_batch_size(head, largest=_LARGEST_TEST_BATCH))
        self.is_quick = _suits_xla(head)
        self._loss = loss
        self._metrics = list(metrics)
        self._dtypes = [tensor.dtype for tensor in head.inputs]
        optimizer.build(head.trainable_variables)
        self._training = _Pass(self._train, self._metrics, self.is_quick)
        self._testing = _Pass(self._test, self._metrics, self.is_quick)
        self._held: dict[int, tuple[Any, Any]] = {}

    @property
    def variables(self) -> list[keras.Variable]:
        """Everything that training changes: the head's weights and random states, then the optimizer's."""
        return [*self.head.variables, *self.optimizer.variables]

    def at_once(self, train: Slice, held_out: Slice | None) -> dict[str, float]:
        """Trains on every example of `train` once, and then measures on `held_out`: a program each.

        Returns:
            "loss" and the metrics as running means over the epoch, as Keras reports them; with a "val_" prefix those of
            the validation examples after it.
        """
        with taking_values():
            figures = self._training.whole(self._tensors_of(train), train.order, self.batch_size)
            if held_out is not None:
                size, order = min(self.test_batch_size, len(held_out.order)), held_out.order
                figures += self._testing.whole(self._tensors_of(held_out), order, size)
        return self._named(figures, held_out is not None)

    def in_slices(
        self, train: Iterable[Slice], held_out: Iterable[Slice] | None, between: Callable[[], None], *, stays: bool
    ) -> dict[str, float]:
        """Does the same, slice after slice, for what is larger than memory or takes long.

        Every slice of `train` but the last takes whole batches; the arrays of all slices have the same length.

        Args:
            train: the examples to train on. A slice's arrays must not change until the next slice is asked for.
            held_out: the validation examples.
            between: called after every slice; may raise to stop.
            stays: the slices are of arrays that other epochs take too, so they become tensors only once.
        """
        figures = self._sliced(self._training, train, self.batch_size, between, stays)
        if held_out is not None:
            figures += self._sliced(self._testing, held_out, self.test_batch_size, between, stays)
        return self._named(figures, held_out is not None)

    def release(self) -> None:
        """Lets go of the examples that the last calls were given."""
        self._held.clear()

    def _named(self, figures: Any, has_validation: bool) -> dict[str, float]:
        names = ["loss", *(metric.name for metric in self._metrics)]
        names += [f"val_{name}" for name in names] if has_validation else []
        return {name: float(figure) for name, figure in zip(names, figures, strict=True)}

    def _tensors_of(self, part: Slice) -> list[Any]:
        """Returns the arrays as tensors, each made once, however many epochs it is used in."""
        for array in part.arrays:
            if id(array) not in self._held:
                self._held[id(array)] = (array, as_tensor(array))
        return [self._held[id(array)][1] for array in part.arrays]

    def _sliced(
        self, run: _Pass, slices: Iterable[Slice], size: int, between: Callable[[], None], stays: bool
    ) -> list[float]:
        for metric in self._metrics:
            metric.reset_state()
        total, count, steps = 0.0, 0, 0
        for part in slices:
            arguments = self._tensors_of(part) if stays else [as_tensor(array) for array in part.arrays]
            steps = steps or len(part.order) // size
            with taking_values():
                total += run.slice(arguments, part.order, size, steps)
            count += len(part.order)
            between()
        return [total / count, *(float(metric.result()) for metric in self._metrics)]

    def _train(self, arguments: list[Any], places: Any) -> Any:
        """Takes a step on a batch, and returns its loss."""
        features, labels = self._batch(arguments, places)
        with tf.GradientTape() as tape:
            outputs = self.head(one_or_all(features), training=True)
            loss = self._loss(labels, outputs) + sum(self.head.losses)
            scaled = self.optimizer.scale_loss(loss)  # which `apply` takes back
        variables = self.head.trainable_variables
        gradients = tape.gradient(scaled, [variable.value for variable in variables])
        self.optimizer.apply(gradients, variables)
        for metric in self._metrics:
            metric.update_state(labels, outputs)
        return loss

    def _test(self, arguments: list[Any], places: Any) -> Any:
        """Measures a batch, and returns its loss."""
        features, labels = self._batch(arguments, places)
        outputs = self.head(one_or_all(features), training=False)
        for metric in self._metrics:
            metric.update_state(labels, outputs)
        return self._loss(labels, outputs) + sum(self.head.losses)

    def _batch(self, arguments: list[Any], places: Any) -> tuple[list[Any], Any]:
        """Returns a batch's features, which may be kept in fewer bits than the head works in, and its labels."""
        *features, labels = (tf.gather(array, places) for array in arguments)
        return [tf.cast(rows, dtype) for rows, dtype in zip(features, self._dtypes, strict=True)], labels


class _Pass:
    """A step for each batch of some examples, compiled: the whole batches as one loop, with XLA where it is quick.

    The examples that are left over are one smaller batch. XLA would compile the step a second time for them, which
    takes longer than some epochs do, so TensorFlow runs that one.
    """

    def __init__(self, step: Callable[..., Any], metrics: Sequence[keras.metrics.Metric], is_quick: bool) -> None:
        self._step = step
        self._metrics = metrics
        self._whole = tf.function(self._run_whole, jit_compile=is_quick, autograph=False)
        self._slice = tf.function(self._run_slice, jit_compile=is_quick, autograph=False)
        self._rest = tf.function(self._run_rest, autograph=False)

    def whole(self, arguments: list[Any], order: Array, size: int) -> list[float]:
        """Runs over all examples, in `order`; returns the mean loss and the metrics."""
        steps = len(order) // size
        batches = order[: steps * size].reshape(steps, size).astype(np.int32)
        figures = self._whole(arguments, tf.constant(batches))
        if left := len(order) % size:
            figures = self._rest(arguments, tf.constant(order[-left:].astype(np.int32)), figures[0])
        total, *metrics = figures.numpy().tolist()
        return [total / len(order), *metrics]

    def slice(self, arguments: list[Any], order: Array, size: int, steps: int) -> float:
        """Runs over some of the examples, and returns the sum of their losses; adds to the metrics.

        `steps` is the same in all slices of whole batches, so that one program runs them.
        """
        count, total = len(order) // size, 0.0
        if count:
            batches = np.zeros((steps, size), np.int32)
            batches[:count] = order[: count * size].reshape(count, size)
            # `float` waits for the program, which reads the slice's own memory: from then on it may change.
            total = float(self._slice(arguments, tf.constant(batches), tf.constant(count)))
        if left := len(order) % size:
            rest = tf.constant(order[-left:].astype(np.int32))
            total = float(self._rest(arguments, rest, tf.constant(total))[0])
        return total

    def _run_whole(self, arguments: list[Any], batches: Any) -> Any:
        for metric in self._metrics:
            metric.reset_state()
        steps = batches.shape[0]
        return self._figures(self._run_slice(arguments, batches, steps) if steps else tf.constant(0.0))

    def _run_rest(self, arguments: list[Any], places: Any, total: Any) -> Any:
        return self._figures(total + self._step(arguments, places) * places.shape[0])

    def _run_slice(self, arguments: list[Any], batches: Any, steps: Any) -> Any:
        """Returns the sum of the examples' losses over the first `steps` batches."""

        def body(number: Any, total: Any) -> Any:
            return number + 1, total + self._step(arguments, batches[number]) * batches.shape[1]

        start = (tf.constant(0), tf.constant(0.0))
        return tf.while_loop(lambda at, _: at < steps, body, start, parallel_iterations=1)[1]

    def _figures(self, total: Any) -> Any:
        return tf.stack([total, *(tf.cast(metric.result(), tf.float32) for metric in self._metrics)])


def _suits_xla(head: keras.Model) -> bool:
    """XLA fuses a step of dense layers into one kernel, but convolves on a CPU slower than TensorFlow does.

    And it has no kernels for what layers of preprocessing do to images, such as RandomRotation.
    """
    kinds = [type(layer) for layer in head._flatten_layers()]
    return not any("Conv" in kind.__name__ or ".preprocessing." in kind.__module__ for kind in kinds)
