"""`client.batch`: results, failures, stops and restarts against a server."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from acechat import (
    BatchRowError,
    BatchStoppedError,
    Budget,
    Client,
    ConfigurationError,
    JournalError,
    RateLimit,
    RetryPolicy,
    TransportError,
)

FAST = RetryPolicy(base_delay=0.01, max_delay=0.02)


async def collect(batch):
    return [result async for result in batch]


def start(connect, files, **options):
    """Return a function that runs the batch once and returns its results and summary."""
    options = {"retries": FAST} | options

    async def running():
        async with (
            connect() as client,
            client.batch(files.input, output=files.output, **options) as batch,
        ):
            return await collect(batch), batch.summary

    return running


def test_every_row_has_its_result(service, connect, files, run):
    files.prompts(300)
    results, summary = run(start(connect, files))

    assert {result.custom_id: result.text for result in results} == {
        f"id-{n}": f"p{n}" for n in range(300)
    }
    assert (summary.done, summary.failed, summary.unknown, summary.total) == (300, 0, 0, 300)
    assert summary.usage.total_tokens == 1500
    assert set(service.received.values()) == {1}
    line = files.by_id["id-7"]
    assert line["response"]["body"]["choices"][0]["message"]["content"] == "p7"
    assert line["response"]["status_code"] == 200
    assert line["error"] is None
    assert [path.stat().st_mode & 0o777 for path in (files.output, files.journal)] == [0o600] * 2


def test_the_same_call_sends_nothing_twice(service, connect, files, run):
    files.prompts(50)
    run(start(connect, files))
    results, summary = run(start(connect, files))

    assert results == []
    assert (summary.done, summary.requests) == (50, 0)
    assert service.received.total() == 50
    assert len(files.by_id) == 50


def test_without_reading_results_the_block_runs_to_the_end(service, connect, files, run):
    files.prompts(1500)

    async def running():
        async with connect() as client:
            async with client.batch(files.input, output=files.output) as batch:
                pass
            return batch.summary

    assert run(running).done == 1500


def test_a_break_ends_the_run_and_the_next_one_continues(service, connect, files, run):
    files.prompts(400)
    service.latency = 0.01

    async def running():
        async with connect() as client:
            async with client.batch(files.input, output=files.output) as batch:
                async for _ in batch:
                    break
            return batch.summary

    summary = run(running)
    assert 1 <= summary.done < 400
    assert summary.unknown == 0
    _, summary = run(start(connect, files))
    assert summary.done == len(files.by_id) == 400
    assert set(service.received.values()) == {1}


def test_new_rows_at_the_end_of_the_input_are_sent(service, connect, files, run):
    files.prompts(10)
    run(start(connect, files))
    files.prompts(25)
    _, summary = run(start(connect, files))

    assert summary.requests == 15
    assert len(files.by_id) == 25


def test_options_and_rows_make_the_request(service, connect, files, run):
    files.write(
        {"prompt": "a", "max_tokens": 3},
        {"body": {"messages": [{"role": "user", "content": "b"}], "model": "other"}},
    )
    run(start(connect, files, model="mine", system="S", temperature=0.5, extra_body={"x": 1}))
    first, second = sorted(service.bodies, key=lambda body: body["messages"][-1]["content"])

    system = {"role": "system", "content": "S"}
    assert first.pop("stream") is False
    assert first == {
        "model": "mine",
        "messages": [system, {"role": "user", "content": "a"}],
        "max_tokens": 3,
        "temperature": 0.5,
        "x": 1,
    }
    assert second["model"] == "other"
    assert second["temperature"] == 0.5


def test_a_bad_row_is_an_error_row(service, connect, files, run):
    files.write(
        {"custom_id": "a", "prompt": "x"}, {"custom_id": "b"}, {"custom_id": "a", "prompt": "y"}
    )
    results, summary = run(start(connect, files))

    assert (summary.done, summary.failed) == (1, 2)
    assert summary.errors["invalid_row"].rows == 2
    assert files.by_id["b"]["error"]["code"] == "invalid_row"
    assert files.by_id["a"]["error"] is None
    assert all(isinstance(r.error, BatchRowError) for r in results if r.error)
    assert service.received == {"x": 1}


@pytest.mark.parametrize(
    ("status", "code", "requests"),
    [(403, "forbidden", 1), (400, "bad_request", 1), (500, "internal", 3)],
)
def test_a_row_that_always_fails_is_an_error_row(
    service, connect, files, run, wire, status, code, requests
):
    files.prompts(30)
    service.latency = 0.005
    service.handler = lambda prompt, _: (
        wire.refusal(f"{status} No", code) if prompt == "p3" else None
    )
    results, summary = run(start(connect, files))

    assert (summary.done, summary.failed) == (29, 1)
    error = files.by_id["id-3"]["error"]
    assert (error["code"], error["status_code"], error["trace_id"]) == (code, status, "t-1")
    assert error["attempts"] == service.received["p3"] >= requests
    assert error["may_be_billed"] is False
    (failed,) = [result for result in results if result.error]
    assert failed.custom_id == "id-3"
    assert summary.errors[code].trace_ids == ["t-1"]


def test_rows_that_always_fail_do_not_look_like_an_outage(service, connect, files, run, wire):
    files.prompts(60)
    service.handler = lambda prompt, _: (
        wire.refusal("500 No", "internal") if prompt.endswith("7") else None
    )
    _, summary = run(start(connect, files))

    assert (summary.done, summary.failed) == (54, 6)


@pytest.mark.parametrize("status", ["429 Slow", "503 Busy", "500 Error"])
def test_refused_rows_are_sent_until_they_are_accepted(service, connect, files, run, wire, status):
    files.prompts(30)
    code = {"429": "too_many_requests", "503": "busy", "500": "api_error"}[status[:3]]
    service.handler = lambda prompt, number: wire.refusal(status, code) if number <= 2 else None
    _, summary = run(start(connect, files, retries=RetryPolicy(max_attempts=3, base_delay=0.01)))

    assert (summary.done, summary.failed) == (30, 0)
    assert summary.refused == 60


def test_all_rows_wait_as_the_service_asks(service, connect, files, run, wire):
    files.prompts(40)
    times = []

    def handler(prompt, number):
        times.append(time.monotonic())
        if len(times) == 1:
            return wire.refusal("429 Slow", "too_many_requests", retry_after="1")
        return None

    service.handler = handler
    _, summary = run(start(connect, files, concurrency=1))

    assert summary.done == 40
    assert times[1] - times[0] >= 1


def test_an_outage_fails_no_row(service, connect, files, run, wire):
    files.prompts(200)
    service.latency = 0.01
    began = time.monotonic()
    down = (0.1, 2.0)

    def handler(prompt, number):
        now = time.monotonic() - began
        return wire.refusal("502 Bad Gateway", "bad") if down[0] < now < down[1] else None

    service.handler = handler
    _, summary = run(start(connect, files, max_concurrency=16))

    assert (summary.done, summary.failed) == (200, 0)
    assert time.monotonic() - began >= 1.9
    assert summary.requests < 200 + 16 + 20


def test_lost_requests_are_reported_and_sent_again(service, connect, files, run):
    files.prompts(20)
    service.handler = lambda prompt, number: "reset" if (prompt, number) == ("p3", 1) else None
    results, summary = run(start(connect, files))

    assert summary.done == 20
    (lost,) = [result for result in results if result.may_be_billed]
    assert (lost.custom_id, lost.requests) == ("id-3", 2)
    assert summary.may_be_billed == 1


def test_with_skip_no_request_that_may_be_billed_is_repeated(service, connect, files, run):
    files.prompts(20)
    service.handler = lambda prompt, number: "reset" if prompt == "p3" else None
    results, summary = run(start(connect, files, unknown="skip"))

    assert (summary.done, summary.failed) == (19, 1)
    assert service.received["p3"] == 1
    error = files.by_id["id-3"]["error"]
    assert error["may_be_billed"] is True
    (failed,) = [result.error for result in results if result.error]
    assert isinstance(failed, TransportError)


STOPS = {
    "credit": ("403 No", "used_up", "not now", "top up"),
    "payment": ("402 Pay", "x", "not now", "top up"),
    "token": ("401 No", "invalid_token", "not now", "token"),
    "disabled": ("403 No", "disabled", "not now", "support"),
    "model": ("400 No", "bad_request", "model is invalid.", "models"),
}


@pytest.mark.parametrize("stop", STOPS)
def test_a_cause_that_all_rows_share_stops_the_run(service, connect, files, run, wire, stop):
    status, code, message, step = STOPS[stop]
    files.prompts(300)
    service.latency = 0.01
    service.handler = lambda prompt, _: (
        wire.refusal(status, code, message) if service.received.total() > 100 else None
    )
    with pytest.raises(BatchStoppedError) as caught:
        run(start(connect, files))
    assert step in caught.value.next_step
    # 100 successes permit 108 requests at a time; all of them may be running at the first refusal
    assert service.received.total() <= 208
    assert all(line["error"] is None for line in files.lines)

    service.handler = None
    _, summary = run(start(connect, files))  # nothing is unknown: the refusals cost nothing
    assert summary.done == len(files.by_id) == 300


def test_a_row_with_a_model_of_its_own_that_is_misspelt_fails_alone(
    service, connect, files, run, wire
):
    rows = [{"custom_id": str(n), "prompt": f"p{n}"} for n in range(50)]
    rows[40]["model"] = "claud"
    files.write(*rows)
    service.handler = lambda prompt, _: (
        wire.refusal("400 No", "bad_request", "model is invalid.") if prompt == "p40" else None
    )
    _, summary = run(start(connect, files, concurrency=2))

    assert (summary.done, summary.failed) == (49, 1)


@pytest.mark.parametrize("gone", ["from_the_start", "later"])
@pytest.mark.parametrize("own", [True, False], ids=["own_model", "model_of_the_run"])
def test_a_model_that_is_gone_stops_only_its_rows(service, connect, files, run, wire, own, gone):
    """The rows of other models are done; its own stay unsent, and the run stops at the end."""
    ours = {"model": "claude-gone"} if own else {}
    rows = [
        {"custom_id": str(n), "prompt": f"p{n}"} | (ours if n % 2 else {"model": "claude-b"})
        for n in range(200)
    ]
    files.write(*rows)
    service.latency = 0.005
    names = []

    def handler(prompt, _):
        names.append(service.bodies[-1]["model"])
        bad = names[-1] != "claude-b" and (gone != "later" or len(names) > 60)
        return wire.refusal("400 No", "bad_request", "model is invalid.") if bad else None

    service.handler = handler
    with pytest.raises(BatchStoppedError, match="model is invalid") as caught:
        run(start(connect, files))

    assert "choose another model" in caught.value.next_step
    assert ("claude-gone" if own else "the model of the run") in str(caught.value)
    done = {key for key, line in files.by_id.items() if line["error"] is None}
    failed = {key for key, line in files.by_id.items() if line["error"] is not None}
    assert {str(n) for n in range(0, 200, 2)} <= done
    assert len(failed) <= 2  # might be misspelt
    assert names.count("claude-b") == 100  # sent once each
    assert len(names) - 100 <= 100

    service.handler = None
    _, summary = run(start(connect, files, retry_failed=True))
    assert (summary.done, summary.failed, summary.unknown) == (200, 0, 0)


def test_rows_of_a_model_that_is_gone_are_not_forgotten_by_map(service, connect, run, wire):
    items = [{"prompt": f"p{n}", "model": "a" if n % 2 else "b"} for n in range(50)]
    service.handler = lambda prompt, _: (
        wire.refusal("400 No", "bad_request", "model is invalid.")
        if service.bodies[-1]["model"] == "a" and service.received.total() > 20
        else None
    )

    async def main():
        async with connect() as client:
            return [result async for result in client.map(items)]

    results = run(main)
    assert [result.row for result in results] == list(range(50))
    assert all(result.error is None for result in results if not result.row % 2)
    assert any(result.error is not None for result in results)


def test_a_budget_stops_the_run(service, connect, files, run):
    files.prompts(100)
    with pytest.raises(BatchStoppedError, match="50 tokens") as caught:
        run(start(connect, files, budget=Budget(tokens=50), concurrency=2))
    assert "budget" in caught.value.next_step

    assert 10 <= len(files.by_id) <= 12
    assert run(start(connect, files))[1].done == 100


CAPS = {
    "requests": (RateLimit(requests_per_minute=10), {}),
    "requests for a valid output": (
        RateLimit(requests_per_minute=10),
        {"output_type": int, "concurrency": 1},
    ),
    "tokens": (RateLimit(tokens_per_minute=50), {"concurrency": 1}),  # a completion has 5
}


@pytest.mark.parametrize("cap", CAPS)
def test_caps_are_kept(service, connect, files, run, cap):
    files.prompts(15)
    limit, options = CAPS[cap]

    async def running():
        async with connect() as client:
            batch = client.batch(files.input, output=files.output, rate_limit=limit, **options)
            async with batch:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(1.5):
                        await batch.collect()

    run(running)
    assert service.received.total() == 10


def test_a_fixed_number_of_requests_runs_at_a_time(service, connect, files, run):
    files.prompts(100)
    service.latency = 0.01
    run(start(connect, files, concurrency=7))

    assert service.most == 7


@pytest.mark.parametrize("concurrency", ["auto", 50])
def test_the_maximum_of_the_client_holds(service, connect, files, run, concurrency):
    files.prompts(60)
    service.latency = 0.01

    async def running():
        async with connect(max_concurrency=3) as client:
            batch = client.batch(files.input, output=files.output, concurrency=concurrency)
            await batch.collect()
            return batch.progress.concurrency

    assert run(running) == service.most == 3


def test_refused_rows_do_not_pile_up(service, connect, files, run, wire):
    """With a fixed number of requests at a time, nothing else slows the run down."""
    taken = 0

    def rows():
        nonlocal taken
        while True:
            yield f"p{taken}"
            taken += 1

    service.handler = lambda prompt, _: wire.refusal("429 Slow", "too_many_requests")
    files.input = rows()

    async def running():
        async with connect(retries=RetryPolicy(base_delay=60, max_delay=60)) as client:
            batch = client.batch(files.input, output=files.output, concurrency=20)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5):
                    await batch.collect()
            batch.cancel()
            await batch.aclose()

    run(running)
    assert taken <= 1100


@pytest.mark.parametrize(
    ("finish", "code"), [("length", "truncated"), ("content_filter", "refused")]
)
def test_incomplete_completions_are_not_done(service, connect, files, run, wire, finish, code):
    files.prompts(3)
    service.handler = lambda prompt, _: wire.reply(wire.completion(prompt, finish))
    results, summary = run(start(connect, files))

    assert (summary.done, summary.failed) == (0, 3)
    line = files.by_id["id-1"]
    assert line["error"]["code"] == code
    assert line["response"]["body"]["choices"][0]["message"]["content"] == "p1"  # it was paid for
    assert results[0].completion is not None
    assert set(service.received.values()) == {1}


def test_truncated_completions_can_be_allowed(service, connect, files, run, wire):
    files.prompts(3)
    service.handler = lambda prompt, _: wire.reply(wire.completion(prompt, "length"))
    _, summary = run(start(connect, files, allow_truncated=True))

    assert summary.done == 3


def test_failed_rows_are_sent_again_on_request(service, connect, files, run, wire):
    files.prompts(30)
    service.handler = lambda prompt, _: (
        wire.refusal("400 No", "bad_request") if prompt.endswith("5") else None
    )
    run(start(connect, files))
    service.handler = None
    _, summary = run(start(connect, files))
    assert (summary.done, summary.failed, summary.requests) == (27, 3, 0)
    results, summary = run(start(connect, files, retry_failed=True))

    assert {result.custom_id for result in results} == {"id-5", "id-15", "id-25"}
    assert (summary.done, summary.failed, summary.requests) == (30, 0, 3)
    assert all(line["error"] is None for line in files.by_id.values())
    assert run(start(connect, files))[1].requests == 0


def test_structured_output_is_validated_and_written(service, connect, files, run, wire):
    files.prompts(2)

    def handler(prompt, number):
        call = {"id": "t", "type": "function"}
        value = '{"value": 3}' if prompt == "p0" else '{"value": "x"}'
        call["function"] = {"name": "answer", "arguments": value}
        body = wire.completion("")
        body["choices"][0]["message"] |= {"content": None, "tool_calls": [call]}
        return wire.reply(body)

    service.handler = handler
    results, summary = run(start(connect, files, output_type=int))

    assert (summary.done, summary.failed) == (1, 1)
    assert files.by_id["id-0"]["output"] == 3
    assert files.by_id["id-1"]["error"]["code"] == "OutputError"
    assert files.by_id["id-1"]["response"] is not None
    assert service.received.total() == 3  # the second row was requested again, once
    assert summary.requests == 3
    assert {result.custom_id: result.requests for result in results} == {"id-0": 1, "id-1": 2}
    assert files.by_id["id-1"]["error"]["attempts"] == 2
    assert summary.usage.total_tokens == 15
    assert {result.output for result in results} == {3, None}


@pytest.mark.parametrize("second", ["valid", "502 No"])
def test_requests_for_a_valid_output_are_counted(service, connect, files, run, wire, second):
    files.prompts(1)

    def handler(prompt, number):
        total = service.received.total()
        if total == 2 and second != "valid":
            return wire.refusal(second, "bad_gateway")
        call = {"id": "t", "type": "function"}
        value = '{"value": "x"}' if total in {1, 3} and prompt == "p0" else '{"value": 3}'
        call["function"] = {"name": "answer", "arguments": value}
        body = wire.completion("")
        body["choices"][0]["message"] |= {"content": None, "tool_calls": [call]}
        return wire.reply(body)

    service.handler = handler
    results, summary = run(
        start(connect, files, output_type=int, retries=RetryPolicy(base_delay=0.01))
    )

    assert [result.output for result in results] == [3]
    assert summary.requests == results[0].requests == service.received.total()
    assert summary.requests == (2 if second == "valid" else 4)


def test_iterables_are_inputs(service, connect, files, run):
    async def rows():
        for n in range(20):
            yield f"p{n}"

    for given in (rows(), [f"p{n}" for n in range(20)], (f"p{n}" for n in range(20))):
        files.input = given
        _, summary = run(start(connect, files))
        assert summary.done == 20
    assert service.received.total() == 20


def test_an_iterable_that_fails_ends_the_run(service, connect, files, run):
    def rows():
        yield "p0"
        raise LookupError("no more")

    files.input = rows()
    with pytest.raises(LookupError, match="no more"):
        run(start(connect, files))
    assert len(files.lines) == 1


WRONG = [
    ({"concurrency": 0}, ConfigurationError, "concurrency"),
    ({"max_concurrency": 1.5}, ConfigurationError, "max_concurrency"),
    ({"max_concurrency": "auto"}, ConfigurationError, "max_concurrency"),
    ({"budget": 5}, ConfigurationError, "budget must be Budget or None"),
    ({"rate_limit": 5}, ConfigurationError, "rate_limit must be RateLimit or None"),
    ({"template": 5}, ConfigurationError, "template must be str or None"),
    ({"image_field": 5}, ConfigurationError, "image_field must be str or None"),
    ({"system": 5}, ConfigurationError, "system must be str or None"),
    ({"unknown": "maybe"}, ConfigurationError, "unknown must be one of"),
    ({"fsync": "often"}, ConfigurationError, "fsync must be one of"),
    ({"max_token": 1}, TypeError, "did you mean"),
]


@pytest.mark.parametrize(("options", "error", "message"), WRONG)
def test_wrong_arguments(connect, files, run, options, error, message):
    with pytest.raises(error, match=message):
        run(start(connect, files, **options))


@pytest.mark.parametrize("prompts", [b"x", {"prompt": "x"}, 3])
def test_an_input_is_a_path_or_an_iterable(connect, files, run, prompts):
    files.input = prompts
    with pytest.raises(TypeError, match="path or an iterable"):
        run(start(connect, files))


def test_an_input_that_does_not_exist(connect, files, run):
    with pytest.raises(ConfigurationError, match="cannot read"):
        run(start(connect, files))


def test_blocking(service, files):
    files.prompts(50)
    with Client("t-1", base_url=service.url, proxy="") as client:
        with client.batch(files.input, output=files.output) as batch:
            texts = [result.text for result in batch]
        assert sorted(texts) == sorted(f"p{n}" for n in range(50))
        assert batch.summary.done == 50
        with client.batch(files.input, output=files.output) as batch:
            pass
        assert batch.progress.summary.requests == 0


def test_blocking_break_and_error(service, files):
    files.prompts(100)
    service.latency = 0.01
    with Client("t-1", base_url=service.url, proxy="") as client:
        with client.batch(files.input, output=files.output) as batch:
            for _ in batch:
                break
        with pytest.raises(KeyError), client.batch(files.input, output=files.output) as batch:
            raise KeyError
        assert client.batch(files.input, output=files.output).collect().done == 100
    assert set(service.received.values()) == {1}


def test_drain_returns_the_results_of_running_requests(service, connect, files, run):
    files.prompts(100)
    service.latency = 0.05
    results = []

    async def running():
        async with connect() as client, client.batch(files.input, output=files.output) as batch:
            results.extend(await batch.receive())
            batch.drain()
            while more := await batch.receive():
                results.extend(more)

    with pytest.raises(BatchStoppedError, match="interrupted"):
        run(running)
    assert 0 < len(results) == len(files.by_id) < 100


def test_secrets_are_in_no_file(service, connect, files, run, wire):
    files.prompts(5)
    token = "tok-secret-0123456789"
    service.handler = lambda prompt, _: wire.refusal("400 No", "bad_request", f"bad {token}")
    run(start(connect, files))

    for path in (files.output, files.journal):
        assert token not in path.read_bytes().decode(errors="replace")


@pytest.mark.parametrize("fsync", ["group", "each", "never"])
def test_every_kind_of_sync_saves_everything(service, connect, files, run, fsync):
    files.prompts(100)
    _, summary = run(start(connect, files, fsync=fsync))

    assert summary.done == len(files.by_id) == 100


def test_journal_error_names_the_difference(service, connect, files, run):
    files.prompts(3)
    run(start(connect, files, system="one"))
    with pytest.raises(JournalError, match="system was 'one', now 'two'"):
        run(start(connect, files, system="two"))
    with pytest.raises(JournalError, match="max_tokens was None, now 5"):
        run(start(connect, files, system="one", max_tokens=5))
    assert json.loads(files.journal.read_bytes().split(b"\n")[0])["options"]["system"] == "one"


@pytest.mark.parametrize("stop", ["drain", "cancel"])
def test_an_interrupt_before_the_first_request_is_kept(service, connect, files, run, stop):
    """A signal may arrive while a large journal is read."""
    files.prompts(50)

    async def stopping():
        async with connect() as client:
            batch = client.batch(files.input, output=files.output)
            getattr(batch, stop)()
            with pytest.raises(BatchStoppedError, match="interrupted"):
                await batch.collect()
            await batch.aclose()

    run(stopping)
    assert not service.received


@pytest.mark.parametrize("message", [{"role": "assistant"}, {"role": "user", "content": None}])
def test_an_image_for_a_message_without_content_fails_alone(connect, files, run, message):
    image = "https://example.com/a.png"
    files.write({"messages": [message], "image": image}, {"prompt": "a"})

    async def running():
        async with connect() as client:
            batch = client.batch(files.input, output=files.output, image_field="image")
            return await batch.collect()

    summary = run(running)
    assert (summary.done, summary.failed) == (1, 1)
    assert "no content" in summary.errors["ConfigurationError"].message
