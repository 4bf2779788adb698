"""Check the distributions for `nox -s build`: ``check.py tag | same | contents ARGUMENT...``."""

from __future__ import annotations

import hashlib
import re
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]

WHEEL = [r"acechat/.*\.py", r"acechat/py\.typed"]
WHEEL += [r"acechat-[^/]+\.dist-info/(METADATA|RECORD|WHEEL|entry_points\.txt|licenses/LICENSE)"]
"""Patterns of the files in the wheel."""

SDIST = [r"(acechat|tests|examples|benchmarks|docs)/.*", r"(README|CHANGELOG|CONTRIBUTING)\.md"]
SDIST += [r"LICENSE|PKG-INFO|\.gitignore|noxfile\.py|pyproject\.toml"]
"""Patterns of the files in the source distribution, below its folder."""

SECRET = re.compile(rb"platform-[0-9a-f]{30,}|BEGIN [A-Z ]*PRIVATE KEY|pypi-[A-Za-z0-9_-]{60,}")


def check_tag(tag: str) -> None:
    """Exit unless *tag* is the version of the package, under a dated heading of the changelog."""
    version = re.search(r'"(.+)"', (ROOT / "acechat/_version.py").read_text().splitlines()[-1])
    assert version is not None
    if tag != f"v{version[1]}":
        sys.exit(f"the tag is {tag}, and acechat/_version.py has {version[1]}")
    heading = rf"^## {re.escape(version[1])} — \d{{4}}-\d\d-\d\d$"
    if not re.search(heading, (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE):
        sys.exit(f"CHANGELOG.md has no heading '## {version[1]} — YYYY-MM-DD'")


def check_same(first: Path, second: Path) -> None:
    """Exit unless both folders contain the same archives, byte by byte."""
    digests = [
        {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in folder.iterdir()
            if path.suffix in {".gz", ".whl"}
        }
        for folder in (first, second)
    ]
    for name, digest in digests[0].items():
        print(f"{digest}  {name}")
        if digests[1].get(name) != digest:
            sys.exit(f"{name} is not reproducible: {digests[1].get(name)} in the second build")


def check_contents(folder: Path) -> None:
    """List the contents of the archives in *folder*; exit if a file is unexpected or missing."""
    [wheel], [sdist] = list(folder.glob("*.whl")), list(folder.glob("*.tar.gz"))
    with zipfile.ZipFile(wheel) as archive:
        _check_files(wheel.name, {name: archive.read(name) for name in archive.namelist()}, WHEEL)
    with tarfile.open(sdist) as archive:
        files = {}
        for member in archive.getmembers():
            content = archive.extractfile(member)
            if content is not None:
                files[member.name.split("/", 1)[1]] = content.read()
        _check_files(sdist.name, files, SDIST)


def _check_files(archive: str, files: dict[str, bytes], patterns: list[str]) -> None:
    allowed = re.compile("|".join(f"(?:{pattern})" for pattern in patterns))
    print(f"{archive}: {len(files)} files, {sum(map(len, files.values())):,} bytes")
    for name, content in sorted(files.items()):
        print(f"  {name}")
        if not allowed.fullmatch(name) or "__pycache__" in name:
            sys.exit(f"{archive} contains {name}")
        if SECRET.search(content):
            sys.exit(f"{archive}: {name} contains a credential")
    ours = {str(path.relative_to(ROOT)) for path in (ROOT / "acechat").rglob("*.py")}
    if missing := sorted(ours - files.keys()):
        sys.exit(f"{archive} lacks {', '.join(missing)}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["tag", tag]:
            check_tag(tag)
        case ["same", first, second]:
            check_same(Path(first), Path(second))
        case ["contents", folder]:
            check_contents(Path(folder))
        case _:
            sys.exit(__doc__)
