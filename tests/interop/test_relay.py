"""The recording relay in front of a server that nobody here wrote, and its cassette after that."""

from __future__ import annotations

from math import inf

from acechat.emulator import Service


def test_an_answer_is_the_same_straight_through_the_relay_and_from_the_cassette(
    connect, aimock, either, tmp_path
):
    path = tmp_path / "aimock.acecast"
    straight = getattr(connect(aimock), either)("hello")
    with Service(record=path, upstream=aimock.url) as relay:
        relayed = getattr(connect(relay), either)("hello")
    with Service(replay=path, speed=inf) as replay:
        replayed = getattr(connect(replay), either)("hello")

    assert straight.text == relayed.text
    assert replayed == relayed
    assert replayed.to_dict() == relayed.to_dict()
    assert b"sk-ace-master" not in path.read_bytes()
