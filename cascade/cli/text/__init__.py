"""What the verbs print: recommendations, artifacts and evaluations as text.

In: results. Out: plain text for a terminal. One file for each kind of result; start with
`answer`.
"""
