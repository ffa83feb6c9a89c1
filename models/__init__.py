"""The two models and the index, from arrays to files that can be served.

In: the etl artifact. Out: the artifacts ``two_tower``, ``index`` and ``ranker``. Start with `config` for what can be
set, then `retriever.stage`, `index.stage` and `ranker.stage`.
"""
