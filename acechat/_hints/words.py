"""Names of other clients, each with acechat's name or the rest of "did you mean"."""

from __future__ import annotations

__all__ = [
    "CALL_WORDS",
    "CHAT",
    "CLIENT_ATTRIBUTES",
    "CLIENT_WORDS",
    "COMPLETION_ATTRIBUTES",
    "DELTA_ATTRIBUTES",
    "ERROR_ATTRIBUTES",
    "NAMES",
    "STREAM_ATTRIBUTES",
]

_ONE = "api_token=?"
_APPLICATION = "api_token=? A token belongs to one application"
_SESSION = "session= (an aiohttp.ClientSession), proxy= or ssl=?"
_ARGUMENT = 'chat("...")? The user message is a positional argument'
_REASON = 'reasoning_effort="high", or a model whose name ends with -thinking?'

CLIENT_WORDS = dict.fromkeys(
    ("api_key", "auth_token", "token", "key", "access_token", "bearer_token", "secret",
     "admin_api_key", "provider", "credentials", "_enforce_credentials", "_token_cache"), _ONE
) | dict.fromkeys(
    ("organization", "project", "profile", "config", "workspace_id"), _APPLICATION
) | {
    "workload_identity": "api_token= with a function that returns a token?",
    "webhook_secret": "api_token=? The service has no webhooks",
    "webhook_key": "api_token=? The service has no webhooks",
    "max_retries": "retries= (the first attempt included)?",
    "max_attempts": "retries=?",
    "default_headers": "headers=?",
    "set_default_headers": "headers=?",
    "extra_headers": "headers=?",
    "default_query": "middleware=? A middleware can change the path of each request",
    "set_default_query": "middleware=? A middleware can change the path of each request",
    "http_client": _SESSION,
    "transport": _SESSION,
    "verify": "ssl=?",
    "proxies": "proxy=?",
    "limits": "max_concurrency=?",
    "connection_pool_limits": "max_concurrency=?",
    "max_connections": "max_concurrency=?",
    "open_telemetry": "observers=?",
    "callbacks": "observers=?",
    "event_hooks": "observers=?",
    "_strict_response_validation": "output_type= of chat()? Responses are always validated",
    "request_timeout": "timeout=?",
} | dict.fromkeys(
    ("websocket_base_url", "data_residency", "endpoint", "url", "host", "api_base",
     "azure_endpoint"), "base_url=?"
) | dict.fromkeys(("default_model", "model_name", "engine", "deployment"), "model=?")  # fmt: skip
"""Arguments of other clients' constructors -> the rest of "did you mean"."""

CALL_WORDS = dict.fromkeys(
    ("input", "prompt", "content", "contents", "message", "user_message", "query"), _ARGUMENT
) | dict.fromkeys(
    ("output_config", "output_format", "output_schema", "text", "text_format", "response_model",
     "response_schema", "response_type", "schema", "json_schema", "format"), "output_type=?"
) | dict.fromkeys(("instructions", "system_prompt", "system_message"), "system=?") | dict.fromkeys(
    ("max_output_tokens", "max_new_tokens", "max_tokens_to_sample", "max_length"), "max_tokens=?"
) | dict.fromkeys(("thinking", "reasoning", "budget_tokens"), _REASON) | dict.fromkeys(
    ("max_iterations", "max_tool_calls", "max_steps", "max_rounds"), "run(..., max_turns=...)?"
) | dict.fromkeys(
    ("max_turns", "max_parallel", "tool_timeout", "raise_tool_errors", "budget",
     "run_tools_eagerly"), "run()? It calls the tools; chat() sends one request"
) | {
    "stop_sequences": "stop=?",
    "top_k": "extra_body={'top_k': ...}?",
    "history": "messages=?",
    "functions": "tools=?",
    "function_call": "tool_choice=?",
    "stream": "to call client.stream(...) instead?",
    "previous_response_id": "client.conversation()?",
    "conversation": "client.conversation()?",
    "callback": "client.stream(...)?",
    "max_retries": "retries= (the first attempt included)?",
    "request_timeout": "timeout=?",
    "headers": "extra_headers=?",
    "betas": 'extra_headers={"anthropic-beta": ...}?',
    "extra_query": "middleware= of the client? A middleware can change the path of a request",
    "mcp_servers": "acechat.mcp.connect(...)? It returns tools for run()",
    "safety_identifier": "user=?",
    "user_id": "user=?",
    "user_profile_id": "user=?",
    "fallbacks": "fallback_models= of the client?",
    "cache": "cache= of the client?",
    "model_name": "model=?",
}  # fmt: skip
"""Arguments of other clients' calls -> the rest of "did you mean"."""

