"""Releases that are kept, which of them answers, and the record of every change.

In: an export artifact; an operator's decision. Out: a folder for each release, `live.json` with the release that
answers, and an audit log. Start with `store`, then `live_set`; `promotion` is what `cascade release promote` does.
"""
