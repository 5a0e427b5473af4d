"""What must be TensorFlow's own: a network's forward pass and a head's training, as compiled programs.

Everything else of the server speaks `keras` and NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from frostline_zoo.errors import InvalidError

Array = npt.NDArray[Any]

# On a CPU the best batch is the largest whose widest tensor stays near the caches; benchmarks/fill.py measures it.
_WIDEST_TENSOR_BYTES = 32 << 20
_SMALLEST_BATCH, _LARGEST_BATCH = 16, 512


def forward_batch_size(model: keras.Model) -> int:
    """Returns how many rows `compiled_forward` takes best: a power of two that depends on the network alone.

    It must not depend on the data or on a measurement: rows computed by one job and rows computed by another have to
    come from the same program, or they would differ in their last bits.
    """
    widest = max(
        (
            int(np.prod([side or 1 for side in tensor.shape[1:]], dtype=int)) * 4
            for operation in model.operations
            for node in operation._inbound_nodes
            for tensor in node.output_tensors
        ),
        default=4,
    )
    fitting = max(1, _WIDEST_TENSOR_BYTES // widest)
    return int(min(max(1 << (fitting.bit_length() - 1), _SMALLEST_BATCH), _LARGEST_BATCH))


def compiled_forward(model: keras.Model) -> Callable[[Sequence[Array]], list[Array]]:
    """Returns the network in inference mode: one array an input -> one array an output.

    Every call must have the same batch size. Not XLA: on a CPU its depthwise convolutions are several times slower than
    TensorFlow's own kernels, and it is faster on none of the networks in benchmarks/fill.py.
    """
    program = tf.function(lambda inputs: _listed(model(_one_or_all(inputs), training=False)), autograph=False)

    def forward(inputs: Sequence[Array]) -> list[Array]:
        try:
            return run(inputs)
        except tf.errors.InvalidArgumentError as error:
            raise InvalidError(
                "the network cannot take these rows: a value is outside what one of its layers takes, "
                "such as an index past the end of an Embedding",
                reason="VALUE_OUT_OF_RANGE",
            ) from error

    def run(inputs: Sequence[Array]) -> list[Array]:
        return [output.numpy() for output in program([tf.convert_to_tensor(array) for array in inputs])]

    return forward


class CompiledEpoch:
    """One epoch of one head, as one program: no Python between the steps, batches gathered inside.

    The head's and the optimizer's variables are the state; `__call__` changes them. The program is compiled at the
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
        self._loss = loss
        self._metrics = list(metrics)
        self._batch_size = batch_size
        optimizer.build(head.trainable_variables)
        self._program = tf.function(self._epoch, jit_compile=_suits_xla(head), autograph=False)
        self._held: dict[int, tuple[Any, Any]] = {}

    @property
    def variables(self) -> list[keras.Variable]:
        """Everything that training changes: the head's weights and random states, then the optimizer's."""
        return [*self.head.variables, *self.optimizer.variables]

    def __call__(
        self, features: Sequence[Array], labels: Array, order: Array, held_out: tuple[Sequence[Array], Array] | None
    ) -> dict[str, float]:
        """Trains on every example once, and then measures.

        Args:
            features: one array a tensor of the frontier, each (n, ...).
            labels: (n, ...).
            order: (n,), the places of the examples in the order in which they are taken, a batch at a time.
            held_out: features and labels of the validation examples.

        Returns:
            "loss" and the metrics as running means over the epoch, as Keras reports them; with a "val_" prefix those of
            the validation examples after it.
        """
        whole = len(order) - len(order) % self._batch_size
        batches = tf.constant(order[:whole].reshape(-1, self._batch_size).astype(np.int32))
        rest = tf.constant(order[whole:].astype(np.int32))
        arguments = [*self._on_device(features), self._on_device([labels])[0]]
        validation = [*self._on_device(held_out[0]), self._on_device([held_out[1]])[0]] if held_out else None
        figures = self._program(arguments, batches, rest, validation).numpy()
        names = ["loss", *(metric.name for metric in self._metrics)]
        names += [f"val_{name}" for name in names] if held_out else []
        return dict(zip(names, figures.astype(float).tolist(), strict=True))

    def release(self) -> None:
        """Lets go of the examples that the last calls were given."""
        self._held.clear()

    def _on_device(self, arrays: Sequence[Array]) -> list[Any]:
        """Copies each array once, however many epochs it is used in."""
        for array in arrays:
            if id(array) not in self._held:
                self._held[id(array)] = (array, tf.constant(array))
        return [self._held[id(array)][1] for array in arrays]

    def _epoch(self, arguments: list[Any], batches: Any, rest: Any, validation: list[Any] | None) -> Any:
        figures = self._pass(self._train, arguments, batches, rest)
        if validation is not None:
            count = validation[-1].shape[0]
            size = min(count, max(self._batch_size, 256))
            places = tf.range(count)
            whole = count - count % size
            figures += self._pass(self._test, validation, tf.reshape(places[:whole], (-1, size)), places[whole:])
        return tf.stack([tf.cast(figure, tf.float32) for figure in figures])

    def _pass(self, step: Callable[..., Any], arguments: list[Any], batches: Any, rest: Any) -> list[Any]:
        for metric in self._metrics:
            metric.reset_state()
        steps, size = batches.shape

        def body(number: Any, total: Any) -> Any:
            return number + 1, total + step(arguments, batches[number]) * size

        total = tf.constant(0.0)
        if steps:
            _, total = tf.while_loop(lambda at, _: at < steps, body, (tf.constant(0), total), parallel_iterations=1)
        if rest.shape[0]:
            total += step(arguments, rest) * rest.shape[0]
        return [total / (steps * size + rest.shape[0]), *(metric.result() for metric in self._metrics)]

    def _train(self, arguments: list[Any], places: Any) -> Any:
        *features, labels = (tf.gather(array, places) for array in arguments)
        with tf.GradientTape() as tape:
            outputs = self.head(_one_or_all(features), training=True)
            loss = self._loss(labels, outputs) + sum(self.head.losses)
        variables = self.head.trainable_variables
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        self.optimizer.apply(gradients, variables)
        for metric in self._metrics:
            metric.update_state(labels, outputs)
        return loss

    def _test(self, arguments: list[Any], places: Any) -> Any:
        *features, labels = (tf.gather(array, places) for array in arguments)
        outputs = self.head(_one_or_all(features), training=False)
        for metric in self._metrics:
            metric.update_state(labels, outputs)
        return self._loss(labels, outputs) + sum(self.head.losses)


def _suits_xla(head: keras.Model) -> bool:
    """XLA fuses a step of dense layers into one kernel, but convolves on a CPU slower than TensorFlow does."""
    return not any("Conv" in type(layer).__name__ for layer in head._flatten_layers())


def _one_or_all(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