ERROR_ATTRIBUTES = {
    "status_code": "error.status, of an APIError?",
    "http_status": "error.status, of an APIError?",
    "status": "`except acechat.APIError`? Only the service's errors have a status",
    "request_id": "error.trace_id?",
    "_request_id": "error.trace_id?",
    "message": "error.reason, or str(error)?",
    "api_message": "error.message, of an APIError?",
    "user_message": "error.message, of an APIError?",
    "error": "error.message and error.code, of an APIError?",
    "type": "error.code, of an APIError?",
    "error_code": "error.code, of an APIError?",
    "code": "`except acechat.APIError`? Only the service's errors have a code",
    "param": "error.body, of an APIError?",
    "details": "error.body, of an APIError?",
    "json_body": "error.body, of an APIError?",
    "body": "`except acechat.APIError`? Only the service's errors keep a body",
    "response": "error.status, error.body and error.trace_id, of an APIError?",
    "headers": "error.retry_after, of an APIError? error.save(path) writes all headers",
    "retry_after": "`except acechat.APIError`? Only the service's errors have it",
    "request": "error.save(path)? It writes the requests and responses of the call",
    "completion": "error.partial?",
}
"""Attributes of other clients' exceptions -> the rest of "did you mean"."""

COMPLETION_ATTRIBUTES = {
    "content": "reply.text?",
    "output_text": "reply.text?",
    "completion": "reply.text?",
    "delta": "reply.message?",
    "role": "reply.message.role?",
    "stop_reason": "reply.finish_reason?",
    "stop_sequence": "reply.finish_reason?",
    "reasoning_content": "reply.reasoning?",
    "thinking": "reply.reasoning?",
    "refusal": "reply.message.refusal?",
    "parsed": "reply.output?",
    "output_parsed": "reply.output?",
    "model_dump": "reply.to_dict()?",
    "dict": "reply.to_dict()?",
    "model_dump_json": "reply.to_json()?",
    "json": "reply.to_json()?",
    "request_id": "reply.trace_id?",
    "_request_id": "reply.trace_id?",
    "status": "reply.response.status?",
    "status_code": "reply.response.status?",
    "headers": "reply.response.headers?",
    "elapsed": "reply.response.elapsed?",
    "attempts": "reply.response.attempts?",
    "prompt_tokens": "reply.usage.prompt_tokens?",
    "completion_tokens": "reply.usage.completion_tokens?",
    "total_tokens": "reply.usage.total_tokens?",
    "input_tokens": "reply.usage.prompt_tokens?",
    "output_tokens": "reply.usage.completion_tokens?",
}
"""Attributes of other clients' completions -> the rest of "did you mean"."""

DELTA_ATTRIBUTES = {
    "choices": "delta.content? stream.chunks() iterates over the service's chunks",
    "delta": "delta.content? stream.events() iterates over events",
    "text": "delta.content, or str(delta)?",
}
"""Attributes of other clients' chunks and events -> the rest of "did you mean"."""

STREAM_ATTRIBUTES = {
    "text_stream": "stream.text()?",
    "get_final_text": "stream.collect()? It returns the completion; its text is a str",
    "get_final_message": "stream.collect()? It returns the completion",
    "get_final_completion": "stream.collect()? It returns the completion",
    "until_done": "stream.collect()? It returns the completion",
    "response": "stream.completion.response?",
}
"""Attributes of other clients' streams -> the rest of "did you mean"."""

CHAT = "client.chat(messages=[...]), or client.stream(messages=[...])?"

