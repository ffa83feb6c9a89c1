"""Users of arms are answered by the release of their arm, and shadows are asked beside it.

In: the requests of a call, and from `Serving` who is asked beside the active release. Out: answers, each of one
release. Start with `router`; `link` is the connection to another release's server, `shadow` asks without answering.
"""
