"""The data of a run, and the batches that a rank reads: windows of a file of tokens, or records."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data import MADE, Position, Tokens, Windows, batch_of, permuted
from records import NO_RECORDS, RECORD_AXES, RECORD_INPUTS, SUFFIXES, Reading, Records, rows_of
from settings import SettingsError

# What the export knows of the model.
INPUTS: tuple[str, str | None] | None = ("tokens", "targets")  # the inputs that a text fills; None: no text does
SIGNED = False  # whether a target may be -1: none
VOCABULARY: int | None = None  # tokens are below that
LIKELIHOOD = True  # whether the loss is a mean negative log-likelihood of tokens
CONTRAST = False  # whether a loss compares the sequences of a step

_OF_RECORDS = ("tokenizer", "field", "chat_template", "labels", "learn", "pack")
_OF_TEXTS = ("width", "separator")


def tokens_of(options: argparse.Namespace, before: dict | None) -> Tokens:
    """The text of a run; one that goes on reads what it was begun with, wherever that is now."""
    before = before or {}
    path = _path_of(options, before)
    width, separator = options.width or before.get("width"), options.separator
    if separator is not None and not 0 <= separator < (VOCABULARY or math.inf):
        most = "" if VOCABULARY is None else f" to {VOCABULARY - 1}"
        raise SettingsError(f"--separator is {separator}: it is a token, from 0{most}")
    tokens = Tokens(path, width, before.get("separator") if separator is None else separator, VOCABULARY)
    _expect_same(path, tokens.described, before, ("tokens", "width", "separator", "digest"))
    return tokens


def _path_of(options: argparse.Namespace, before: dict) -> str:
    path = options.data or before.get("path")
    if path is None:
        raise ValueError("--data says which tokens are trained on")
    return path


def _expect_same(path: str | Path, described: dict, before: dict, names: tuple[str, ...]) -> None:
    for name in names:
        value = described.get(name)
        if before.get(name, value) != value:
            then = "the run has none" if before[name] is None else f"not {before[name]}"
            told = f"{name} {value}, {then}" if name != "digest" else "other tokens"
            raise ValueError(f"{path} has {told}: it is not the data that the run was begun with")


class TextData:
    """Windows of a file of tokens."""

    counts = None  # evaluation weighs batches by what their losses count
    notes: tuple[str, ...] = ()

    def __init__(self, tokens: Tokens, s: dict, share: int = 0, shares: int = 1) -> None:
        self.tokens, self.length, self.share, self.shares = tokens, s["length"], share, shares
        self.windows = Windows(len(tokens), s["length"], s["seed"], s["validation"])
        self.described: dict[str, Any] = tokens.described
        self.bytes_per_token: float | None = tokens.bytes_per_token if LIKELIHOOD else None

    def next(self, position: Position, rows: int) -> tuple[list[int], Position]:
        return self.windows.next(position, rows)

    def validation(self, most: int) -> list[int]:
        return self.windows.validation(most)

    def tokens_in(self, offsets: list[int]) -> int:
        return sum(map(self.windows.length, offsets))

    def batch(self, offsets: list[int]) -> dict[str, Tensor]:
        """This rank's share of some windows; sequences without tokens fill shares up where they are not even."""
        rows = math.ceil(len(offsets) / self.shares)
        own = offsets[self.share * rows : (self.share + 1) * rows]
        lengths = torch.tensor([self.windows.length(at) for at in own] + [0] * (rows - len(own)))
        own = own + offsets[:1] * (rows - len(own))
        given = batch_of(self.tokens, own, self.length, SIGNED)
        if VOCABULARY is not None and own and (largest := int(given[0].max())) >= VOCABULARY:
            raise ValueError(f"the data has the token {largest}, the model knows those below {VOCABULARY}")
        named = {name: x for name, x in zip(INPUTS or (), given) if name is not None}
        if rows * self.shares > len(offsets) or any(self.windows.length(at) < self.length for at in offsets):
            named["lengths"] = lengths
        return named


