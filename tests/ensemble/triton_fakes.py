"""A stand-in for Triton's own python module, which exists only inside a stub."""

from types import SimpleNamespace


class Tensor:
    def __init__(self, name, array):
        self.label, self.array = name, array

    def name(self):
        return self.label

    def as_numpy(self):
        return self.array


class TritonError(Exception):
    INVALID_ARG, INTERNAL, UNAVAILABLE = "INVALID_ARG", "INTERNAL", "UNAVAILABLE"

    def __init__(self, message, code):
        super().__init__(message)
        self.message, self.code = message, code


class Response:
    def __init__(self, output_tensors, error=None):
        self.error = error
        self.outputs = {tensor.label: tensor.array for tensor in output_tensors}


class MetricFamily:
    """Records the increments, or the last value, of each series in a list, by its name and its own label."""

    COUNTER, GAUGE, sent = "counter", "gauge", {}

    def __init__(self, name, description, kind):
        self.name = name

    def Metric(self, labels):  # noqa: N802  (Triton's name)
        told = next((value for name, value in labels.items() if name not in ("model", "pid", "le")), None)
        steps = self.sent.setdefault((self.name, told), [])
        return SimpleNamespace(increment=steps.append, set=lambda value: steps.__setitem__(slice(None), [value]))


MODULE = SimpleNamespace(
    Tensor=Tensor,
    TritonError=TritonError,
    InferenceResponse=Response,
    MetricFamily=MetricFamily,
    TritonModelException=RuntimeError,
)
