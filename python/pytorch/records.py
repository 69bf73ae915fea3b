"""Rows of JSONL or Parquet as the inputs of the objective: a column for each, in the order in which `modc train` reads.

Records are encoded when a run begins, and stay in memory. What fills an input, and what is learned, is what
`modc train` says in its documentation of records.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from modc_files import read_safetensors
from texts import Learned, Message, Writer

SUFFIXES = (".jsonl", ".ndjson", ".parquet")


@dataclass(frozen=True)
class Input:
    """An input of the objective, by the name of its column and of its argument.

    kind: "tokens"; "targets", the token after each of the input `of`; "document", the number of the record in its row;
    "along", values for each token; "record", values for each record. dtype and shape: of a value of the last two.
    axis: the sequence axis, but of "record".
    """

    kind: str
    column: str
    name: str
    of: str = ""
    axis: str = ""
    dtype: str = "u32"
    shape: tuple[int, ...] = ()


# What the export knows of the model: the inputs of the objective, in order, or why records cannot fill them.
RECORD_INPUTS: tuple[Input, ...] = ()
NO_RECORDS: str | None = None
# The sequence axes of these inputs, and the most tokens along each.
RECORD_AXES: dict[str, int | None] = {}

_LIMITS = {"u32": (0, 2**32 - 1), "i32": (-(2**31), 2**31 - 1)}
_LARGEST = 3.4028235677973366e38  # what rounds to a finite f32 is below


@dataclass(frozen=True)
class Reading:
    """How rows are read: the options of a run."""

    context: int  # tokens at which each sequence of a record is cut
    tokenizer: str | None = None
    field: str = "text"
    chat_template: str | None = None
    labels: tuple[tuple[str, tuple[str, ...]], ...] = ()
    learn: str = "answers"
    pack: bool = False


@dataclass
class Record:
    """A record: its tokens by axis, its values by argument, how many targets it has, and the bytes of their text."""

    lengths: dict[str, int]
    values: dict[str, Tensor]
    targets: int
    bytes: int | None

    @property
    def length(self) -> int:
        """Tokens along all axes; one without an axis counts as one."""
        return sum(self.lengths.values()) if self.lengths else 1


def rows_of(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each row of a file, and its place for messages."""
    if path.suffix == ".parquet":
        try:
            import pyarrow.parquet as parquet
        except ImportError:
            raise ValueError(f"{path} needs the package pyarrow: pip install pyarrow, or give JSONL") from None
        number = 0
        for batch in parquet.ParquetFile(path).iter_batches():
            for row in batch.to_pylist():
                number += 1
                yield f"{path}, row {number}", row
        return
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            place = f"{path}:{number}"
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                row = json.loads(text) if text.strip() else None
            except UnicodeDecodeError:
                raise ValueError(f"{place}: the line is not UTF-8") from None
            except json.JSONDecodeError as fault:
                raise ValueError(f"{place}: the line is not JSON at column {fault.colno}: {fault.msg}") from None
            if row is None:
                continue
            if not isinstance(row, dict):
                raise ValueError(f"{place}: the line is not a JSON object")
            yield place, row


