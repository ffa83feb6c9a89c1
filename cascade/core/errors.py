"""Errors that users can act on. The CLI prints them as one line and exits with code 2, or 70 for a crash."""


class CascadeError(Exception):
    """Base class of all errors that name their cause."""


class ConfigError(CascadeError):
    """A config key or an option has a value that cannot work; the message names both and what was expected."""


class DataError(CascadeError):
    """A table does not follow the data convention; the message names table, column and row."""


class ArtifactError(CascadeError):
    """An artifact is missing, unfinished, or belongs to another release."""


class ReleaseError(CascadeError):
    """A release is not there or still needed, or what is live cannot be read or changed now."""


class WiringError(CascadeError):
    """An op reads a column that no earlier op writes, or that has another dtype or rank."""


class RequestError(CascadeError):
    """A request cannot be answered; the message names the input, what was expected and what was given."""


class ServerError(CascadeError):
    """The Triton runtime cannot be assembled, started or reached."""


class CrashError(ServerError):
    """A server that was up has ended and is not started again, or did not load in time; no mistake of the operator's.
    Exit code 70."""


class FeatureStoreError(CascadeError):
    """The feature store has no data of this pipeline, or cannot be read or written."""


class WorkerError(CascadeError):
    """One of several workers that train together has ended, or has other settings than the rest."""


class DiskError(CascadeError):
    """A disk is full; the message names the file or folder, what is needed and what is free."""


class DivergedError(CascadeError, FloatingPointError):
    """A model's scores are NaN or infinite; the message names the model and, in training, the epoch."""
