"""A Triton model with an optional input and an output of every data type; it answers with what it gets."""

from pathlib import Path

TYPES = {
    "BOOL": "BOOL",
    **{f"{sign}INT{bits}": f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": f"FP{bits}" for bits in (16, 32, 64)},
    "BYTES": "STRING",
}
"""Data type of the protocol, which is the name of the input, too -> that of the config."""
CODE = """
import triton_python_backend_utils as pb
class TritonPythonModel:
    def execute(self, requests):
        return [pb.InferenceResponse([pb.Tensor("OUT_" + each.name(), each.as_numpy()) for each in request.inputs()])
                for request in requests]
"""


def write(repository: Path) -> None:
    """Add the model ``identity`` to a repository."""
    folder = repository / "identity"
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.py").write_text(CODE)
    config = ['name: "identity" backend: "python" max_batch_size: 0 instance_group [{ kind: KIND_CPU count: 1 }]']
    for name, kind in TYPES.items():
        config.append(f'input [{{ name: "{name}" data_type: TYPE_{kind} dims: [-1, -1] optional: true }}]')
        config.append(f'output [{{ name: "OUT_{name}" data_type: TYPE_{kind} dims: [-1, -1] }}]')
    (folder / "config.pbtxt").write_text("\n".join(config))