CLIENT_ATTRIBUTES = dict.fromkeys(
    ("completions", "messages", "responses", "beta", "create", "complete", "completion", "ask",
     "send", "generate", "invoke", "ainvoke", "predict", "query", "achat"), CHAT
) | dict.fromkeys(
    ("chat_stream", "stream_chat", "astream"), "client.stream(...)?"
) | {
    "copy": "client.with_options(...)?",
    "with_raw_response": "client.chat(...)? reply.response has the status and the headers",
    "with_streaming_response": "client.stream(...)?",
    "embeddings": "extra_body= of chat()? acechat calls chat completions only",
    "batches": "client.batch(...)?",
    "usage": "client.meter?",
    "cost": "client.meter.cost?",
    "list_models": "client.models()?",
}  # fmt: skip
"""Attributes of other clients -> the rest of "did you mean"."""

_ACCESS = dict.fromkeys(
    ("OpenAI", "Anthropic", "AzureOpenAI", "BedrockOpenAI", "AnthropicBedrock", "AnthropicVertex",
     "AnthropicFoundry", "AceChat", "AceData", "AceDataClient", "ChatClient", "SyncClient"),
    "Client",
)  # fmt: skip
NAMES = _ACCESS | {f"Async{name}": "AsyncClient" for name in _ACCESS} | {
    "OpenAIError": "AceChatError",
    "AnthropicError": "AceChatError",
    "APIStatusError": "APIError",
    "HTTPError": "APIError",
    "HTTPStatusError": "APIError",
    "ConflictError": "APIError, whose status is 409",
    "APITimeoutError": "RequestTimeoutError",
    "TimeoutError": "RequestTimeoutError",
    "ReadTimeout": "RequestTimeoutError",
    "APIConnectionError": "TransportError",
    "ConnectionError": "ConnectError",
    "APIResponseValidationError": "ProtocolError",
    "UnprocessableEntityError": "BadRequestError",
    "PreconditionFailedError": "BadRequestError",
    "ContentTooLargeError": "RequestTooLargeError",
    "RequestHeaderFieldsTooLargeError": "BadRequestError",
    "RequestBodyTooLargeAfterDecodingError": "RequestTooLargeError",
    "ClientClosedRequestError": "ClientClosedError",
    "InternalServerError": "ServerError",
    "HTTPNotImplementedError": "APINotImplementedError",
    "ServiceUnavailableError": "OverloadedError",
    "DeadlineExceededError": "GatewayTimeoutError",
    "OAuthError": "AuthenticationError",
    "CredentialsError": "ConfigurationError",
    "IdentityTokenFileError": "ConfigurationError",
    "LengthFinishReasonError": 'OutputError, or reply.finish_reason == "length"',
    "ContentFilterFinishReasonError": 'OutputError, or reply.finish_reason == "content_filter"',
    "Stream": "ChatStream",
    "AsyncStream": "AsyncChatStream",
    "RequestOptions": "ChatOptions",
    "APIRequest": "HTTPRequest",
    "MiddlewareInput": "Middleware",
    "MiddlewareCallable": "Middleware",
    "AsyncMiddlewareCallable": "Middleware",
    "AsyncCallNext": "CallNext",
    "DEFAULT_TIMEOUT": "Timeout",
    "DEFAULT_MAX_RETRIES": "RetryPolicy",
    "DEFAULT_CONNECTION_LIMITS": "Client(max_concurrency=...)",
    "beta_tool": "tool",
    "beta_async_tool": "tool",
    "function_tool": "tool",
    "ChatCompletionMessage": "AssistantMessage",
    "AsyncTool": "Tool",
} | dict.fromkeys(
    ("DefaultHttpxClient", "DefaultAsyncHttpxClient", "DefaultAioHttpClient",
     "DefaultHttpx2Client", "DefaultAsyncHttpx2Client"), "AsyncClient(session=...)"
) | dict.fromkeys(("NotGiven", "NOT_GIVEN", "not_given", "Omit", "omit"), "None")  # fmt: skip
"""Public names of other clients -> ours, with a remark after a comma."""
