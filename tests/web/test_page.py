"""The web example in a real Chromium: what a person sees, and what the service behind it does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from acechat.emulator import cut, error_event, fail, ok, pace, stall

HERE = Path(__file__).parent
FOLDER = HERE.parents[1] / "examples" / "web"

_spec = spec_from_file_location("browser", HERE / "browser.py")
browsers = module_from_spec(_spec)
_spec.loader.exec_module(browsers)

pytestmark = pytest.mark.timeout(120)

LONG = pace(0.02, of=ok([f"{number} " for number in range(400)]))
LAST = "document.querySelector('#log article:last-child')"
TEXT = f"({LAST}?.querySelector('.text')?.textContent ?? '')"
READY = "!running && document.querySelectorAll('article').length > 0"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    command = browsers.find()
    if command is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    browser = browsers.Browser(command, tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


@pytest.fixture
def url(environment, serving):
    """Run the example, as its docstring says."""
    with serving("-W", "error", FOLDER / "server.py") as (port, process):
        yield f"http://localhost:{port}/"
        process.terminate()
        _, complaints = process.communicate(timeout=20)
        assert complaints == ""


@pytest.fixture
def page(browser, url):
    page = opened(browser, url)
    yield page
    page.close()


def opened(browser, url):
    """Open the page and wait until one can type: autofocus takes a frame."""
    page = browser.open(url)
    page.wait_for("document.activeElement.id === 'question'")
    return page


def ask(page, text="Hello"):
    page.type(text)
    page.press("Enter")


def asked_and_answered(page, text="Hello"):
    ask(page, text)
    page.wait_for(READY)


def gone(service, seconds=3.0):
    """Whether the service soon loses its connections; the browser takes a part of the time."""
    until = time.monotonic() + seconds
    while service.connections and time.monotonic() < until:
        time.sleep(0.005)
    return not service.connections


def test_the_text_grows_while_the_model_writes(page, environment):
    environment.script(LONG)
    ask(page)
    sizes = []
    for _ in range(4):
        sizes.append(page.wait_for(f"{TEXT}.length > {sizes[-1] if sizes else 0} && {TEXT}.length"))

    assert sizes == sorted(set(sizes))
    assert page.evaluate(f"{LAST}.getAttribute('aria-busy')") == "true"
    assert page.evaluate(f"{TEXT}.startsWith('0 1 2 ')")


def test_the_stop_button_ends_the_request_to_the_service(page, environment):
    environment.script(LONG)
    ask(page)
    page.wait_for(f"{TEXT}.length > 10")
    assert environment.connections == 1

    page.click("#stop")

    assert gone(environment)
    page.wait_for(READY)
    assert "Stopped." in page.evaluate(f"{LAST}.textContent")
    assert page.evaluate("document.activeElement.id") == "question"
    size = page.evaluate(f"{TEXT}.length")
    time.sleep(0.2)
    assert page.evaluate(f"{TEXT}.length") == size


def test_stop_works_while_the_model_has_not_begun(page, environment):
    environment.script(stall(30))
    ask(page)
    until = time.monotonic() + 5
    while not environment.connections:
        assert time.monotonic() < until
        time.sleep(0.01)

    page.click("#stop")

    assert gone(environment)


def test_closing_the_page_ends_the_request_to_the_service(browser, url, environment):
    environment.script(LONG)
    page = opened(browser, url)
    ask(page)
    page.wait_for(f"{TEXT}.length > 10")
    assert environment.connections == 1

    page.close()

    assert gone(environment)


def test_it_is_usable_by_keyboard_alone(page, environment):
    environment.script(ok("First"), LONG, LONG)
    assert page.evaluate("document.activeElement.id") == "question"
    page.type("one")
    page.press("Enter", shift=True)
    assert len(environment.requests) == 0
    page.type("two")
    page.press("Enter")
    page.wait_for(READY)
    assert environment.requests[0].json["messages"][0]["content"] == "one\ntwo"

    ask(page, "again")
    page.wait_for(f"{TEXT}.length > 10")
    page.press("Escape")
    assert gone(environment)
    page.wait_for(READY)

    page.press("Enter")  # the question is back, to be asked again
    page.wait_for(f"running && {TEXT}.length > 10")
    page.press("Tab")
    assert page.evaluate("document.activeElement.id") == "stop"
    page.press("Enter")
    assert gone(environment)
    page.wait_for(READY)
    assert page.evaluate("document.activeElement.id") == "question"


def test_it_remembers_whole_turns_and_no_others(page, environment):
    environment.script(ok("One"), cut(after=4), ok("Three"))
    for text in ("first", "second", "third"):
        page.evaluate("question.value = ''")
        asked_and_answered(page, text)

    assert environment.requests[-1].json["messages"] == [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "One"},
        {"role": "user", "content": "third"},
    ]


FAILURES = {
    "in the middle": (error_event("busy", "x", after=5), "The model is busy", "busy"),
    "a cut": (cut(after=5), "The response was truncated", "stream_truncated"),
    "before anything": (fail(401), "token of this page is invalid", "invalid_token"),
    "the service's own words": (fail(403, "forbidden", "<b>No.</b>"), "<b>No.</b>", "forbidden"),
}


@pytest.mark.parametrize(("step", "words", "code"), FAILURES.values(), ids=FAILURES)
def test_an_error_is_told_in_words_with_its_trace_id(page, environment, step, words, code):
    environment.script(step)
    asked_and_answered(page, "Tell me a story")
    note = page.evaluate(f"{LAST}.querySelector('[role=alert]').textContent")

    assert words in note
    assert f"({code}, trace {environment.requests[0].trace_id})" in note
    assert page.evaluate("question.value") == "Tell me a story"
    assert page.evaluate(f"{LAST}.querySelector('b')") is None


def test_a_service_that_is_gone_is_told_too(page, environment):
    environment.stop()
    asked_and_answered(page)

    assert "The service cannot be reached." in page.evaluate(f"{LAST}.textContent")


ATTACKS = [
    "<script>window.hacked = 1</script>",
    '<img src=x onerror="window.hacked = 1">',
    "<svg onload=window.hacked=1>",
    "[click](javascript:window.hacked=1)",
    "[click](JaVaScRiPt:window.hacked=1)",
    "[click](&#106;avascript:window.hacked=1)",
    "[click](java\tscript:window.hacked=1)",
    "[click](data:text/html,<script>window.hacked=1</script>)",
    "[click](vbscript:x)",
    "![x](javascript:window.hacked=1)",
    '[x](https://a.example/"onmouseover="window.hacked=1)',
    "**<img src=x onerror=window.hacked=1>**",
    "`<img src=x onerror=window.hacked=1>`",
    "# <iframe srcdoc='<script>parent.hacked=1</script>'></iframe>",
    "- <a href=javascript:window.hacked=1>x</a>",
    "> <form action=javascript:window.hacked=1><button>x</button></form>",
    "| <script>window.hacked=1</script> | b |\n|-|-|\n| <img src=x onerror=window.hacked=1> | d |",
    "```html\n<script>window.hacked = 1</script>\n```",
    "<style>*{display:none}</style>",
]


@pytest.mark.parametrize("split", ["word by word", "character by character"])
def test_nothing_in_the_models_answer_runs_or_loads(page, environment, split):
    text = "\n\n".join(ATTACKS)
    environment.script(ok(text if split == "word by word" else list(text)))
    asked_and_answered(page)
    made = "#log :is(script, img, svg, iframe, form, style, object, embed, base, link, meta)"
    assert page.evaluate(f"document.querySelectorAll('{made}').length") == 0
    hrefs = page.evaluate("[...document.querySelectorAll('#log a')].map(a => a.protocol)")
    assert set(hrefs) == {"https:"}
    allowed = {"href", "title", "target", "rel", "tabindex", "class", "start", "type"}
    names = page.evaluate(
        "[...document.querySelectorAll('#log .text *')].flatMap(n => n.getAttributeNames())"
    )
    assert set(names) <= allowed
    assert page.evaluate("window.hacked") is None
    shown = page.evaluate(TEXT)
    assert "<script>window.hacked = 1</script>" in shown
    assert '<img src=x onerror="window.hacked = 1">' in shown


BREACHES = {
    "script-src-elem": "import('data:text/javascript,window.hacked=1').catch(() => {})",
    "img-src": "new Image().src = 'https://example.com/'",
    "connect-src": "fetch('https://example.com/').catch(() => {})",
    "style-src-attr": "document.body.setAttribute('style', 'display: none')",
    "require-trusted-types-for": "document.body.innerHTML = '<img src=x onerror=window.hacked=1>'",
}


@pytest.mark.parametrize(("directive", "breach"), BREACHES.items(), ids=BREACHES)
def test_even_a_hole_in_the_renderer_would_run_and_load_nothing(page, directive, breach):
    refused = page.evaluate(f"""new Promise(tell => {{
        document.addEventListener('securitypolicyviolation', e => tell(e.effectiveDirective));
        setTimeout(tell, 3000, 'nothing');
        try {{ {breach} }} catch {{}}
    }})""")

    assert refused == directive
    assert page.evaluate("window.hacked") is None


def code(html):
    """Return the HTML of a code block."""
    copy = '<button type="button" class="copy">Copy</button>'
    return f'<div class="code">{copy}<pre tabindex="0"><code>{html}</code></pre></div>'


MARKDOWN = {
    "a **b** *c* _d_ ~~e~~ `f*g*`": "<p>a <strong>b</strong> <em>c</em> <em>d</em> <del>e</del> "
    "<code>f*g*</code></p>",
    "snake_case_name 2*3*4 \\*no\\*": "<p>snake_case_name 2*3*4 *no*</p>",
    "one\ntwo\n\nthree": "<p>one\ntwo</p><p>three</p>",
    "# A\n\n## B\n\n###### C": "<h2>A</h2><h3>B</h3><h4>C</h4>",
    "- a\n- b\n  - c\n\n- d": "<ul><li>a</li><li>b<ul><li>c</li></ul></li><li>d</li></ul>",
    "3. a\n4. b": '<ol start="3"><li>a</li><li>b</li></ol>',
    "```py\nx\n\n# no head\n```\nafter": code('x\n\n<span class="comment"># no head</span>')
    + "<p>after</p>",
    "````\n```py\n```\n````": code("```py\n```"),
    "```\nnever closed": code("never closed"),
    '```js\nlet a = "x"; // 1\n#b 2': code(
        '<span class="word">let</span> a = <span class="string">"x"</span>; '
        '<span class="comment">// 1</span>\n#b 2'
    ),
    "```\nif 1": code("if 1"),
    "![dot](data:image/png;base64,AA==)": '<p><img alt="dot" src="data:image/png;base64,AA=="></p>',
    "![x](data:image/svg+xml;base64,AA==)": "<p>![x](data:image/svg+xml;base64,AA==)</p>",
    "> a\n> > b": "<blockquote><p>a</p><blockquote><p>b</p></blockquote></blockquote>",
    "a\n\n---\n\nb": "<p>a</p><hr><p>b</p>",
    "| a | b |\n|---|:-:|\n| 1 | **2** |": '<div class="scroll" tabindex="0"><table><thead><tr>'
    '<th>a</th><th class="center">b</th></tr></thead><tbody><tr><td>1</td>'
    '<td class="center"><strong>2</strong></td></tr></tbody></table></div>',
    "|a|b|\n|:-|-:|\n|1|2|3|": '<div class="scroll" tabindex="0"><table><thead><tr><th>a</th>'
    '<th class="right">b</th></tr></thead><tbody><tr><td>1</td><td class="right">2</td>'
    "<td>3</td></tr></tbody></table></div>",
    "See [x](https://a.example/?q=1) and https://b.example/c.": '<p>See <a href="https://a.example'
    '/?q=1" title="https://a.example/?q=1" target="_blank" rel="noopener noreferrer">x</a> and '
    '<a href="https://b.example/c" title="https://b.example/c" target="_blank" '
    'rel="noopener noreferrer">https://b.example/c</a>.</p>',
    "a | b, no table": "<p>a | b, no table</p>",
    "* a **b\n* c": "<ul><li>a **b</li><li>c</li></ul>",
    "": "",
}


def test_markdown_is_shown_the_same_however_it_arrives(page, environment):
    for text, html in MARKDOWN.items():
        for pieces in ([text], list(text)):
            environment.script(ok(pieces))
            page.evaluate("question.value = ''")
            asked_and_answered(page)
            assert page.evaluate(f"{LAST}.querySelector('.text').innerHTML") == html


ENDLESS = {
    "brackets": "[" * 50_000,
    "backticks": "x" + "`" * 50_000,
    "stars": "*a" * 50_000,
    "double stars": "**" * 50_000,
    "quotes": "> " * 50_000,
    "items": "- " * 50_000,
    "words": "a " * 100_000 + "**",
    "spaces": "x" + " " * 100_000 + "x",
    "a heading": "#" + " " * 50_000 + "x",
    "bars": "|-" * 50_000,
    "lines": "a\n" * 50_000,
    "blocks": "a\n\n" * 10_000,
    "links": "http://" * 20_000,
    "quotes in code": '```py\n"' + '\\\\"' * 9_000,
    "comments in code": "```c\n" + "/*" * 9_000,
    "words in code": "```c\n" + "if " * 6_000,
    "code": "```c\n" + "if " * 50_000,
    "pictures": "![x](data:image/png;base64," * 5_000,
}


@pytest.mark.parametrize("text", ENDLESS.values(), ids=ENDLESS)
def test_no_text_takes_long_to_show(page, environment, text):
    environment.script(ok([text, "\n\nthe end"]))
    began = time.monotonic()
    asked_and_answered(page)

    assert page.evaluate(f"{TEXT}.endsWith('the end')")
    assert time.monotonic() - began < 5


def test_thoughts_are_shown_apart(page, environment):
    environment.script(ok("4", reasoning="2 + 2 <b>is</b> 4"))
    asked_and_answered(page)

    assert page.evaluate(f"{LAST}.querySelector('details div').textContent") == "2 + 2 <b>is</b> 4"
    assert page.evaluate(TEXT) == "4"


def test_it_is_dark_where_the_person_prefers_that(page):
    paper = "getComputedStyle(document.body).backgroundColor"
    page.colours("light")
    light = page.evaluate(paper)
    page.colours("dark")

    assert light == "rgb(251, 250, 248)"
    assert page.evaluate(paper) == "rgb(25, 24, 22)"


def test_readers_of_screens_are_told(page, environment):
    environment.script(LONG)
    ask(page)
    page.wait_for(f"{TEXT}.length > 10")
    assert page.evaluate("document.querySelector('#log').getAttribute('aria-live')") == "polite"
    assert "Escape stops" in page.evaluate("document.querySelector('[role=status]').textContent")
    page.press("Escape")
    page.wait_for(READY)
    assert "stopped" in page.evaluate("document.querySelector('[role=status]').textContent")
    assert page.evaluate("question.labels[0].textContent.length > 10")


RICH = """\
# Title

