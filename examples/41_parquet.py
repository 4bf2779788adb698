"""Send the prompts of a Parquet file.

Shows: `pip install 'acechat[batch]'` reads Parquet; the columns are those of JSON Lines, and other
columns are options of the row.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from acechat import Client


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    rows = [{"custom_id": f"row-{n}", "prompt": f"What is {n}²?", "max_tokens": 50} for n in (5, 6)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "prompts.parquet")
    output = folder / "results.jsonl"
    with Client() as client, client.batch(folder / "prompts.parquet", output=output) as batch:
        for result in batch:
            print(result.custom_id, result.error or result.text)


main()
