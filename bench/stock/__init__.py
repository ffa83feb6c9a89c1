"""The stock stack, to compare with: the same trained models in an ensemble of merlin-systems' own operators.

The graph is that of NVIDIA's example "Building and deploying multi-stage RecSys" (NVIDIA-Merlin/Merlin,
``02-Deploying-multi-stage-RecSys-with-Merlin-Systems.ipynb``), exported by merlin-systems 23.8's own
``TritonExecutorRuntime``, its executor, its workflow models and its operators as they are:

    user_id >> QueryFeast >> TransformWorkflow >> PredictTensorflow >> QueryFaiss
    candidate_ids >> QueryFeast >> TransformWorkflow >> UnrollFeatures >> PredictTensorflow
    raw_item_id >> SoftmaxSampling

What had to differ for it to run at all, or to do the same work:

- TensorFlow nodes: Triton's tensorflow backend is gone since 25.03, so their exported config.pbtxt names the python
  backend, and a ``model.py`` of ours (`tf_node`) runs the very ``model.savedmodel`` that was exported.
- Feast: a repository of its own. QueryFeast takes an entity's name for its key's, so ours cannot be read; and
  ``QueryFeast.from_feature_view`` knows neither text nor 64-bit floats, so the operator is made by its constructor.
- Missing values: QueryFeast fails on None in whole numbers and lists. Whole numbers with gaps are stored as floats,
  which have NaN; a missing list as an empty one. Text is not allowed to be missing.
- Context columns: merlin-systems has no optional inputs. Each holds one value for all, the most frequent one, stored
  beside the user's features, so that a request names a user alone.
- History: the ETL's own code computes it, no fitted workflow. Here the user's workflow encodes the stored item ids by
  the item workflow's vocabulary (Categorify), pads and renames them; hashed item ids, which have none, are refused.
  User and context share one workflow, which saves the stock graph a model.
- The fitted workflows' Categorify and padding are our subclasses in `cascade.workflows.etl.ops`. They cost it half a
  millisecond of CPU a column beside their parents, a few percent of a request.
- Item ids: the graph of the example answers Categorify codes, which several items share. The item workflow passes the
  raw id on under another name, and that is what comes back. Ids must be whole numbers below 2^31 (QueryFaiss).
- Index: the same vectors in merlin-systems' own IVF32 with 8 probes (``setup_faiss``), ids in it; flat where the
  catalogue is so small that 8 lists may hold fewer than the wanted candidates, since QueryFaiss passes -1 on and
  QueryFeast fails on it.
- The ranker's SavedModel takes a row for each candidate, as UnrollFeatures makes them, and computes the retriever's
  cosine with both towers where the fusion weighs it in: the stock graph has no place for item vectors.

What it does not do and ours does: drop what the user has seen, diversity, unknown users (QueryFeast fails), several
users in a call, draws that can be repeated (and SoftmaxSampling's temperature is inverted).
"""

from .build import StockServed, build, check_config
from .check import Agreement, check
from .measure import measure
from .server import StockServer

__all__ = ["Agreement", "StockServed", "StockServer", "build", "check", "check_config", "measure"]