A sentence with `code`, **bold** and a [link](https://a.example/).

```python
def answer(question: str) -> int:  # a comment that is much too long for the width of a phone
    return 42 if "?" in question else None
```

| left | center | right |
|------|:------:|------:|
| averyveryveryverylongword | two | 3.14 |

![A dot](data:image/png;base64,PNG)

> A quotation

- one
- two
""".replace(
    "PNG",
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
)


def test_code_is_copied(browser, url, page, environment):
    browser.call(
        "Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"]
    )
    environment.script(ok("```py\nif 1:\n    pass\n```"))
    asked_and_answered(page)

    page.click(".copy")

    page.wait_for("document.querySelector('.copy').textContent === 'Copied'")
    assert page.evaluate("navigator.clipboard.readText()") == "if 1:\n    pass"
    assert page.evaluate("document.querySelector('[role=status]').textContent") == "Copied"
    page.wait_for("document.querySelector('.copy').textContent === 'Copy'")


@pytest.mark.parametrize("width", [320, 360, 900])
def test_nothing_is_wider_than_the_window(page, environment, width):
    page.call(
        "Emulation.setDeviceMetricsOverride",
        width=width, height=640, deviceScaleFactor=1, mobile=width < 900,
    )  # fmt: skip
    environment.script(ok(RICH + "x" * 500, reasoning="y" * 500))
    asked_and_answered(page, "z" * 200)

    assert page.evaluate("innerWidth") == width
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.querySelector('img').naturalWidth") == 1
    assert (
        page.evaluate("getComputedStyle(document.querySelector('td.right')).textAlign") == "right"
    )


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    """The source of axe-core, which finds faults of accessibility."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm here, which installs axe-core")
    folder = tmp_path_factory.mktemp("axe")
    (folder / "package.json").write_text("{}")
    command = [npm, "install", "--silent", "--no-audit", "--no-fund", "axe-core@4"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=100)
    except subprocess.TimeoutExpired:
        pytest.skip("npm did not install axe-core within 100 s")
    if done.returncode:
        pytest.skip(f"npm cannot install axe-core: {done.stderr.decode()[-200:]}")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 900])
