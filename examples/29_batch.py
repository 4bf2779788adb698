"""Send many prompts, save each result, and continue after an interruption.

Shows: rows with ids and options of their own; results as they arrive; the same call continues a run
and sends nothing twice; `map` for results without files.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from acechat import Client


def main() -> None:
    rows = [{"custom_id": f"row-{n}", "prompt": f"What is {n}²?"} for n in range(50)]
    output = Path(tempfile.mkdtemp()) / "results.jsonl"
    with Client() as client:
        with client.batch(rows[:20], output=output, max_tokens=50) as batch:
            for result in batch:
                print(result.custom_id, result.error or result.text)

        with client.batch(rows, output=output, max_tokens=50) as batch:
            batch.collect()
        print(batch.summary.done, "done, of them", batch.summary.requests, "in the second start")

        for result in client.map(["Hello", "Good morning"]):
            print(result.text)


main()
