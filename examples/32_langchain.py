"""Use the service in LangChain.

Shows: `ChatAceData` of `acechat[langchain]`: a chain, tokens, a tool and a structured output.
"""

from __future__ import annotations

from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel

from acechat.integrations.langchain import ChatAceData


class Plan(BaseModel):
    """A plan for a day."""

    city: str
    hours: int


def weather(city: str) -> str:
    """Forecast the weather."""
    return f"rain in {city}"


def main() -> None:
    model = ChatAceData(model="claude-sonnet-4-20250514", max_tokens=500)
    chain = ChatPromptTemplate.from_messages([("human", "A haiku about {topic}")]) | model
    for chunk in chain.stream({"topic": "rain"}):
        print(chunk.text, end="")
    message = model.bind_tools([weather], tool_choice="any").invoke("Umbrella in Paris?")
    print("\n", message.tool_calls, message.usage_metadata)
    print(model.with_structured_output(Plan).invoke("A day in Paris"))
    model.close()


if __name__ == "__main__":
    main()