class Encoder:
    """Encodes rows as records."""

    def __init__(
        self, inputs: tuple[Input, ...], axes: dict[str, int | None], reading: Reading, folder: Path
    ) -> None:
        self.inputs, self.axes, self.reading, self.folder = inputs, axes, reading, folder
        named = (reading.tokenizer, reading.chat_template)
        paths = [None if path is None else Path(path) for path in named]
        self.writer = Writer(*paths, reading.learn == "all")
        self.texts = [entry for entry in inputs if entry.kind == "tokens"]
        self.labels = dict(reading.labels)
        self.arrays: dict[str, str] = {}  # SHA-256 of the files that rows name

    def __call__(self, row: dict[str, Any]) -> tuple[Record | None, bool]:
        """A record, None where nothing of it is learned; and whether something was cut off. Raises ValueError."""
        texts = {entry.column: self._text(row, entry.column) for entry in self.texts}
        wholes = {axis: self._whole(row, axis, texts) for axis in self.axes}
        lengths = {axis: min(wholes[axis], self.reading.context, most or wholes[axis])
                   for axis, most in self.axes.items()}  # fmt: skip
        values: dict[str, list] = {}
        uncut: dict[str, list[int]] = {}  # the first targets along each axis
        targets = {}
        for entry in self.inputs:
            if entry.kind == "targets":
                own = self._targets(row, entry, texts[entry.of])
                uncut.setdefault(entry.axis, own)
                targets[entry.column] = own[: lengths[entry.axis]]
        counted = sum(target >= 0 for own in targets.values() for target in own)
        if targets and counted == 0:
            return None, False
        for entry in self.inputs:
            if entry.kind == "tokens":
                values[entry.name] = texts[entry.column].tokens[: lengths[entry.axis]]
            elif entry.kind == "targets":
                values[entry.name] = targets[entry.column]
            elif entry.kind == "along":
                values[entry.name] = self._along(row, entry, wholes[entry.axis], uncut.get(entry.axis))
            elif entry.kind == "record":
                values[entry.name] = self._numbers(row, entry)
        tensors = {entry.name: _tensor(entry, values[entry.name], lengths.get(entry.axis, 1)) for entry in self.inputs
                   if entry.kind != "document"}  # fmt: skip
        return Record(lengths, tensors, counted, self._bytes(texts, targets)), wholes != lengths

    def _text(self, row: dict[str, Any], column: str) -> Learned:
        """The text of an input: the column of its name, or one of the usual forms if it is the only such input."""
        own, prompt = row.get(column), row.get("prompt")
        if isinstance(own, str):
            return self.writer.completion(prompt, own) if isinstance(prompt, str) else self.writer.text(own)
        if isinstance(own, list) and own and isinstance(own[0], dict):
            before = _messages("prompt", prompt) if isinstance(prompt, list) else []
            alone = len(self.texts) == 1
            start = len(before) or (0 if alone else self._shared(row))
            return self.writer.messages([*before, *_messages(column, own)], start)
        if own is not None:
            tokens = _whole_numbers(column, own, 0, 2**32 - 1)
            if not tokens:
                raise ValueError(f"{column} has no tokens")
            return Learned(tokens, [True] * len(tokens), given=True)
        if len(self.texts) > 1:
            raise _no_column(row, column)
        messages, completion, text = row.get("messages"), row.get("completion"), row.get(self.reading.field)
        if isinstance(messages, list):
            return self.writer.messages(_messages("messages", messages), 0)
        if isinstance(prompt, str) and isinstance(completion, str):
            return self.writer.completion(prompt, completion)
        if isinstance(prompt, list) and isinstance(completion, list):
            before = _messages("prompt", prompt)
            return self.writer.messages([*before, *_messages("completion", completion)], len(before))
        if isinstance(text, str):
            return self.writer.text(text)
        wanted = dict.fromkeys((column, self.reading.field, "messages", "prompt and completion"))
        raise _no_column(row, ", or ".join(wanted))

    def _shared(self, row: dict[str, Any]) -> int:
        """How many messages all chats of a row begin with."""
        chats = [row[entry.column] for entry in self.texts if isinstance(row.get(entry.column), list)]
        return next((i for i, same in enumerate(zip(*chats)) if any(m != same[0] for m in same)), min(map(len, chats)))

    def _whole(self, row: dict[str, Any], axis: str, texts: dict[str, Learned]) -> int:
        """The tokens along an axis before they are cut: those of the longest text, else the most values."""
        own = [entry for entry in self.inputs if entry.axis == axis]
        lengths = [len(texts[entry.column].tokens) for entry in own if entry.kind == "tokens"]
        if not lengths:
            lengths = [len(self._rows(row, entry)) for entry in own if entry.kind == "along"]
        longest = max(lengths, default=0)
        if longest == 0:
            raise ValueError("the record is empty")
        return longest

    @staticmethod
    def _targets(row: dict[str, Any], entry: Input, text: Learned) -> list[int]:
        """The column if there is one, else each next token that is learned; -1 where there is none."""
        own = row.get(entry.column)
        if own is None:
            following = zip(text.tokens[1:], text.learned[1:])
            return [token if learned else -1 for token, learned in following] + [-1]
        values = _whole_numbers(entry.column, own, -1, 2**31 - 1)
        if len(values) != len(text.tokens):
            raise ValueError(f"{entry.column} has {len(values)} values, the text has {len(text.tokens)} tokens")
        return values

    def _rows(self, row: dict[str, Any], entry: Input) -> list:
        """The column of values along a sequence: a list, or that of a file."""
        own = row.get(entry.column)
        if own is None:
            raise _no_column(row, entry.column)
        if isinstance(own, str):
            return self._array(entry, own, (None, *entry.shape))
        if not isinstance(own, list):
            raise ValueError(f"{entry.column} is neither a list of numbers nor a path")
        return own

    def _along(self, row: dict[str, Any], entry: Input, whole: int, targets: list[int] | None) -> list:
        """Values of each token: one for each token of the sequence, or one for each target, placed at its token."""
        own = self._rows(row, entry)
        values = list(_flat(entry, own, (None, *entry.shape)))
        if len(own) == whole:
            return values
        places = [i for i, target in enumerate(targets or []) if target >= 0]
        if targets is None or math.prod(entry.shape) != 1 or len(own) != len(places):
            either = "" if targets is None or math.prod(entry.shape) != 1 else f", {len(places)} of them targets"
            raise ValueError(f"{entry.column} has {len(own)} values, the record has {whole} tokens{either}")
        placed: list = [0] * len(targets)
        for place, value in zip(places, values):
            placed[place] = value
        return placed

    def _numbers(self, row: dict[str, Any], entry: Input) -> list:
        """The numbers of a record, the number of a label, or those of a file in the folder of the data."""
        own = row.get(entry.column)
        if own is None:
            raise _no_column(row, entry.column)
        if not isinstance(own, str):
            return list(_flat(entry, own, entry.shape))
        names = self.labels.get(entry.column)
        if names is not None:
            if own not in names:
                raise ValueError(f"{entry.column} is {own!r}, which is no label: the labels are {', '.join(names)}")
            return list(_flat(entry, names.index(own), entry.shape))
        if entry.shape == ():
            told = f"name the labels: --labels {entry.column}=first,second"
            raise ValueError(f"{entry.column} is {own!r}, which is no number: {told}")
        return list(_flat(entry, self._array(entry, own, entry.shape), entry.shape))

    def _array(self, entry: Input, own: str, shape: tuple[int | None, ...]) -> list:
        """The nested numbers of a file of NumPy or of safetensors. None in a shape is any size."""
        path = (self.folder / own).resolve()
        if path.suffix not in (".npy", ".safetensors") or not path.is_relative_to(self.folder.resolve()):
            told = "neither numbers nor the path of a .npy or .safetensors file in the folder of the data"
            raise ValueError(f"{own!r} is {told}")
        self.arrays[own] = hashlib.sha256(path.read_bytes()).hexdigest()
        if path.suffix == ".npy":
            import numpy

            found = numpy.load(path, allow_pickle=False)
        else:
            found = _tensor_of(path, own, entry.column)
        if len(found.shape) != len(shape) or any(size not in (None, n) for size, n in zip(shape, found.shape)):
            wanted = ", ".join("T" if size is None else str(size) for size in shape)
            raise ValueError(f"{entry.column} has the shape {list(found.shape)} in {own}, the model takes [{wanted}]")
        return found.tolist()

    def _bytes(self, texts: dict[str, Learned], targets: dict[str, list[int]]) -> int | None:
        """Bytes of the text of all targets; None where a text was given as numbers of tokens."""
        if any(texts[entry.of].given for entry in self.inputs if entry.kind == "targets"):
            return None
        own = ([target for target in values if target >= 0] for values in targets.values())
        return sum(map(self.writer.vocabulary.bytes_of, own))


