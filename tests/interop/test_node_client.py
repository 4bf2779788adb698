"""OpenAI's client for Node uses `acechat emulate`: chat, stream, tools, errors, and its control."""

import json
import subprocess

import pytest

from acechat.emulator import Service

pytestmark = pytest.mark.timeout(300, func_only=True)

PROGRAM = """
import OpenAI from "openai";

const [url, token] = process.argv.slice(2);
const client = new OpenAI({ baseURL: url + "/v1", apiKey: token, maxRetries: 0 });
const model = "claude-sonnet-4-20250514";
const messages = [{ role: "user", content: "Hello" }];
const seen = {};
const control = (path, body) =>
  fetch(`${url}/_acechat/${path}`, {
    method: body ? "POST" : "GET",
    headers: { authorization: `Bearer ${token}` },
    body: body && JSON.stringify(body),
  }).then((response) => response.json());

await control("script", [
  "Hello world",
  { text: "Once upon a time", reasoning: "A story." },
  { tool_calls: [{ name: "weather", arguments: { city: "Paris" } }] },
  { tool_calls: [{ name: "weather", arguments: { city: "Oslo" } }] },
  { fail: 429, retry_after: 1 },
]);
const reply = await client.chat.completions.create({ model, messages });
seen.text = reply.choices[0].message.content;
seen.tokens = reply.usage.total_tokens;

seen.stream = "";
const stream = await client.chat.completions.create({ model, messages, stream: true });
for await (const chunk of stream) seen.stream += chunk.choices[0]?.delta?.content ?? "";

const parameters = { type: "object", properties: { city: { type: "string" } } };
const tools = [{ type: "function", function: { name: "weather", parameters } }];
const called = await client.chat.completions.create({ model, messages, tools });
seen.call = called.choices[0].message.tool_calls[0].function;
const calling = await client.chat.completions.create({ model, messages, tools, stream: true });
seen.streamed = { name: "", arguments: "" };
for await (const chunk of calling)
  for (const call of chunk.choices[0]?.delta?.tool_calls ?? []) {
    seen.streamed.name += call.function.name ?? "";
    seen.streamed.arguments += call.function.arguments ?? "";
  }
try {
  await client.chat.completions.create({ model, messages });
} catch (error) {
  seen.error = [error.constructor.name, error.status];
}
seen.models = (await client.models.list()).data.some((one) => one.id === model);
const { requests } = await control("requests");
seen.paths = requests.map((one) => one.path);
console.log(JSON.stringify(seen));
"""


def test_the_official_node_client_works(openai_node, tmp_path):
    program = openai_node / "program.mjs"
    program.write_text(PROGRAM)
    with Service() as service:
        done = subprocess.run(
            ["node", program, service.url, service.token],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.stderr == ""
    seen = json.loads(done.stdout)
    assert seen.pop("paths") == ["/v1/chat/completions"] * 5 + ["/v1/models"]
    assert seen.pop("tokens") > 0
    assert seen == {
        "text": "Hello world",
        "stream": "Once upon a time",
        "call": {"name": "weather", "arguments": '{"city": "Paris"}'},
        "streamed": {"name": "weather", "arguments": '{"city": "Oslo"}'},
        "error": ["RateLimitError", 429],
        "models": True,
    }
