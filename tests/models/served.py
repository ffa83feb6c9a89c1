"""The ranker as a release serves it, without a server: its two ops."""

import shutil

from cascade.ensemble.config import RankerServingConfig
from cascade.ensemble.repository.ranker_steps import ranker_steps


class Served:
    """The ops lookup_items and rank, loaded from the files of `ranker_steps`."""

    def __init__(self, parts, tensors, folder, **options):
        items = {f.name: (f.dtype, f.dims[0]) for f in tensors.schema.side("item")}
        users = {f.name: (f.dtype, f.dims[0]) for f in tensors.schema.side("user", "context")}
        lookup, rank = ranker_steps(parts, RankerServingConfig(**options), users, items, folder)
        self.lookup, self.rank, self.model = lookup.op, rank.op, rank.files["ranker.onnx"]
        node = folder / "node"
        node.mkdir()
        for name, file in {**lookup.files, **rank.files}.items():
            shutil.copyfile(file, node / name)
        self.lookup.load(node)
        self.rank.load(node)

    def columns(self, asked):
        have = {**asked, **self.lookup({name: asked[name] for name in self.lookup.reads})}
        return {name: have[name] for name in self.rank.reads}

    def __call__(self, asked):
        return self.rank(self.columns(asked))["logits"]
