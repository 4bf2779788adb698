"""Use the service in `llm`, Simon Willison's tool for the command line and Python.

Shows: the plugin of `acechat[llm]`. In a shell: llm -m acechat/claude-sonnet-4-20250514 "Hello"
"""

from __future__ import annotations

import llm


def weather(city: str) -> str:
    """Forecast the weather."""
    return f"rain in {city}"


def main() -> None:
    model = llm.get_model("acechat/claude-sonnet-4-20250514")
    for text in model.prompt("Hello", system="Be brief.", max_tokens=100):
        print(text, end="")
    print()
    print(model.chain("Umbrella in Paris?", tools=[weather]).text())
    response = model.prompt("A number", schema={"type": "object", "properties": {"value": {}}})
    print(response.json(), response.token_usage())


if __name__ == "__main__":
    main()
