"""Networks of other tools, drawn as Keras layers: axes put channels last, each operation said by layers of Keras."""
