"""Errors that a person can act on; the CLI prints them as one line and exits 2."""


class CascadeError(Exception):
    """Base of every error that names its own cause."""


class ConfigError(CascadeError):
    """A config key holds a value that cannot work; the message names key, value and what would be right."""


class DataError(CascadeError):
    """A table breaks the data convention; the message names table, column and row."""


class ArtifactError(CascadeError):
    """An artifact is missing, unfinished, or does not belong to the release that asks for it."""


class WiringError(CascadeError):
    """An op reads a column that nothing before it writes, or writes it with another dtype or rank."""


class RequestError(CascadeError):
    """A request is not answerable; the message names the input, what was expected and what came."""


class ServerError(CascadeError):
    """The Triton runtime cannot be assembled, started or reached."""


class FeatureStoreError(CascadeError):
    """The feature store holds nothing for this pipeline, or cannot be read or written."""


class WorkerError(CascadeError):
    """One of several workers that train together has ended, or is not of one mind with the others."""


class DivergedError(CascadeError, FloatingPointError):
    """A model's scores are not numbers; the message names the model and, in training, the epoch."""
