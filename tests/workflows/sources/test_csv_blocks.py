"""What lies where the blocks of a CSV meet is read as everywhere else."""

import pytest
from reading import read

from cascade.workflows.sources import csv_parts


@pytest.mark.parametrize("escape", [None, "\\"])
@pytest.mark.parametrize("pad", range(6))
def test_line_ends_inside_quotes(tmp_path, pad, escape, monkeypatch):
    monkeypatch.setattr(csv_parts, "BLOCK", 1 << 10)
    texts = [f"a{'x' * pad}\r\nb", *["a\r\n\rb"] * 500]
    rows = "".join(f'1,1,"{text}"\r\n' for text in texts)
    (tmp_path / "interactions.csv").write_bytes(f"user_id,item_id,x\r\n{rows}".encode())
    assert read(tmp_path, csv={"escape": escape})["x"].to_pylist() == texts


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("block", [64, 65, 66, 67])
def test_line_ends_of_rows(tmp_path, end, block, monkeypatch):
    monkeypatch.setattr(csv_parts, "BLOCK", block)
    (tmp_path / "interactions.csv").write_bytes("".join(f"{n}{end}" for n in ["user_id", *range(300)]).encode())
    assert read(tmp_path)["user_id"].to_pylist() == [*range(300)]
