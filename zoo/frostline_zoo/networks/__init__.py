"""Networks as Keras models: in, out, and in parts. Nothing else in the zoo imports Keras."""
