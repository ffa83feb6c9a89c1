"""Runs the steps of an ensemble in this process, as Triton would from the ensemble's config."""

import json
from types import SimpleNamespace

import numpy as np
from google.protobuf import json_format, text_format
from triton_fakes import MODULE, Response, Tensor, TritonError
from tritonclient.grpc import model_config_pb2 as pb

from cascade.ensemble.triton import step_model


class RefusalReason(TritonError):
    UNAVAILABLE = "UNAVAILABLE"


STAND_IN = SimpleNamespace(**{**vars(MODULE), "TritonError": RefusalReason})
WIRE = {
    "TYPE_BOOL": np.bool_,
    "TYPE_INT32": np.int32,
    "TYPE_INT64": np.int64,
    "TYPE_FP32": np.float32,
    "TYPE_FP64": np.float64,
    "TYPE_STRING": np.object_,
}


class Request:
    def __init__(self, tensors, outputs):
        self.tensors, self.outputs = [Tensor(name, array) for name, array in tensors.items()], outputs

    def inputs(self):
        return self.tensors

    def request_id(self):
        return ""

    def requested_output_names(self):
        return self.outputs


def read_config(folder):
    return text_format.Parse((folder / "config.pbtxt").read_text(), pb.ModelConfig())


def start(folder, version="1", of=step_model):
    """The model in ``folder``, initialized as Triton initializes it; ``of`` is the module of its class."""
    model = of.TritonPythonModel()
    config = json_format.MessageToDict(read_config(folder), preserving_proto_field_name=True)
    arguments = {"model_repository": str(folder), "model_version": version, "model_instance_name": "step_0"}
    model.initialize({"model_config": json.dumps(config), **arguments})
    return model


class Steps:
    """The python models of the ensemble ``cascade`` in a repository; ``tensors`` holds those of the last call."""

    def __init__(self, repository):
        self.config = read_config(repository / "cascade")
        self.scheduling = list(self.config.ensemble_scheduling.step)
        self.configs = {step.model_name: read_config(repository / step.model_name) for step in self.scheduling}
        self.models = {name: start(repository / name) for name in self.configs}
        self.tensors = []

    def __call__(self, *requests):
        """Answer requests that share every pass. Each is name -> wire array; the answer is its outputs or its error."""
        tensors = [dict(request) for request in requests]
        for step in self.scheduling:
            asked = [at for at, have in enumerate(tensors) if isinstance(have, dict)]
            passed = [self._request(step, tensors[at]) for at in asked]
            for at, response in zip(asked, self.models[step.model_name].execute(passed), strict=True):
                assert isinstance(response, Response)
                tensors[at] = response.error or {**tensors[at], **self._checked(step, response)}
        self.tensors = tensors
        names = [entry.name for entry in self.config.output]
        return [{name: have[name] for name in names} if isinstance(have, dict) else have for have in tensors]

    def _request(self, step, have):
        needed = {entry.name for entry in self.configs[step.model_name].input if not entry.optional}
        given = {name: have[tensor] for name, tensor in step.input_map.items() if tensor in have}
        assert needed <= set(given)
        return Request(given, set(step.output_map))

    def _checked(self, step, response):
        """The outputs as tensors of the ensemble, checked against the step's config."""
        specs = {entry.name: entry for entry in self.configs[step.model_name].output}
        assert set(response.outputs) == set(specs) == set(step.output_map)
        for name, array in response.outputs.items():
            dims = list(specs[name].dims)
            assert array.dtype == WIRE[pb.DataType.Name(specs[name].data_type)], name
            assert array.ndim == 1 + len(dims)
            assert all(want in (-1, got) for want, got in zip(dims, array.shape[1:], strict=True)), name
            assert all(isinstance(value, bytes) for value in array.ravel()) or array.dtype != object, name
        return {step.output_map[name]: array for name, array in response.outputs.items()}

    def close(self):
        for model in self.models.values():
            model.finalize()
