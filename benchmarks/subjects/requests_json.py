"""requests and json by hand."""

from __future__ import annotations

import json

import requests

from benchmarks.subjects import MODEL, First, Read, messages


class Blocking:
    def __init__(self, root: str) -> None:
        self._url = f"{root}/v1/chat/completions"
        self._session = requests.Session()
        self._session.headers["Authorization"] = "Bearer token"

    def chat(self) -> int:
        completion = self._session.post(self._url, json={"model": MODEL, "messages": messages()})
        completion.raise_for_status()
        return len(completion.json()["choices"][0]["message"]["content"])

    def stream(self, first: First) -> Read:
        count = characters = 0
        body = {"model": MODEL, "messages": messages(), "stream": True}
        with self._session.post(self._url, json=body, stream=True) as response:
            response.raise_for_status()
            for line in response.iter_lines():
                if not line.startswith(b"data: "):
                    continue
                if line == b"data: [DONE]":
                    break
                choices = json.loads(line[6:])["choices"]
                if choices and (text := choices[0]["delta"].get("content")):
                    if not count:
                        first()
                    count += 1
                    characters += len(text)
        return count, characters

    def close(self) -> None:
        self._session.close()