def _tensor_of(path: Path, own: str, column: str) -> Tensor:
    """The only tensor of a file, or the one that is called like the column."""
    tensors = read_safetensors(path)
    key = next(iter(tensors)) if len(tensors) == 1 else column
    if key not in tensors:
        raise ValueError(f"{own} has {len(tensors)} tensors, and none is called {column!r}")
    return tensors[key]


def _no_column(row: dict[str, Any], wanted: str) -> ValueError:
    return ValueError(f"there is no column {wanted}: the columns are {', '.join(row) or 'none'}")


def _messages(column: str, values: list) -> list[Message]:
    for i, message in enumerate(values):
        fields = message if isinstance(message, dict) else {}
        if not all(isinstance(fields.get(name), str) for name in ("role", "content")):
            raise ValueError(f"{column} needs a role and a content in message {i}, both text")
    return values


def _whole_numbers(column: str, values: Any, least: int, most: int) -> list[int]:
    if not isinstance(values, list):
        raise ValueError(f"{column} is neither a text nor a list of whole numbers")
    for number in values:
        if not _is_whole(number) or not least <= number <= most:
            raise ValueError(f"{column} contains {number!r}: it must hold whole numbers from {least}")
    return [int(number) for number in values]


def _is_whole(number: object) -> bool:
    return not isinstance(number, bool) and isinstance(number, (int, float)) and math.isfinite(number) and (
        number == int(number)
    )


def _flat(entry: Input, value: Any, shape: tuple[int | None, ...]) -> Iterator[float]:
    """The numbers of nested lists, the last dimension first. None in a shape is any size."""
    if shape:
        if not isinstance(value, list):
            sizes = ", ".join("T" if size is None else str(size) for size in shape)
            raise ValueError(f"{entry.column} is nested less than the model's [{sizes}]")
        if shape[0] is not None and len(value) != shape[0]:
            raise ValueError(f"{entry.column} has {len(value)} values where the model takes {shape[0]}")
        for each in value:
            yield from _flat(entry, each, shape[1:])
        return
    number = int(value) if isinstance(value, bool) else value
    if not isinstance(number, (int, float)) or not abs(number) < _LARGEST:
        raise ValueError(f"{entry.column} contains {value!r}, which is no number")
    if entry.dtype != "f32":
        least, most = _LIMITS[entry.dtype]
        if not _is_whole(number) or not least <= number <= most:
            raise ValueError(f"{entry.column} contains {number}, which is no {entry.dtype}")
    yield number


