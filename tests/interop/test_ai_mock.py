"""ai-mock (PyPI): a FastAPI server that echoes.

Its streams have no content type and no finish reason, say the role in every delta, and number no
tool calls; nothing but ``[DONE]`` tells that they are whole.
"""

import json

import pytest

from acechat.errors import APIError, BadRequestError, ProtocolError

pytestmark = pytest.mark.timeout(60, func_only=True)

ROOT = "/openai"
WEATHER = {"mock-response": 'f:{"name": "get_weather", "arguments": {"city": "Paris"}}'}


def test_the_server_is_as_odd_as_it_was(ai_mock):
    question = {"role": "user", "content": "hi"}
    body = {"model": "m", "stream": True, "messages": [question]}
    heard = ai_mock.request(f"{ROOT}/chat/completions", body)
    assert "content-type" not in heard.headers
    assert heard.body.count(b'"role": "assistant"') == 2
    assert heard.body.count(b'"finish_reason": null') == 2
    assert heard.body.endswith(b"data: [DONE]\n\n")


def test_a_stream_without_content_type_and_finish_reason_is_whole_after_done(connect, ai_mock):
    deltas = []
    completion = connect(ai_mock, ROOT).collect("Hello, é 你好 🌟", into=deltas)
    assert completion.text == "".join(map(str, deltas)) == "Hello, é 你好 🌟"
    assert completion.message.role == "assistant"
    assert completion.finish_reason is None
    assert completion.usage is None


def test_whatever_is_said_comes_back(connect, ai_mock, either):
    said = 'a\u2028b\u0085c \x00\x1f\x7f \\ " 🌟\r\n\r\ndata: [DONE]\n\ndata: {\n'
    assert getattr(connect(ai_mock, ROOT), either)(said).text == said


def test_a_stream_of_done_alone_is_no_completion(connect, ai_mock):
    with pytest.raises(ProtocolError, match="contains no completion"):
        connect(ai_mock, ROOT).collect("")


def test_a_tool_call_without_index_whose_name_is_repeated_is_one_call(connect, ai_mock):
    completion = connect(ai_mock, ROOT, headers=WEATHER).collect("How is the weather?")
    (call,) = completion.tool_calls
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "Paris"}


def test_tool_arguments_that_are_an_object_become_its_text(connect, ai_mock):
    (call,) = connect(ai_mock, ROOT, headers=WEATHER).ask("How is the weather?").tool_calls
    assert json.loads(call.function.arguments) == {"city": "Paris"}


def test_fastapis_list_of_problems_is_told_in_a_sentence(connect, ai_mock, either):
    with pytest.raises(BadRequestError) as caught:
        getattr(connect(ai_mock, ROOT), either)("Hello", extra_body={"messages": "none"})
    assert caught.value.status == 422
    assert "body.messages: Input should be a valid list" in str(caught.value)


def test_fastapis_detail_is_the_message(connect, ai_mock, either):
    with pytest.raises(BadRequestError, match="Content from last message cannot be None"):
        getattr(connect(ai_mock, ROOT), either)(messages=[{"role": "assistant"}])


def test_a_server_without_a_list_of_models_refuses(connect, ai_mock):
    with pytest.raises(APIError, match="Method Not Allowed") as caught:
        connect(ai_mock, ROOT).models()
    assert caught.value.status == 405


def test_streams_at_the_same_time_do_not_mix(connect, ai_mock):
    said = [f"{number} " * 40 for number in range(12)]
    assert connect(ai_mock, ROOT).collect_all(said) == said
