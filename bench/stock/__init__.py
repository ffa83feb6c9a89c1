"""The stock stack for comparison: the same trained models in an ensemble of merlin-systems' own operators.

The graph is the one of NVIDIA's example "Building and deploying multi-stage RecSys" (NVIDIA-Merlin/Merlin,
``02-Deploying-multi-stage-RecSys-with-Merlin-Systems.ipynb``). It is exported by the ``TritonExecutorRuntime`` of
merlin-systems 23.8, with its executor, workflow models and operators unchanged:

    user_id >> QueryFeast >> TransformWorkflow >> PredictTensorflow >> QueryFaiss
    candidate_ids >> QueryFeast >> TransformWorkflow >> UnrollFeatures >> PredictTensorflow
    raw_item_id >> SoftmaxSampling

Differences from the example that were needed to run it at all, or to make it do the same work as ours:

- TensorFlow nodes: Triton has had no tensorflow backend since 25.03. The exported config.pbtxt therefore names the
  python backend, and our ``model.py`` (`tf_node`) runs the exported ``model.savedmodel``.
- Feast: a separate repository. QueryFeast takes an entity's name for the name of its join key, so ours cannot be read.
  ``QueryFeast.from_feature_view`` does not know text and 64-bit floats, so the operator is made by its constructor.
- Missing values: QueryFeast fails on None in integers and lists. Integers with missing values are stored as floats with
  NaN, a missing list as an empty one. Text must not be missing.
- Context columns: merlin-systems has no optional inputs. Each context column has its most frequent value for every
  user, stored with the user's features, so that a request consists of a user id only.
- History: our ETL computes it in its own code, not in a fitted workflow. Here the user's workflow encodes the stored
  item ids with the item workflow's vocabulary (Categorify), pads and renames them. Hashed item ids have no vocabulary
  and are refused. User and context share one workflow, which saves the stock graph a model.
- Categorify and padding of the fitted workflows are our subclasses in `cascade.workflows.etl.ops`. They cost half a
  millisecond of CPU per column more than their base classes, a few percent of a request.
- Item ids: the example answers Categorify codes, which several items may share. Our item workflow passes the raw id on
  under another name, and the answer holds that. Ids must be whole numbers below 2^31 (QueryFaiss).
- Index: the same vectors in merlin-systems' own IVF32 index with 8 probes (``setup_faiss``), keyed by raw ids. In a
  small catalogue 8 lists may hold fewer items than the wanted candidates; the index is then flat, since QueryFaiss
  passes -1 on and QueryFeast fails on it.
- The ranker's SavedModel takes a row for each candidate, as UnrollFeatures makes them. If the score fusion uses the
  retriever's cosine, the SavedModel computes it with both towers, since the stock graph has no place for item vectors.

What ours does and the stock graph does not: drop items that the user has seen, diversity, unknown users (QueryFeast
fails), several users in a request, repeatable sampling (and SoftmaxSampling inverts the temperature).
"""

from .build import StockEnsemble, build, check_config
from .check import Agreement, check
from .measure import measure
from .server import StockServer

__all__ = ["Agreement", "StockEnsemble", "StockServer", "build", "check", "check_config", "measure"]
