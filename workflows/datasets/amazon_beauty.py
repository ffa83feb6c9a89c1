"""Amazon Beauty, 5-core (J. McAuley et al. 2015), as prepared for S3-Rec (K. Zhou et al. 2020)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import DataError
from .dataset import PublicDataset, RemoteFile

if TYPE_CHECKING:
    from .dataset import Tables

SERVER = "https://raw.githubusercontent.com/RUCAIBox/CIKM2020-S3Rec/master/data/"
LICENCE = (
    "No licence is stated; Amazon's reviews were collected for research. Cite J. McAuley et al., Image-based "
    "Recommendations on Styles and Substitutes, 2015, and K. Zhou et al., S3-Rec, 2020, doi:10.1145/3340531.3411954."
)


def read(files: Mapping[str, Path]) -> Tables:
    """``Beauty.txt``: a line for each user, its items in order; attributes of the items as JSON.

    There are no times: ``timestamp`` counts each user's items from 0.
    """
    import pyarrow as pa

    rows: list[list[int]] = []
    for number, line in enumerate(files["Beauty.txt"].read_text().splitlines(), start=1):
        if not all(word.isdigit() for word in line.split()):
            raise DataError(
                f"Beauty.txt, line {number}: expected a user and items as whole numbers, found {line[:40]!r}"
            )
        rows.append([int(word) for word in line.split()])
    rows = [row for row in rows if row]
    lengths = np.array([len(row) - 1 for row in rows])
    attributes = json.loads(files["Beauty_item2attributes.json"].read_text())
    interactions = {
        "user_id": np.repeat([row[0] for row in rows], lengths),
        "item_id": np.concatenate([np.array(row[1:], np.int64) for row in rows]),
        "timestamp": np.concatenate([np.arange(length) for length in lengths]),
    }
    items = {
        "item_id": pa.array([int(item) for item in attributes], pa.int64()),
        "attributes": pa.array(list(attributes.values()), pa.list_(pa.int64())),
    }
    users = {"user_id": pa.array([row[0] for row in rows], pa.int64())}
    return {"interactions": pa.table(interactions), "users": pa.table(users), "items": pa.table(items)}


BEAUTY = PublicDataset(
    name="beauty",
    title="Amazon Beauty 5-core: 198,502 reviews, 22,363 users, 12,101 items",
    licence=LICENCE,
    homepage="https://github.com/RUCAIBox/CIKM2020-S3Rec",
    files=tuple(RemoteFile(name, SERVER + name) for name in ("Beauty.txt", "Beauty_item2attributes.json")),
    read=read,
    content="ed4f12af9e71289bcd9619116e02e9d9e2beabb96e4cb143eb92ea9a10ab5dd6",
)
