"""The ranker as a release serves it, at the level of the ops."""

import shutil

from cascade.ensemble.config import RankerServingConfig
from cascade.ensemble.ops import LookupItems, Rank
from cascade.ensemble.steps import served_ranker, taken
from cascade.models.onnx_tables import model_files

DIM = 8


class Served:
    """lookup_items and rank, loaded from what `served_ranker` found."""

    def __init__(self, parts, tensors, folder, **options):
        items = {f.name: (f.dtype, f.dims[0]) for f in tensors.schema.side("item")}
        users = {f.name: (f.dtype, f.dims[0]) for f in tensors.schema.side("user", "context")}
        self.model, items, files = served_ranker(parts, RankerServingConfig(**options), items, folder)
        files |= {
            "item_vectors.npy": parts["index"].path / "item_vectors.npy",
            **model_files(self.model, "ranker.onnx"),
        }
        node = folder / "node"
        node.mkdir()
        for name, file in files.items():
            shutil.copyfile(file, node / name)
        of_user, of_item = {**users, "query": ("float32", DIM)}, {**items, "item_vectors": ("float32", DIM)}
        self.lookup, self.rank = LookupItems(items, DIM), Rank(*taken(self.model, of_user, of_item))
        self.lookup.load(node)
        self.rank.load(node)

    def columns(self, asked):
        have = {**asked, **self.lookup({"candidate_rows": asked["candidate_rows"]})}
        return {name: have[name] for name in self.rank.reads}

    def __call__(self, asked):
        return self.rank(self.columns(asked))["logits"]
