"""What a completion used: tokens, and money when the service tells.

Source: the contract, 2.3. Every field is optional, because the service's channels differ; None
means that the service did not say, which is not the same as 0.
"""

from __future__ import annotations

from msgspec import Struct

__all__ = ["CompletionTokensDetails", "Cost", "PromptTokensDetails", "Usage"]


class PromptTokensDetails(Struct, frozen=True, kw_only=True):
    """Kinds of tokens in the prompt; each is a part of `Usage.prompt_tokens`."""

    cached_tokens: int | None = None
    """Read from the prompt cache."""

    cached_creation_tokens: int | None = None
    cache_write_tokens: int | None = None
    text_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


class CompletionTokensDetails(Struct, frozen=True, kw_only=True):
    """Kinds of tokens in the answer; each is a part of `Usage.completion_tokens`."""

    text_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None

    reasoning_tokens: int | None = None
    """Spent on thinking. Some channels leave it out even where the model thought."""

    accepted_prediction_tokens: int | None = None
    rejected_prediction_tokens: int | None = None


class Cost(Struct, frozen=True, kw_only=True):
    """What one call was charged."""

    amount: float | None = None
    """Charged, in *currency*, after discounts."""

    currency: str | None = None
    """Credits, unless the service names another."""

    list_amount: float | None = None
    """The price before discounts."""


class Usage(Struct, frozen=True, kw_only=True):
    """What a completion used, in tokens."""

    prompt_tokens: int | None = None
    """Tokens of everything sent, cached ones included."""

    completion_tokens: int | None = None
    """Tokens of the answer, reasoning included."""

    total_tokens: int | None = None
    """As the service counts it; the sum of the two in all its samples."""

    prompt_tokens_details: PromptTokensDetails | None = None
    completion_tokens_details: CompletionTokensDetails | None = None

    input_tokens: int | None = None
    """0 on this endpoint even when tokens were used: use `prompt_tokens`."""

    output_tokens: int | None = None
    """0 on this endpoint even when tokens were used: use `completion_tokens`."""

    input_tokens_details: PromptTokensDetails | None = None
    prompt_cache_hit_tokens: int | None = None
    claude_cache_creation_5_m_tokens: int | None = None
    claude_cache_creation_1_h_tokens: int | None = None
    usage_semantic: str | None = None
    usage_source: str | None = None

    cost: Cost | None = None
    """What this call was charged, when the service tells."""
