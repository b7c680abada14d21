"""From a Keras sensor model to a verified microcontroller."""

__version__ = "0.1.0"