def test_axe_finds_no_serious_fault(page, environment, axe, scheme, width):
    page.colours(scheme)
    page.call(
        "Emulation.setDeviceMetricsOverride",
        width=width, height=640, deviceScaleFactor=1, mobile=False,
    )  # fmt: skip
    page.call("Page.setBypassCSP", enabled=True)  # for axe alone
    page.call("Page.reload")
    page.wait_for("document.activeElement?.id === 'question' && document.readyState === 'complete'")
    environment.script(ok(RICH, reasoning="Hm."), error_event("busy", "x", after=5))
    asked_and_answered(page)
    page.evaluate("question.value = ''")
    ask(page, "again")
    page.wait_for("!running && document.querySelectorAll('article').length === 4")
    page.evaluate(axe + "; 0")

    found = page.evaluate(
        "axe.run().then(r => r.violations.map(v => [v.impact, v.id, v.nodes[0].html]))"
    )

    assert [fault for fault in found if fault[0] in {"serious", "critical"}] == []


# --- the service, without a browser


def post(url, body, kind="application/json"):
    request = urllib.request.Request(f"{url}chat", body, {"Content-Type": kind})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    caught.value.close()
    return caught.value.code


def test_the_service_takes_nothing_but_texts(url, environment):
    good = json.dumps({"messages": [{"role": "user", "content": "x"}]}).encode()
    parts = [{"type": "image_url", "image_url": {"url": "https://a.example/"}}]
    bad = [
        b"",
        b"{",
        b"[]",
        b'{"messages": []}',
        b'{"messages": ["x"]}',
        json.dumps({"messages": [{"role": "system", "content": "x"}]}).encode(),
        json.dumps({"messages": [{"role": "user", "content": parts}]}).encode(),
    ]

    assert [post(url, body) for body in bad] == [400] * len(bad)
    assert post(url, good, "text/plain") == 415  # what another site's form can send
    assert post(url, b'{"messages": "' + b"x" * 2**21 + b'"}') == 413
    assert environment.requests == []


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.2", "[", ""])
def test_what_is_meant_for_another_host_is_refused(url, environment, host):
    request = urllib.request.Request(url, headers={"Host": host})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    caught.value.close()

    assert caught.value.code in {400, 403}
    assert environment.requests == []


@pytest.mark.parametrize("host", ["localhost:80", "127.0.0.1", "[::1]:9", "a.example"])
def test_its_own_hosts_and_those_that_are_allowed_are_served(
    environment, serving, monkeypatch, host
):
    monkeypatch.setenv("ALLOWED_HOSTS", "a.example")
    with serving("-W", "error", FOLDER / "server.py") as (port, _):
        request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"Host": host})
        with urllib.request.urlopen(request, timeout=10) as response:
            assert response.status == 200


def test_without_a_token_it_says_in_one_line_what_to_set(clean_environment):
    done = subprocess.run(
        [sys.executable, "-W", "error", FOLDER / "server.py"],
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )

    assert done.returncode == 1
    assert "ACEDATACLOUD_API_TOKEN" in done.stderr
    assert "acechat emulate" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_page_is_one_file_that_trusts_nobody(url):
    with urllib.request.urlopen(url, timeout=10) as response:
        policy, text = response.headers["Content-Security-Policy"], response.read().decode()

    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for word in (
        "innerHTML",
        "insertAdjacent",
        "document.write",
        "eval(",
        " src=",
        "@import",
        "url(",
    ):
        assert word not in text
