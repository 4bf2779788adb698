"""`KnownModel` has the models of docs/api.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from acechat import DEFAULT_MODEL, KnownModel

API = Path(__file__).parent.parent.parent / "docs" / "api.md"


def test_the_known_models_are_those_of_the_table_and_the_thinking_ones():
    section = API.read_text().partition("\n## Models\n")[2].partition("\nThe `model` of")[0]
    listed = re.findall(r"`(claude-[\w-]+)`", section)
    listed = [name for name in listed if not name.endswith("-5-5")]  # of /v1/messages only

    assert set(get_args(KnownModel)) == set(listed)
    assert DEFAULT_MODEL in get_args(KnownModel)
