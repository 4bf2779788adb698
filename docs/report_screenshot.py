"""Screenshot of the report of a bulk run, for docs/howto/batch.md.

``python docs/report_screenshot.py`` runs 1,500 prompts against a local service that permits 50
requests per second and is down for some seconds, and writes ``docs/howto/batch-report.png``. It
needs Chromium and takes a minute.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
PICTURE = ROOT / "docs" / "howto" / "batch-report.png"
ROWS, SIZE = 1500, "800,790"

sys.path.insert(0, str(ROOT))

from benchmarks.bulk import serving, write_prompts  # noqa: E402 - after the path


def make_screenshot() -> Path:
    """Run a batch and photograph its report."""
    browser = next(filter(None, map(shutil.which, BROWSERS)))
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(limit=50, jitter=0.5, latency=0.4, down=(10, 18)) as port,
    ):
        write_prompts(Path(folder, "prompts.jsonl"), ROWS)
        settings = {
            "ACECHAT_CONFIG": f"{folder}/config.toml",
            "ACEDATACLOUD_API_TOKEN": "t",
            "ACEDATACLOUD_API_BASE_URL": f"http://127.0.0.1:{port}/v1",
        }
        command = [sys.executable, "-m", "acechat", "batch", "prompts.jsonl", "-o", "results.jsonl"]
        command += ["--report", "report.html", "--progress", "none"]
        subprocess.run(command, cwd=folder, env=os.environ | settings, check=True)
        flags = ["--headless=new", "--disable-gpu", "--hide-scrollbars", f"--window-size={SIZE}"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            flags.append("--no-sandbox")  # which root cannot have
        command = [browser, *flags, f"--user-data-dir={folder}/profile", f"--screenshot={PICTURE}"]
        subprocess.run(
            [*command, f"file://{folder}/report.html"], stderr=subprocess.DEVNULL, check=True
        )
    return PICTURE


if __name__ == "__main__":
    print(make_screenshot())
