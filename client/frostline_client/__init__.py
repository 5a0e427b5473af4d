"""The Frostline client library.

Quick start, with a server that runs (`frostline-server`) and a pretrained network in a file:

    from frostline_client import Client, layers, optimizers

    zoo = Client("127.0.0.1:8470")
    zoo.models.import_file("mnist-0-4.keras", "mnist-0-4", preprocessing={"scale": 1 / 255})
    digits = zoo.datasets.push("digits-5-9", x, y)         # arrays: (rows, ...) and (rows,)

    job = zoo.train(
        name="mnist-5-9",                                  # the model that the result becomes
        base="mnist-0-4",
        reuse="h5",                                        # the layers up to h5 are kept, and frozen
        head=[layers.Dense(5, activation="softmax")],      # put on top, and trained
        data=digits,
        validation=0.2,
        optimizer=optimizers.Adam(0.01),
        epochs=100,
        early_stopping={"patience": 20},
        seed=42,
    )
    for event in job.watch():                              # features filled, epochs ended, ...
        print(event)
    model = job.result()                                   # raises JobFailedError where it made none
    digit_probabilities = zoo.predict(model, x)

What the server refuses is raised as one of `frostline_client.errors`. A model is named NAME (its latest version),
NAME:TAG or NAME@NUMBER. It needs no TensorFlow.
"""

from frostline_client import errors, initializers, layers, losses, optimizers, regularizers, schedules
from frostline_client.client import Client
from frostline_client.errors import FrostlineError, JobFailedError
from frostline_client.jobs import Job
from frostline_client.recipes import read_recipe

__all__ = [
    "Client",
    "FrostlineError",
    "Job",
    "JobFailedError",
    "errors",
    "initializers",
    "layers",
    "losses",
    "optimizers",
    "read_recipe",
    "regularizers",
    "schedules",
]