class RecordData:
    """Records, each a row of its own, or with --pack several to a row. A window of a position is a record here."""

    def __init__(self, records: Records, s: dict, share: int = 0, shares: int = 1) -> None:
        self.records, self.seed, self.context, self.pack = records, s["seed"], s["length"], records.reading.pack
        self.share, self.shares = share, shares
        count = len(records.all)
        self.held_out = 0 if s["validation"] == 0 else max(1, int(count * s["validation"]))
        self.training = count - self.held_out
        if self.training < 1:
            raise ValueError(f"{records.path} has one record, which cannot be held out and trained on: --validation 0")
        if VOCABULARY is not None and records.largest_token >= VOCABULARY:
            largest = records.largest_token
            raise ValueError(f"the data has the token {largest}, the model knows those below {VOCABULARY}")
        self.counts = "targets" if records.by_targets else "records"
        self.bytes_per_token = records.bytes_per_token if LIKELIHOOD else None
        about = {"path": str(records.path.resolve()), "records": count, "reading": vars(records.reading)}
        self.described: dict[str, Any] = {**about, "digest": records.digest}
        of = f"of {count + records.empty} records"
        cut = f"{records.cut} {of} are longer than {self.context} tokens and were cut"
        empty = f"{records.empty} {of} have nothing to learn within {self.context} tokens and were left out"
        uneven = f"{self.held_out % shares} {of} are held out and not evaluated: {shares} ranks have equal shares"
        noted = ((records.cut, cut), (records.empty, empty), (self.held_out % shares, uneven))
        self.notes = tuple(text for number, text in noted if number > 0)

    def next(self, position: Position, rows: int) -> tuple[list[list[int]], Position]:
        """The records of the next rows. An epoch reads each record once."""
        batch = []
        for _ in range(rows):
            row, position = self._row(position)
            batch.append(row)
        return batch, position

    def _row(self, position: Position) -> tuple[list[int], Position]:
        epoch, at = position.epoch, position.window + 1
        row = [permuted(position.window, self.training, self.seed, epoch)]
        length = self.records.all[row[0]].length
        while self.pack and at < self.training:
            another = permuted(at, self.training, self.seed, epoch)
            length += self.records.all[another].length
            if length > self.context:
                break
            row.append(another)
            at += 1
        return row, Position(epoch, at) if at < self.training else Position(epoch + 1, 0)

    def validation(self, most: int) -> list[list[int]]:
        """The records that are held out, evenly apart, or all where `most` is 0; as many for each rank."""
        held = range(self.training, self.training + self.held_out)
        chosen = held if most == 0 or len(held) <= most else [held[i * len(held) // most] for i in range(most)]
        return [[record] for record in chosen[: len(chosen) - len(chosen) % self.shares]]

    def tokens_in(self, rows: list[list[int]]) -> int:
        return sum(self.records.all[record].length for row in rows for record in row)

    def batch(self, rows: list[list[int]]) -> dict[str, Tensor]:
        """This rank's share of some rows."""
        own = len(rows) // self.shares
        return self.records.batch(rows[self.share * own : (self.share + 1) * own])


def open_data(options: argparse.Namespace, before: dict | None, s: dict) -> Tokens | Records:
    """The data of a run; one that goes on reads what it was begun with, wherever that is now."""
    before = before or {}
    path = Path(_path_of(options, before))
    if path.suffix not in SUFFIXES:
        if INPUTS is None:
            raise ValueError(f"{path} is a text, and the objective takes records: give JSONL or Parquet with a column "
                             f"for each input, {', '.join(entry.column for entry in RECORD_INPUTS)}")  # fmt: skip
        _expect_none(options, _OF_RECORDS, f"{path} is no file of records")
        return tokens_of(options, before)
    if NO_RECORDS is not None:
        raise ValueError(f"records cannot fill the objective: {NO_RECORDS}")
    _expect_none(options, _OF_TEXTS, f"{path} has records")
    reading = _reading(options, before.get("reading", {}), s)
    if INPUTS is not None and not reading.pack:
        _expect_no_documents(path, reading.field)
    records = Records(path, reading, RECORD_INPUTS)
    _expect_same(path, {"records": len(records.all), "digest": records.digest}, before, ("records", "digest"))
    return records


def _expect_none(options: argparse.Namespace, names: tuple[str, ...], told: str) -> None:
    for name in names:
        if getattr(options, name) not in (None, []) and getattr(options, name) is not False:
            raise SettingsError(f"--{name.replace('_', '-')} has no effect: {told}")


def _reading(options: argparse.Namespace, before: dict, s: dict) -> Reading:
    """How records are read, where nothing is said as the run was begun."""
    labels = tuple((name, tuple(names)) for name, names in before.get("labels", ()))
    if options.labels:
        labels = tuple(_label(text) for text in options.labels)
    for name, _ in labels:
        if not any(entry.column == name and entry.kind == "record" for entry in RECORD_INPUTS):
            raise SettingsError(f"--labels names {name}, which is no input with one value for each record")
    usual = {**vars(Reading(s["length"])), **before}
    given = {name: getattr(options, name) or usual[name] for name in _OF_RECORDS if name != "labels"}
    single = next((entry.column for entry in RECORD_INPUTS if entry.kind == "record"), None)
    if given["pack"] and single is not None:
        raise SettingsError(f"records cannot be packed: {single} has one value for each row; leave out --pack")
    texts = [entry.column for entry in RECORD_INPUTS if entry.kind == "tokens"]
    if given["pack"] and (len(texts) > 1 or len(RECORD_AXES) > 1):
        told = f"each has several texts, {' and '.join(texts)}" if len(texts) > 1 else "they have several sequence axes"
        raise SettingsError(f"records cannot be packed: {told}; leave out --pack")
    if CONTRAST:
        _expect_comparable(given["pack"], s)
    return Reading(context=s["length"], labels=labels, **given)


def _label(text: str) -> tuple[str, tuple[str, ...]]:
    name, equal, names = text.partition("=")
    if not equal or not names:
        raise SettingsError(f"--labels is {text}: write an input and its classes, such as labels=ham,spam")
    return name.strip(), tuple(each.strip() for each in names.split(","))


def _expect_comparable(pack: bool, s: dict) -> None:
    for wrong, told in (
        (s["accumulate"] > 1, f"--accumulate is {s['accumulate']}"),
        (s["batch"] == 1, "--batch is 1"),
        (pack, "records are packed"),
    ):
        if wrong:
            raise SettingsError(f"{told}, but a loss compares all records of a step with each other, each in its row")


def _expect_no_documents(path: Path, field: str) -> None:
    """Refuses rows that are the documents of a text, as `modc train` reads them."""
    for _, row in rows_of(path):
        if isinstance(row.get(field), str) and "targets" not in row:
            raise ValueError(f"{path} is a text, of which each line has a document in {field}; {MADE}")
        return