def _tensor(entry: Input, values: list, length: int) -> Tensor:
    """Values of a record as a tensor, where they are short padded: with 0, targets with -1."""
    size = math.prod(entry.shape) * (1 if entry.kind == "record" else length)
    fill = -1 if entry.kind == "targets" else 0
    dtype = torch.float32 if entry.kind in ("along", "record") and entry.dtype == "f32" else torch.int64
    flat = torch.tensor((values + [fill] * (size - len(values)))[:size], dtype=dtype)
    return flat.view(entry.shape if entry.kind == "record" else (length, *entry.shape))


class Records:
    """The records of a file that have something to learn."""

    def __init__(self, path: str | Path, reading: Reading, inputs: tuple[Input, ...] = RECORD_INPUTS) -> None:
        self.path, self.reading, self.inputs, self.axes = Path(path), reading, inputs, RECORD_AXES
        self.by_targets = sum(entry.kind == "targets" for entry in inputs) == 1
        self.all: list[Record] = []
        self.cut = self.empty = 0
        encode = Encoder(inputs, self.axes, reading, self.path.parent)
        for place, row in rows_of(self.path):
            try:
                record, cut = encode(row)
            except (ValueError, OSError) as fault:
                raise ValueError(f"{place}: {fault}") from fault
            if record is None:
                self.empty += 1
            else:
                self.all.append(record)
                self.cut += cut
        if not self.all:
            told = f": give a longer --length than {reading.context}, or --learn all" if self.empty else ""
            raise ValueError(f"{self.path} has no record with anything to learn{told}")
        self.digest = self._digest(encode.writer.template, encode.arrays)

    def _digest(self, template: str | None, arrays: dict[str, str]) -> str:
        """Of the file, of the files that its rows name, and of what makes other records of it."""
        digest = hashlib.sha256(self.path.read_bytes())
        if self.reading.tokenizer is not None:
            digest.update(Path(self.reading.tokenizer).read_bytes())
        about = (template, self.reading.field, self.reading.labels, self.reading.learn, self.reading.context)
        digest.update(json.dumps([about, [str(entry) for entry in self.inputs]]).encode())
        if arrays:
            digest.update(json.dumps(sorted(arrays.items())).encode())
        return digest.hexdigest()

    @property
    def bytes_per_token(self) -> float | None:
        """Of the text of targets, where it is known."""
        if not self.by_targets or any(record.bytes is None for record in self.all):
            return None
        return sum(record.bytes or 0 for record in self.all) / sum(record.targets for record in self.all)

    @property
    def largest_token(self) -> int:
        named = {entry.name for entry in self.inputs if entry.kind in ("tokens", "targets")}
        return max((int(record.values[name].max()) for record in self.all for name in named), default=0)

    def batch(self, rows: Iterable[list[int]]) -> dict[str, Tensor]:
        """A row for each list of records, one behind the other.

        Rows are padded to the longest along their axis, with 0, and targets with -1. Lengths along several axes are
        by axis.
        """
        records = [[self.all[number] for number in row] for row in rows]
        lengths = {axis: torch.tensor([sum(record.lengths[axis] for record in row) for row in records])
                   for axis in self.axes}  # fmt: skip
        longest = {axis: int(own.max()) for axis, own in lengths.items()}
        batch: dict[str, Any] = {
            entry.name: self._filled(entry, records, longest.get(entry.axis, 1)) for entry in self.inputs
        }
        ragged = {axis: own for axis, own in lengths.items() if bool((own != longest[axis]).any())}
        if ragged:
            batch["lengths"] = ragged if len(self.axes) > 1 else next(iter(ragged.values()))
        return batch

    @staticmethod
    def _filled(entry: Input, rows: list[list[Record]], longest: int) -> Tensor:
        if entry.kind == "record":
            return torch.stack([row[0].values[entry.name] for row in rows])
        filled = []
        for row in rows:
            if entry.kind == "document":
                parts = [torch.full((record.lengths[entry.axis],), number) for number, record in enumerate(row)]
            else:
                parts = [record.values[entry.name] for record in row]
            whole = torch.cat(parts)
            fill = -1 if entry.kind == "targets" else 0
            rest = whole.new_full((longest - len(whole), *whole.shape[1:]), fill)
            filled.append(torch.cat((whole, rest)))
        return torch.stack(filled)
