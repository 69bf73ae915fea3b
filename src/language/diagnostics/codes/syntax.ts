// Diagnostics of the lexer and the parser.
import { code } from "./define.js";

export const syntaxCodes = {
  "source-too-large": code<{
    readonly what: "characters" | "words and signs";
    readonly count: number;
    readonly limit: number;
  }>({
    severity: "error",
    message: (d) => `the file has ${d.count} ${d.what}, more than the limit of ${d.limit}`,
    hint: () => "move parts to other files and `import` them; weights belong in a safetensors file",
    explain: `A source file may have at most 4 MiB of text, and at most one and a half million words and signs. A
model written by hand has a few kilobytes; a larger file is usually data passed by mistake, such as
a checkpoint. Long lists of layers are written as comprehensions:

  layers: [for i in 0..depth: Residual(Layer(dim, heads))]`,
  }),
  "not-text": code<{ readonly what: string }>({
    severity: "error",
    message: (d) => `the file is not text: it contains ${d.what}`,
    hint: () => "save it as UTF-8; in a string, such a character can be written as an escape like `\\u{fffd}`",
    explain: `Sources are UTF-8. A byte-order mark and Windows line ends are accepted; a NUL character, half a
surrogate pair, and bytes that do not decode are not: they mean that the file is not text, or was
saved in another encoding.`,
  }),
  "unknown-character": code<{ readonly shown: string; readonly hint: string | null }>({
    severity: "error",
    message: (d) => `the character ${d.shown} has no meaning here`,
    hint: (d) => d.hint,
    explain: `Outside of strings and comments a source consists of ASCII letters, digits, \`_\`, the operators of
the language, brackets, blanks and line ends. Names cannot contain other letters. Characters that
merely look alike (a no-break space, a long dash, curly quotes) often come with text copied from a
page.`,
  }),
  "unterminated-string": code<{ readonly quote: string }>({
    severity: "error",
    message: () => "the string does not end on its line",
    hint: (d) =>
      `close it with ${d.quote === "'" ? '`"`' : "`" + d.quote + "`"}; a line break inside a string is written \`\\n\``,
    explain: `A string begins and ends with \`"\` on one line. Inside it, \`\\"\` is a quote, \`\\\\\` a backslash,
\`\\n\` a line break, \`\\t\` a tab and \`\\u{1f600}\` any character by its number.`,
  }),
  "bad-escape": code<{ readonly escape: string }>({
    severity: "error",
    message: (d) => `${d.escape} is not an escape`,
    hint: () => 'the escapes are `\\"`, `\\\\`, `\\n`, `\\t` and `\\u{…}` with one to six hexadecimal digits',
    explain: `In a string a backslash begins an escape: \`\\"\`, \`\\\\\`, \`\\n\`, \`\\t\`, or \`\\u{…}\` with the
number of a Unicode character in hexadecimal (not above 10ffff, and not half of a surrogate pair).
A backslash itself is written \`\\\\\`.`,
  }),
  "single-quotes": code<Record<never, never>>({
    severity: "error",
    message: () => "this string is in single quotes",
    hint: () => 'write it in double quotes: `"sigmoid"`',
    explain: `A string is written \`"text"\`, in double quotes and on one line.`,
  }),
  "foreign-comment": code<{ readonly found: string }>({
    severity: "error",
    message: (d) => `\`${d.found}\` does not begin a comment`,
    hint: () => "begin it with `//`; a comment continues to the end of the line",
    explain: `A comment is \`//\` and the rest of its line. Three slashes, \`///\`, directly above a declaration, a
parameter or a member make it documentation. There are no comments that span lines, and \`#\` has no
meaning.`,
  }),
  "foreign-operator": code<{ readonly found: string; readonly advice: string }>({
    severity: "error",
    message: (d) => `\`${d.found}\` is not an operator of the language`,
    hint: (d) => d.advice,
    explain: `The operators are \`+ - * / % ^ @\`, the comparisons \`== != < <= > >=\`, and the words \`and or not\`.
\`^\` is the power, \`@\` the matrix product, \`%\` the remainder unless it directly follows a number,
which it makes a ratio: \`12.5%\`. No assignment also computes: write \`x = x + y\`.`,
  }),
  "malformed-number": code<{ readonly text: string; readonly advice: string }>({
    severity: "error",
    message: (d) => `\`${d.text}\` is not a number`,
    hint: (d) => d.advice,
    explain: `A number is digits, with an optional fraction and an optional exponent: \`12\`, \`0.125\`, \`1e-5\`,
\`2.5e3\`. There are digits on both sides of the point, so \`1.\` and \`.5\` are written \`1.0\` and
\`0.5\`. Digits are not grouped by \`_\`, and numbers are decimal. Directly followed by \`%\` it is a
ratio: \`12.5%\` is exactly one eighth.`,
  }),
  "number-too-long": code<{ readonly digits: number; readonly limit: number }>({
    severity: "error",
    message: (d) => `the number has ${d.digits} digits, more than the limit of ${d.limit}`,
    hint: () => "shorten it: no size or constant of a model needs more",
    explain: `Compile-time numbers are exact at any size. To keep this cheap a literal has at most 400 digits; an
exponent counts by its zeros.`,
  }),
  "name-too-long": code<{ readonly length: number; readonly limit: number }>({
    severity: "error",
    message: (d) => `the name has ${d.length} letters, more than the limit of ${d.limit}`,
    hint: () => "shorten it",
    explain: `The path of a weight contains the names of all members around it, so a long name is repeated for
every weight below it. A name has at most 250 letters, digits and \`_\`.`,
  }),
  "bad-allow": code<{
    readonly code: string;
    readonly problem: "form" | "code" | "reason";
    readonly suggestion: string | null;
  }>({
    severity: "error",
    message: ({ code: name, problem }) =>
      problem === "form"
        ? "`@allow` names no warning"
        : problem === "code"
          ? `\`@allow\` names \`${name}\`, which is not a warning`
          : `\`@allow ${name}\` gives no reason`,
    hint: ({ code: name, problem, suggestion }) =>
      problem === "reason"
        ? `write the reason: \`// @allow ${name}: …\``
        : suggestion !== null
          ? `did you mean \`${suggestion}\`?`
          : "write `// @allow dead-router: the scores come from another model`; `modc explain` lists the warnings",
    explain: `A comment silences one kind of warning and gives the reason. It applies to the declaration,
parameter, member or statement that follows it, or to its own line if it comes after code. Errors
cannot be silenced. \`modc check\` warns if a comment no longer silences anything.

  // @allow unread-weight: kept, so that older checkpoints load
  weight scale: f32[dim]`,
  }),
  "unused-allow": code<{ readonly code: string }>({
    severity: "warning",
    message: ({ code: name }) => `\`@allow ${name}\` silences nothing`,
    hint: () => "remove it",
    explain: `The warning is gone, or is in another place: a comment silences warnings that begin in the
declaration, parameter, member or statement that follows it, or on its line. \`modc check\` reports
this, because it looks at all phases and models of a file.`,
  }),
  "unclosed-bracket": code<{ readonly open: string; readonly close: string }>({
    severity: "error",
    message: (d) => `this \`${d.open}\` is never closed`,
    hint: (d) => `add the missing \`${d.close}\``,
    explain: `Every \`(\`, \`[\` and \`{\` needs its partner. If one is missing, the compiler guesses its place from
line ends and, for \`{\`, from the indentation, and points at the bracket that was left open.`,
  }),
  "unmatched-bracket": code<{ readonly found: string; readonly expected: string | null }>({
    severity: "error",
    message: (d) =>
      d.expected === null
        ? `this \`${d.found}\` closes nothing`
        : `expected \`${d.expected}\` here, found \`${d.found}\``,
    hint: (d) =>
      d.expected === null
        ? `remove it, or open a \`${d.found === ")" ? "(" : d.found === "]" ? "[" : "{"}\` before it`
        : `write \`${d.expected}\` in its place, or before it`,
    explain: `A closing bracket must be the partner of the last one opened: \`(\` and \`)\`, \`[\` and \`]\`, \`{\` and
\`}\`.`,
  }),
  "nesting-too-deep": code<{ readonly limit: number }>({
    severity: "error",
    message: (d) => `this is nested more than ${d.limit} levels deep`,
    hint: () => "give a part of it a name with `x = …`, or use a list and a loop",
    explain: `Brackets, blocks and \`if\` inside \`if\` may nest 100 levels deep. An expression may have 250 levels
of operators and calls: a chain such as \`a + b + c\` has one level for each operator. Write
repetition as a loop or a comprehension, which does not nest.`,
  }),
  "unexpected-token": code<{ readonly expected: string; readonly found: string; readonly hint: string | null }>({
    severity: "error",
    message: (d) => `expected ${d.expected}, found ${d.found}`,
    hint: (d) => d.hint,
    explain: `The text does not follow the grammar at this place. The whole grammar is on one page in
\`grammar/modc.ebnf\`, and as diagrams in \`docs/railroad.html\`. In short: a file holds imports,
constants, blocks and models; a block holds members (\`name: Block(…)\`, \`weight name: f32[…]\`,
functions); a function holds statements (\`x = e\`, \`for\`, \`if\`, \`loss\`, \`observe\`), the last of
which may be a value, its result.`,
  }),
  "misplaced-line-break": code<{ readonly before: string }>({
    severity: "error",
    message: (d) => `a line cannot begin with \`${d.before}\``,
    hint: (d) =>
      d.before === "{"
        ? "put `{` at the end of the line that it belongs to"
        : `put \`${d.before}\` at the end of the line before; inside brackets lines may break anywhere`,
    explain: `A line ends a statement unless it is inside \`( )\` or \`[ ]\`, or ends with an operator, a comma,
\`then\` or \`else\`. So a body's \`{\` is on the line of its \`for\`, \`if\` or function, \`else\` on the line
of the \`}\` before it, and a long choice is written

  y = if condition then a else
    b`,
  }),
  "reserved-word": code<{ readonly word: string }>({
    severity: "error",
    message: (d) => `\`${d.word}\` is a word of the language and cannot be a name`,
    hint: (d) => `choose another name, such as \`${d.word.toLowerCase()}_\``,
    explain: `These words are reserved: import from const block model live names ignore for in if then else and
or not true false None loss observe. \`weight\` is a keyword only where it heads a member. Every
other word can be a name.`,
  }),
  "missing-then": code<{ readonly found: string }>({
    severity: "error",
    message: (d) => `this \`if\` needs a \`then\` after its condition, found ${d.found}`,
    hint: () => "write `if c then a else b` for a value, `if c { … }` for a statement",
    explain: `\`if\` has two forms. As a value it is \`if condition then a else b\`, and always has both branches. As
a statement, or among members, it is \`if condition { … } else { … }\`.`,
  }),
  "missing-else": code<{ readonly found: string }>({
    severity: "error",
    message: (d) => `this \`if … then\` needs an \`else\`, found ${d.found}`,
    hint: () =>
      "a value must have both branches: `if c then a else b`; a line may break after `then` and `else`, or " +
      "inside brackets",
    explain: `\`if c then a else b\` is a value, so it needs a value for either case. A line ends a statement
unless it is inside brackets or ends with an operator, a comma, \`then\` or \`else\`; so put \`else\` at
the end of the line, not at the start of the next.`,
  }),
  "member-needs-colon": code<{ readonly name: string }>({
    severity: "error",
    message: (d) => `the member \`${d.name}\` is followed by \`=\``,
    hint: (d) => `declare members with a colon: \`${d.name}: …\`; a learned tensor is \`weight ${d.name}: f32[…]\``,
    explain: `A block's members are declared: \`q: Linear(dim, dim)\` makes a sub-block, \`weight scale: f32[dim] =
ones\` a learned tensor. \`=\` binds names inside functions, to values computed there.`,
  }),
  "misplaced-declaration": code<{ readonly word: string; readonly where: string }>({
    severity: "error",
    message: (d) => `\`${d.word}\` is inside ${d.where}`,
    hint: (d) =>
      d.word === "import"
        ? "move it to the head of the file"
        : d.word === "const"
          ? d.where === "a function"
            ? "write `x = e` inside a function; a constant is declared outside all blocks"
            : "declare it outside all blocks, or give the block a parameter"
          : "declare it outside all blocks; a member makes an instance of it: `name: Block(…)`",
    explain: `\`import\`, \`const\`, \`block\` and \`model\` are declared at the level of the file, never inside one
another: a block consists of instances of other blocks, weights and functions.

  block Inner(dim: int) { … }
  model M(dim: int = 64) { inner: Inner(dim) … }`,
  }),
  "statement-needs-equals": code<{ readonly name: string }>({
    severity: "error",
    message: (d) => `\`${d.name}\` is followed by \`:\` in a function`,
    hint: (d) =>
      `write \`${d.name} = …\` for a value; declare sub-blocks and weights among the members, outside the function`,
    explain: `Inside a function names are bound to values with \`=\`, without a type: it is inferred. Sub-blocks
and weights are declared with \`:\` among the members of the block.`,
  }),
  "chained-comparison": code<{ readonly first: string; readonly second: string }>({
    severity: "error",
    message: (d) => `\`${d.first}\` and \`${d.second}\` are chained`,
    hint: () => "compare two values at a time: `a < b and b < c`",
    explain: `\`a < b < c\` would compare the outcome of a comparison with a number. Write \`a < b and b < c\`, or
use parentheses if you mean to compare truth values.`,
  }),
  "misplaced-not": code<{ readonly operator: string }>({
    severity: "error",
    message: (d) => `\`not\` binds less tightly than the \`${d.operator}\` before it`,
    hint: (d) => `write \`a ${d.operator} (not b)\` or \`not (a ${d.operator} b)\``,
    explain: `As in Python, \`not\` binds less tightly than comparisons: \`not a == b\` is \`not (a == b)\`. On the
right of a comparison it needs parentheses.`,
  }),
  "not-a-target": code<Record<never, never>>({
    severity: "error",
    message: () => "the left of `=` must be a name, or names in parentheses",
    hint: () =>
      "write `x = e` or `(a, b) = f(x)`; tensors never change, `put` and `where` make new ones; equality is `==`",
    explain: `\`x = e\` gives a name to a value, \`(a, b) = f(x)\` gives names to the results of a function. Values
do not change, so there is no assignment to \`x[i]\` or \`x.name\`: \`put\`, \`where\` and \`concat\` make a
new tensor.`,
  }),
  "not-transposed": code<{ readonly found: string }>({
    severity: "error",
    message: ({ found }) => `\`^${found}\` is no mark of a key: only \`^T\` is`,
    hint: () => 'write `"key"^T` if the weight is the transpose of what is stored',
    explain: `If \`^T\` follows a key in \`names\`, the weight is the transpose of the stored tensor. If it follows
indices, the weight is the transpose of the part that they name.

  names { "attn.o.weight" = "attn.c_proj.weight"^T }`,
  }),
  "unknown-dtype": code<{ readonly name: string }>({
    severity: "error",
    message: (d) => `\`${d.name}\` is not the type of a tensor's elements`,
    hint: () => "the types are `f32`, `f16`, `u32`, `i32` and `bool`, as in `f32[B, T, dim]`",
    explain: `A tensor's type is that of its elements, followed by its dimensions in brackets: \`f32[B, T, dim]\`.
A scalar is \`f32[]\`. The element types are f32, f16, u32, i32 and bool.`,
  }),
  "unknown-kind": code<{ readonly name: string }>({
    severity: "error",
    message: (d) => `\`${d.name}\` is not a kind of parameter`,
    hint: () =>
      "the kinds are `int`, `float`, `ratio`, `bool`, `string`, `block`, and lists such as `[int]`; tensors are " +
      "inputs of functions",
    explain: `Parameters of blocks and models are known when compiling: \`int\`, \`float\`, \`ratio\` (an exact
fraction such as 12.5%), \`bool\`, \`string\`, \`block\` (an instance of a block), and lists of these,
\`[int]\`. Tensors are inputs of functions: \`forward(x: f32[B, T, dim])\`.`,
  }),
  "unnamed-result": code<Record<never, never>>({
    severity: "error",
    message: () => "one of several results has no name",
    hint: () => "name each: `-> (logits: f32[B, T, vocab], hidden: f32[B, T, dim])`",
    explain: `A single result may be a bare type, and is then called \`output\`. Several results are named, since
callers take them apart by name: \`f(x).logits\`.`,
  }),
} as const;
