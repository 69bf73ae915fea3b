"""Windows of a file of tokens, in the order in which `modc train` reads them.

The tokens lie side by side in the file, each 1, 2 or 4 bytes, little-endian: a file of `modc train`
(`<run>/.cache/tokens-*.bin`), a text whose bytes are the model's tokens, or any other such file.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

_WORDS = {1: "B", 2: "H", 4: "I"}
# Of data beyond so many pieces of so many bytes the digest is of that many, evenly apart.
_PIECES, _PIECE = 256, 1 << 20


# First bytes of files that hold no tokens; with the short ones a file of wide tokens may begin too.
_KINDS = {
    b"PAR1": "a Parquet file", b"ARROW1": "an Arrow file", b"GGUF": "a GGUF file", b"\x93NUMPY": "a NumPy array",
    b"PK\x03\x04": "a zip file, as torch.save writes", b"%PDF-": "a PDF file", b"\x89HDF": "an HDF5 file",
    b"\x28\xb5\x2f\xfd": "a zstd file", b"\xfd7zXZ": "an xz file", b"\x7fELF": "a program",
    b"SQLite format 3": "an SQLite database", b"\x89PNG": "an image",
}  # fmt: skip
_SHORT_KINDS = {
    b"\x1f\x8b": "a gzip file", b"BZh": "a bzip2 file", b"\xff\xfe": "UTF-16 text", b"\xfe\xff": "UTF-16 text",
    b"\x80\x02": "a Python pickle", b"\x80\x04": "a Python pickle", b"\xff\xd8\xff": "an image",
}  # fmt: skip
_TOLD = 4096  # bytes by which a text is told from tokens
MADE = (
    "modc train makes a file of tokens from a text, beside it a .json: modc train MODEL --data TEXT --tokenizer "
    "tokenizer.json --steps 1 -o run, then --data run/.cache/tokens-*.bin here"
)


def _expect_tokens(path: Path, width: int | None, vocabulary: int | None) -> None:
    """Refuses what holds no tokens, or a text whose bytes are not the model's; width: of a token, where it is given."""
    with open(path, "rb") as file:
        begin = file.read(_TOLD)
    kinds = _KINDS if (width or 1) > 1 else _KINDS | _SHORT_KINDS
    kind = next((kind for start, kind in kinds.items() if begin.startswith(start)), None)
    if begin[6:9] == b"\0\0{":
        kind = "a safetensors file"
    if kind is not None:
        raise ValueError(f"{path} is {kind}, and no file of tokens; {MADE}")
    is_text = _is_text(begin)
    if is_text and (width or 1) > 1:
        raise ValueError(f"{path} is a text, and no file of tokens of {width} bytes each; {MADE}")
    if width is None and vocabulary is not None and vocabulary > 256:
        if is_text:
            raise ValueError(f"{path} is a text, whose bytes are not the {vocabulary} tokens of the model; {MADE}")
        raise ValueError(f"no {path.name}.json beside {path} says how many bytes a token has: give --width")


def _is_text(begin: bytes) -> bool:
    """Whether bytes are UTF-8 without control characters other than white space, and enough of it to tell."""
    text = begin.decode(errors="replace").rstrip("\ufffd")  # a character may go on behind them
    return len(text) >= 64 and all((c.isprintable() and c != "\ufffd") or c in "\t\n\r\f" for c in text)


