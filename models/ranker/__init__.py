"""The ranker: a DLRM that scores the candidates of a user.

In: the data, etl, two_tower and index artifacts. Out: ONNX models, whole and split for serving. Start with `dlrm`, then
`training`.
"""
