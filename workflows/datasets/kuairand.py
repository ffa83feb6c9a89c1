"""KuaiRand-Pure (C. Gao et al. 2022, doi:10.1145/3511808.3557624): impressions of short videos, from Kuaishou."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from .dataset import PublicDataset, RemoteFile

if TYPE_CHECKING:
    import pandas as pd

    from .dataset import Tables

ARCHIVE = "KuaiRand-Pure.tar.gz"
FOLDER = "KuaiRand-Pure/data/"
LOGS = ("log_standard_4_08_to_4_21_pure.csv", "log_standard_4_22_to_5_08_pure.csv")
"""What the product showed. The log of random impressions is left out: it follows another policy."""
COLUMNS = [
    *(
        "user_id",
        "video_id",
        "time_ms",
        "hourmin",
        "tab",
        "duration_ms",
        "is_click",
        "long_view",
        "is_like",
        "is_follow",
    ),
    *("is_comment", "is_forward", "is_hate", "play_time_ms"),
]


def read(files: Mapping[str, Path]) -> Tables:
    """Impressions in the order of time; ``timestamp`` is in seconds, ``hourmin`` the hour times 100."""
    import pandas as pd
    import pyarrow as pa

    with tarfile.open(files[ARCHIVE]) as archive:

        def csv(name: str, columns: list[str] | None = None) -> pd.DataFrame:
            return pd.read_csv(archive.extractfile(FOLDER + name), usecols=columns)

        log = pd.concat([csv(name, COLUMNS) for name in LOGS], ignore_index=True)
        users, videos = csv("user_features_pure.csv"), csv("video_features_basic_pure.csv")
    log = log.sort_values("time_ms", kind="stable", ignore_index=True)
    log["timestamp"] = log["time_ms"] // 1000
    frames = {"interactions": log, "users": users, "items": videos}
    renamed = {name: frame.rename(columns={"video_id": "item_id"}) for name, frame in frames.items()}
    return {name: pa.Table.from_pandas(frame, preserve_index=False) for name, frame in renamed.items()}


KUAIRAND_PURE = PublicDataset(
    name="kuairand",
    title="KuaiRand-Pure: 1.4 million impressions, 27,285 users, 7,583 videos, April and May 2022",
    licence=(
        "CC BY-SA 4.0. Cite C. Gao et al., KuaiRand: An Unbiased Sequential Recommendation Dataset with Randomly "
        "Exposed Videos, 2022, doi:10.1145/3511808.3557624."
    ),
    homepage="https://kuairand.com",
    files=(
        RemoteFile(
            ARCHIVE,
            f"https://zenodo.org/records/10439422/files/{ARCHIVE}",
            "md5:0820331067a3784d9691136f772b35a7",
        ),
    ),
    read=read,
)
