"""Arithmetic for a language model: numbers in, a number out, and nothing else can be said in it."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable

from varve.agents.tools import BadArgumentsError

MAX_CHARACTERS = 200

_BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: math.pow,
}
_SIGNS: dict[type[ast.unaryop], Callable[[float], float]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_FUNCTIONS: dict[str, Callable[..., float]] = {
    "abs": abs,
    "min": min,
    "max": max,
    "round": round,
    "floor": math.floor,
    "sqrt": math.sqrt,
    "log": math.log,
    "exp": math.exp,
}


def calculate(expression: str) -> str:
    """``expression = value``, with 12 digits.

    Raises:
        BadArgumentsError: for anything but arithmetic on finite numbers, with a finite result.
    """
    text = " ".join(expression.split())
    if not text or len(text) > MAX_CHARACTERS:
        raise BadArgumentsError(f"expression must have 1 to {MAX_CHARACTERS} characters; given {len(text)}")
    try:
        value = float(_value(ast.parse(text, mode="eval").body))
    except (SyntaxError, ValueError, ArithmeticError, RecursionError, MemoryError, TypeError) as error:
        raise BadArgumentsError(f"{text!r} cannot be calculated: {error}") from error
    if not math.isfinite(value):
        raise BadArgumentsError(f"{text!r} is no finite number")
    return f"{text} = {value:.12g}"


def _value(node: ast.AST) -> float:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return float(value)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _BINARY[type(op)](_value(left), _value(right))
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _SIGNS:
            return _SIGNS[type(op)](_value(operand))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
            return _FUNCTIONS[name](*(_given(name, place, one) for place, one in enumerate(arguments)))
    raise ValueError(f"only numbers, + - * / // % ** and {', '.join(_FUNCTIONS)} are known")


def _given(name: str, place: int, node: ast.AST) -> float:
    value = _value(node)
    # round(x, 2) takes its places as a whole number.
    return int(value) if name == "round" and place == 1 else value