class Tokens:
    """A file of tokens. It is mapped, so that no process holds it whole."""

    def __init__(
        self, path: str | Path, width: int | None = None, separator: int | None = None, vocabulary: int | None = None
    ) -> None:
        self.path = path = Path(path)
        about = path.with_name(path.name + ".json")
        told = json.loads(about.read_text()) if about.exists() else {}
        size = path.stat().st_size
        if size > 0 and not told.get("tokens"):
            _expect_tokens(path, width, vocabulary)
        if width is None:
            width = size // told["tokens"] if told.get("tokens") else 1
        if width not in _WORDS or size == 0 or size % width != 0:
            raise ValueError(f"{path} has {size} bytes: no tokens of {width} bytes each")
        with open(path, "rb") as file:
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._words = memoryview(self._data).cast(_WORDS[width])
        self.width, self.separator = width, separator
        self.bytes_per_token = told["bytes"] / told["tokens"] if told.get("tokens") else float(width)

    @cached_property
    def described(self) -> dict[str, str | int | None]:
        """What tells this data from other, and where it is."""
        size, digest = len(self._data), hashlib.sha256()
        pieces = min(_PIECES, -(-size // _PIECE))
        for i in range(pieces):
            at = i * max(0, size - _PIECE) // max(1, pieces - 1)
            digest.update(self._data[at : at + _PIECE])
        about = {"path": str(self.path.resolve()), "tokens": len(self), "width": self.width}
        return {**about, "separator": self.separator, "digest": digest.hexdigest()}

    def __len__(self) -> int:
        return len(self._words)

    def __getitem__(self, at: slice) -> Tensor:
        return torch.tensor(self._words[at].tolist(), dtype=torch.int64)


@dataclass(frozen=True)
class Position:
    """Where the data goes on: with the seed it says what every later step reads."""

    epoch: int = 0
    window: int = 0


@dataclass(frozen=True)
class Windows:
    """The windows that training reads; the last share of the tokens is held out."""

    tokens: int
    context: int
    seed: int
    held_out: float

    def __post_init__(self) -> None:
        if self.boundary < self.context + 1:
            raise ValueError(f"{self.tokens} tokens hold no window of {self.context} and its last target")

    @property
    def boundary(self) -> int:
        """The first token that is held out."""
        if self.held_out == 0:
            return self.tokens
        return self.tokens - max(self.context + 1, int(self.tokens * self.held_out))

    def next(self, position: Position, rows: int) -> tuple[list[int], Position]:
        """Offsets of the next windows. An epoch reads each of its windows once."""
        offsets = []
        epoch, window = position.epoch, position.window
        while len(offsets) < rows:
            first, windows = self._epoch(epoch)
            if window >= windows:
                epoch, window = epoch + 1, 0
                continue
            offsets.append(first + self.context * permuted(window, windows, self.seed, epoch))
            window += 1
        return offsets, Position(epoch, window)

    def _epoch(self, epoch: int) -> tuple[int, int]:
        """Each epoch cuts elsewhere: the offset of its first window, and how many there are."""
        slack = min(self.context, self.boundary - self.context)
        first = _draw(self.seed, epoch, 1, 0, 0) % slack if slack > 0 else 0
        return first, (self.boundary - 1 - first) // self.context

    def length(self, at: int) -> int:
        """The tokens of the window there, each of which has a next: fewer at the end of the data."""
        return min(self.context, self.tokens - 1 - at)

    def validation(self, most: int) -> list[int]:
        """Offsets of windows of what is held out, evenly apart, or of all where `most` is 0; the last may be short."""
        offsets = range(self.boundary, self.tokens - 1, self.context)
        if most != 0 and len(offsets) > most:
            return [offsets[i * len(offsets) // most] for i in range(most)]
        return list(offsets)


def batch_of(tokens: Tokens, offsets: list[int], context: int, signed: bool) -> tuple[Tensor, Tensor]:
    """Tokens and the next of each, i64[rows, context]; where a target may be -1, the end of a document has none.

    Behind the end of the data are zeros.
    """
    own = [tokens[at : at + context + 1] for at in offsets]
    rows = torch.stack([F.pad(window, (0, context + 1 - len(window))) for window in own])
    given, targets = rows[:, :-1], rows[:, 1:]
    if signed and tokens.separator is not None:
        targets = targets.masked_fill(given == tokens.separator, -1)
    return given, targets


def permuted(i: int, n: int, seed: int, epoch: int) -> int:
    """Element i of a random permutation of 0 ... n - 1: a Feistel network, walked until it is below n."""
    bits = 1
    while 4**bits < n:
        bits += 1
    half = 2**bits
    x = i
    while True:
        high, low = divmod(x, half)
        for turn in range(6):
            high, low = low, high ^ (_draw(seed, epoch, 0, low, turn) % half)
        x = high * half + low
        if x < n:
            return x


def _draw(seed: int, epoch: int, use: int, a: int, b: int) -> int:
    return _philox((a, epoch, use * 16 + b, 0), (seed, 0x64617461))


def _philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> int:
    """The first word of Philox4x32-10 (Salmon et al. 2011)."""
    mask = 0xFFFFFFFF
    a, b, c, d = (word & mask for word in counter)
    k0, k1 = (word & mask for word in key)
    for _ in range(10):
        first, second = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (second >> 32) ^ b ^ k0, second & mask, (first >> 32) ^ d ^ k1, first & mask
        k0, k1 = (k0 + 0x9E3779B9) & mask, (k1 + 0xBB67AE85) & mask
    return a
