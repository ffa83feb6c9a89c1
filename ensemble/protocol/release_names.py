"""Names of the files and folders of a served version."""

GRAPH = "graph.json"
RELEASE = "release.json"
NODES = "nodes"
"""Folder of a version that holds a folder of files for each node."""
