"""Texts and chats of records as tokens, and which of them are learned: everything, a completion, or the answers.

Without a tokenizer the bytes of UTF-8 are the tokens. A `tokenizer.json` needs the package `tokenizers`, and a chat
template `jinja2`. What is learned is what `modc train` learns, and TRL: a token across the start of an answer belongs
to the answer.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Callable

# Characters that no text has (noncharacters of Unicode): around what a template marks as an answer.
BEGIN, END = "\ufdd0", "\ufdd1"
_MARK = re.compile(r"(\s*)\{%(-?)\s*(end)?generation\s*(-?)%\}(\s*)")
# Tokens that end a text, by the names that vocabularies use.
ENDS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|im_end|>")

Message = dict[str, Any]


@dataclass
class Learned:
    """The tokens of a text, and for each whether it is a target. given: the data has their numbers."""

    tokens: list[int]
    learned: list[bool]
    given: bool = False


class Bytes:
    """The bytes of a text are its tokens; byte 0 ends it."""

    end: int | None = 0

    def encode(self, text: str, specials: bool) -> list[int]:
        return list(text.encode())

    def bytes_of(self, tokens: list[int]) -> int:
        return len(tokens)


class Vocabulary:
    """A tokenizer.json, with the special tokens of the tokenizer_config.json beside it."""

    def __init__(self, path: Path) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError:
            told = "needs the package tokenizers: pip install tokenizers, or give token numbers in the data"
            raise ValueError(f"{path} {told}") from None
        self._tokenizer = Tokenizer.from_file(str(path))
        self.specials = _config_of(path)
        names = (self.specials.get("eos_token"), *ENDS)
        ids = (self._tokenizer.token_to_id(name) for name in names if isinstance(name, str))
        self.end: int | None = next((number for number in ids if number is not None), None)

    def encode(self, text: str, specials: bool) -> list[int]:
        """specials: whether to add those that the tokenizer puts around a text, such as a first one."""
        return self._tokenizer.encode(text, add_special_tokens=specials).ids

    def bytes_of(self, tokens: list[int]) -> int:
        return len(self._tokenizer.decode(tokens, skip_special_tokens=False).encode())


def _config_of(tokenizer: Path) -> dict[str, Any]:
    """The settings beside a tokenizer.json: special tokens by name, as text, and the chat template."""
    path = tokenizer.with_name("tokenizer_config.json")
    given = json.loads(path.read_text()) if path.exists() else {}
    found = {name: value["content"] if isinstance(value, dict) else value for name, value in given.items()
             if name.endswith("_token") and isinstance(value, (dict, str))}  # fmt: skip
    template = given.get("chat_template")
    if isinstance(template, list):  # several by name
        template = next((entry["template"] for entry in template if entry.get("name") == "default"), None)
    beside = tokenizer.with_name("chat_template.jinja")
    found["chat_template"] = beside.read_text() if beside.exists() else template
    return found


def template_of(text: str, specials: dict[str, Any]) -> Callable[[list[Message], bool], str]:
    """A chat template as transformers renders it: messages, and whether the beginning of an answer follows."""
    try:
        from jinja2 import TemplateError
        from jinja2.ext import loopcontrols
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError:
        told = "a chat template needs the package jinja2: pip install jinja2"
        raise ValueError(f"{told}, or give prompts and completions as texts") from None

    def refuse(message: str) -> str:
        raise ValueError(f"the chat template refuses the messages: {message}")

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = lambda x, indent=None, **_: json.dumps(x, ensure_ascii=False, indent=indent)
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    try:
        template = environment.from_string(text)
    except TemplateError as fault:
        raise ValueError(f"the chat template is none of Jinja: {fault}") from fault
    tokens = {name: value for name, value in specials.items() if name != "chat_template"}

    def write(messages: list[Message], opens: bool) -> str:
        try:
            return template.render(messages=messages, add_generation_prompt=opens, **tokens)
        except TemplateError as fault:
            raise ValueError(f"the chat template cannot write the messages: {fault}") from fault

    return write


def marked(text: str) -> str | None:
    """A template that writes marks around each {% generation %} block; None: it has none.

    Blanks around the tags are kept or cut as Jinja does with trim_blocks and lstrip_blocks.
    """

    def mark(found: re.Match[str]) -> str:
        before, cut_before, end, cut_after, behind = found.groups()
        kept = re.sub(r"\n[ \t]*$", "\n", before) if cut_before == "" else ""
        then = re.sub(r"^\n", "", behind) if cut_after == "" else ""
        return f'{kept}{{{{ "{BEGIN if end is None else END}" }}}}{then}'

    return _MARK.sub(mark, text) if _MARK.search(text) else None


def _unmarked(text: str) -> tuple[str, list[tuple[int, int]]]:
    """A text without its marks, and the spans between them."""
    spans, plain, begin = [], "", 0
    for part in re.split(f"([{BEGIN}{END}])", text):
        if part == BEGIN:
            begin = len(plain)
        elif part == END:
            spans.append((begin, len(plain)))
        else:
            plain += part
    return plain, spans


def _common(a: list[int], b: list[int]) -> int:
    """How many tokens two lists share from their beginnings."""
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


class Writer:
    """Writes texts, completions and chats as tokens.

    learn_all: whether prompts are learned too.
    """

    def __init__(self, tokenizer: Path | None, chat_template: Path | None, learn_all: bool) -> None:
        self.vocabulary = Bytes() if tokenizer is None else Vocabulary(tokenizer)
        specials = self.vocabulary.specials if isinstance(self.vocabulary, Vocabulary) else {}
        self.template: str | None = chat_template.read_text() if chat_template else specials.get("chat_template")
        self.learn_all, self._specials = learn_all, specials
        self._write: Callable[[list[Message], bool], str] | None = None
        self._marks = False  # whether the template says what answers are

    def _spanned(self, text: str, spans: list[tuple[int, int]], specials: bool) -> Learned:
        tokens = self.vocabulary.encode(text, specials)
        learned = [self.learn_all] * len(tokens)
        for begin, end in [] if self.learn_all else spans:
            first = 0 if begin == 0 else _common(self.vocabulary.encode(text[:begin], specials), tokens)
            last = len(tokens) if end == len(text) else _common(self.vocabulary.encode(text[:end], specials), tokens)
            learned[first:last] = [True] * max(0, last - first)
        return Learned(tokens, learned)

    def _ended(self, text: Learned) -> Learned:
        """The text with the token that ends texts, which is learned if the token before it is."""
        end = self.vocabulary.end
        if end is None or text.tokens[-1:] == [end]:
            return text
        return Learned([*text.tokens, end], [*text.learned, text.learned[-1] if text.learned else True])

    def text(self, text: str) -> Learned:
        return self._ended(self._spanned(text, [(0, len(text))], True))

    def completion(self, prompt: str, completion: str) -> Learned:
        text = prompt + completion
        return self._ended(self._spanned(text, [(len(prompt), len(text))], True))

    def messages(self, messages: list[Message], start: int) -> Learned:
        """A chat, of which the answers from message `start` on are learned.

        A template that marks answers says what they are; otherwise an answer is what the template adds to the messages
        before it, behind the opening of an answer.
        """
        if self._write is None:
            if self.template is None:
                raise ValueError("messages need a chat template, and there is none: choose one with --chat-template")
            marks = marked(self.template)
            self._write, self._marks = template_of(marks or self.template, self._specials), marks is not None
        if self._marks:
            if any(mark in message["content"] for message in messages for mark in (BEGIN, END)):
                raise ValueError("a message contains U+FDD0 or U+FDD1, which are no characters")
            before = 0 if start == 0 else len(_unmarked(self._write(messages[:start], True))[0])
            text, spans = _unmarked(self._write(messages, False))
            return self._spanned(text, [span for span in spans if span[0] >= before], False)
        text = self._write(messages, False)
        spans = [self._answer(messages, i, text) for i in range(start, len(messages))
                 if messages[i]["role"] == "assistant"]  # fmt: skip
        if not spans and not self.learn_all:
            told = 'an answer is a message of the role "assistant"; --learn all learns every message'
            raise ValueError(f"the messages have no answer to learn: {told}")
        return self._spanned(text, spans, False)

    def _answer(self, messages: list[Message], i: int, text: str) -> tuple[int, int]:
        """The characters of the answer that message i is."""
        told = "choose a template that marks answers with {% generation %}, or learn everything: --learn all"
        behind = text if i == len(messages) - 1 else self._write(messages[: i + 1], False)
        if not text.startswith(behind):
            raise ValueError(f"the chat template writes message {i}, but changes it when more messages follow: {told}")
        befores = [""] if i == 0 else [self._write(messages[:i], opens) for opens in (True, False)]
        before = next((b for b in befores if behind.startswith(b)), None)
        if before is None:
            raise ValueError(f"the chat template writes message {i}, but changes the messages before it: {told}")
        return len(before), len(behind)
