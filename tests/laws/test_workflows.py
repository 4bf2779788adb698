"""Actions of the CI are pinned: a tag can be moved to other code, a commit cannot."""

from __future__ import annotations

import re

import pytest

PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} +# v\d+(\.\d+)+")


def workflows(root):
    return sorted((root / ".github").rglob("*.y*ml"))


def test_actions_are_pinned_by_commit_with_their_version(root):
    used = [
        (path.name, line.strip().removeprefix("- ").removeprefix("uses:").strip())
        for path in workflows(root)
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.match(r"\s*(- )?uses:", line)
    ]

    assert used
    local = [name for _, name in used if name.startswith("./")]
    assert not [each for each in used if not PINNED.fullmatch(each[1]) and each[1] not in local]


def test_one_action_has_one_version(root):
    text = "".join(path.read_text(encoding="utf-8") for path in workflows(root))
    versions = dict(re.findall(r"uses: (\S+)@(\S+)", text))

    assert {f"{name}@{version}" for name, version in versions.items()} == set(
        re.findall(r"uses: (\S+)", text)
    )


def test_workflows_grant_no_more_than_they_need(root):
    """Without ``permissions`` at its top, a workflow may write to the repository."""
    for path in workflows(root):
        text = path.read_text(encoding="utf-8")
        granted = re.search(r"^permissions:( \{\}|\n  contents: read)$", text, re.MULTILINE)
        assert granted, path
        assert "contents: write" not in text, path
        assert text.count("persist-credentials: false") == text.count("actions/checkout@"), path
        assert "pull_request_target" not in text, path


@pytest.mark.parametrize(
    ("action", "pinned"),
    [
        ("actions/checkout@v4", False),
        ("actions/checkout@main # v4.2.2", False),
        (f"actions/checkout@{'a' * 40}", False),
        (f"actions/checkout@{'a' * 39} # v4.2.2", False),
        (f"actions/checkout@{'a' * 40} # v4.2.2", True),
        (f"owner/name/folder@{'0' * 40} # v1.0", True),
    ],
)
def test_the_law_itself(action, pinned):
    assert bool(PINNED.fullmatch(action)) == pinned
