"""What a model may answer, and what it did answer, read strictly; untrusted text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from varve.lazy import lazy

if TYPE_CHECKING:
    from varve.finllm.replies.decide import (
        CONFIDENCE_STEP,
        DECIDE,
        DecideReply,
        ToolRequests,
        decide_tool_schema,
        finish_reason,
        function_schema,
        parse_reply,
        reask_messages,
    )
    from varve.finllm.replies.forms import (
        Choice,
        DecideForm,
        Each,
        ExplainForm,
        Filled,
        Form,
        Label,
        ReplyForm,
        Text,
    )
    from varve.finllm.replies.untrusted import CHARACTERS_PER_TOKEN, clean, section

_HOMES = {
    "CHARACTERS_PER_TOKEN": "untrusted",
    "CONFIDENCE_STEP": "decide",
    "Choice": "forms",
    "DECIDE": "decide",
    "DecideForm": "forms",
    "DecideReply": "decide",
    "Each": "forms",
    "ExplainForm": "forms",
    "Filled": "forms",
    "Form": "forms",
    "Label": "forms",
    "ReplyForm": "forms",
    "Text": "forms",
    "ToolRequests": "decide",
    "clean": "untrusted",
    "decide_tool_schema": "decide",
    "finish_reason": "decide",
    "function_schema": "decide",
    "parse_reply": "decide",
    "reask_messages": "decide",
    "section": "untrusted",
}

__all__ = [
    "CHARACTERS_PER_TOKEN",
    "CONFIDENCE_STEP",
    "DECIDE",
    "Choice",
    "DecideForm",
    "DecideReply",
    "Each",
    "ExplainForm",
    "Filled",
    "Form",
    "Label",
    "ReplyForm",
    "Text",
    "ToolRequests",
    "clean",
    "decide_tool_schema",
    "finish_reason",
    "function_schema",
    "parse_reply",
    "reask_messages",
    "section",
]


__getattr__ = lazy(__name__, _HOMES)
