// Diagnostics of names, imports and files.
import { code } from "./define.js";
import { didYouMean, listed } from "./hints.js";

/** Names from Python and its libraries, with their equivalents here. */
const FROM_PYTHON: ReadonlyMap<string, string> = new Map([
  ["True", "did you mean `true`?"],
  ["False", "did you mean `false`?"],
  ["torch", "functions are built in: write `relu(x)`"],
  ["np", "functions are built in: write `exp(x)`"],
  ["nn", 'import the block by name: `import { Linear } from "std"`'],
  ["F", "functions are built in: write `softmax(x, axis: -1)`"],
  ["self", "members are named directly: `proj(x)`"],
  ["range", "a range is `a..b`: `for i in 0..n { … }`"],
  ["print", "to see a value, bind it and write `observe name`: `modc run` returns it"],
]);

const undeclared = (name: string): string =>
  /^[A-Z][0-9]?$/.test(name)
    ? "an axis is named by the type of an input, `f32[B, T, dim]`; the shape of a weight is made of parameters and " +
      "numbers"
    : "declare the name before its first use, import it, or add a parameter";

export const nameCodes = {
  "unknown-name": code<{ readonly name: string; readonly suggestion: string | null; readonly hint?: string }>({
    severity: "error",
    message: ({ name }) => `nothing is called \`${name}\` here`,
    hint: (d) => FROM_PYTHON.get(d.name) ?? didYouMean(d) ?? d.hint ?? undeclared(d.name),
    explain: `A name must be declared where it is used: a built-in function, a declaration of the file or an
import, a parameter of the block, one of its members, or an input or local of the function. The
inner hides the outer.

  model M(dim: int = 4) { forward(x: f32[B, dim]) -> f32[B, dim] { x * dmi } }  // no \`dmi\``,
  }),
  "missing-import": code<{
    /** The library names that the file uses, in alphabetical order. */
    readonly missing: readonly string[];
    /** The library names that the file imports. */
    readonly imported: readonly string[];
  }>({
    severity: "error",
    message: ({ missing }) =>
      `${listed(missing)} of the standard library ${missing.length === 1 ? "is" : "are"} not imported`,
    hint: ({ missing, imported }) => {
      const line = `import { ${[...imported, ...missing].toSorted().join(", ")} } from "std"`;
      return imported.length === 0 ? `write \`${line}\` at the head of the file` : `extend the import: \`${line}\``;
    },
    explain: `The blocks of the standard library are imported by name, like those of any other file. One message
names every block that a file uses and does not import, at the first use. \`modc doc std\` lists the
library.

  import { Embedding, Layer } from "std"`,
  }),
  "declared-later": code<{ readonly name: string }>({
    severity: "error",
    message: ({ name }) => `the member \`${name}\` is declared further down`,
    hint: ({ name }) => `move \`${name}\` above the member that uses it`,
    explain: `Members are made from top to bottom, so a member can only pass on members above it. Function bodies
see all members, in any order.

  layers: [for i in 0..4: Residual(shared)]
  shared: Layer(64, 4)                            // must come before \`layers\``,
  }),
  "duplicate-name": code<{ readonly name: string; readonly where: string }>({
    severity: "error",
    message: ({ name, where }) => `\`${name}\` is declared twice ${where}`,
    hint: () => "rename one of them",
    explain: `A name may be declared once among the declarations and imports of a file, once among the
parameters of a block, once among the members that exist together, once among the inputs and
once among the results of a function, and a loss once in a function. Members in the two branches
of an \`if\` never exist together, so they may share a name.`,
  }),
  "unknown-export": code<{ readonly name: string; readonly from: string; readonly suggestion: string | null }>({
    severity: "error",
    message: ({ name, from }) => `"${from}" declares nothing called \`${name}\``,
    hint: (d) => didYouMean(d) ?? "declare it there, or import the name from the file with its declaration",
    explain: `An import names blocks, models or constants that the other file declares itself. Imports are not
passed on: import a name from the file that declares it.

  import { Linera } from "std"                    // the library declares \`Linear\``,
  }),
  "import-not-found": code<{ readonly path: string }>({
    severity: "error",
    message: ({ path }) => `there is no file "${path}"`,
    hint: () => 'a path is relative to the file that imports it: "./blocks.mod"; the standard library is "std"',
    explain: `The file named in an import could not be read. Paths are relative to the importing file and use
forward slashes.`,
  }),
  "import-path": code<{
    readonly path: string;
    readonly reason: string;
    /** Whether the import path is valid but the file cannot be read. */
    readonly atFile?: boolean;
  }>({
    severity: "error",
    message: ({ path, reason }) => `"${path}" cannot be imported: ${reason}`,
    hint: ({ atFile }) =>
      atFile
        ? "import UTF-8 text, from the folder of the compiled file or a folder below it"
        : 'write a path relative to this file, such as "./blocks.mod", or "std"',
    explain: `An import is "std", or a path that starts with "./" or "../" and stays inside the folder of the
compiled file. Absolute paths, addresses and backslashes are refused, so that a model means the
same on every machine and cannot read other files.`,
  }),
  "import-cycle": code<{ readonly chain: readonly string[] }>({
    severity: "error",
    message: ({ chain }) => `these files import one another in a circle: ${chain.join(" → ")}`,
    hint: () => "move the shared declarations into a third file",
    explain: `Files may not import one another in a circle, directly or through others: there would be no
order to read them in.`,
  }),
  "no-model": code<{ readonly file: string }>({
    severity: "error",
    message: ({ file }) => `${file} declares no model`,
    hint: () => "declare one, `model Name() { … }`; a file without a model is a library",
    explain: `modc compiles a \`model\`: a block whose parameters all have defaults. A file that declares only
blocks and constants is a library for other files to import.`,
  }),
  "several-models": code<{ readonly models: readonly string[] }>({
    severity: "error",
    message: ({ models }) => `the file declares ${models.length} models: ${models.join(", ")}`,
    hint: ({ models }) => `choose one with --model ${models[0] ?? "Name"}`,
    explain: `If a file declares several models, choose one: \`--model Name\` on the command line, \`model: "Name"\`
in the API.`,
  }),
  "unknown-model": code<{
    readonly name: string;
    readonly models: readonly string[];
    readonly suggestion: string | null;
  }>({
    severity: "error",
    message: ({ name }) => `the file declares no model \`${name}\``,
    hint: (d) => didYouMean(d) ?? (d.models.length > 0 ? `it declares ${d.models.join(", ")}` : null),
    explain: `The model named by \`--model\` must be declared in the compiled file, with \`model\` rather than
\`block\`.`,
  }),
  "unknown-path": code<{ readonly path: string; readonly suggestion: string | null }>({
    severity: "error",
    message: ({ path }) => `no weight has the path "${path}"`,
    hint: (d) => didYouMean(d) ?? "`modc doc` lists the paths of all weights",
    explain: `The left side of an entry of \`names\` must match at least one weight of the model; {x} stands
for one segment between dots.

  names { "layers.{i}.atn.q.weight" = "h.{i}.q" }   // the member is called \`attn\``,
  }),
  "ambiguous-names": code<{ readonly path: string }>({
    severity: "error",
    message: ({ path }) => `two entries of \`names\` match the weight "${path}"`,
    hint: () => "make one of them narrower",
    explain: `At most one entry of \`names\` may match a weight, so that its key in the checkpoint never
depends on their order.`,
  }),
  "unbound-placeholder": code<{ readonly name: string }>({
    severity: "error",
    message: ({ name }) => `the left side of the entry binds no {${name}}`,
    hint: ({ name }) => `write {${name}} on the left, in place of the segment`,
    explain: `An {x} on the right of an entry of \`names\` is replaced by the segment that {x} matched on the left.

  "layers.{i}.weight" = "h.{j}.w"                   // {j} is not on the left`,
  }),
  "reserved-key": code<{ readonly key: string }>({
    severity: "error",
    message: ({ key }) =>
      key === "" ? "a key of a checkpoint cannot be empty" : `"${key}" cannot be the key of a weight`,
    hint: ({ key }) =>
      key === ""
        ? "write the weight's key in the checkpoint"
        : key.endsWith("]") || key.endsWith("]^T")
          ? 'indices follow the key: `"key"[0:4]`'
          : "choose another key: safetensors reserves this one for notes about the file",
    explain: `A safetensors file is a table of keys and tensors. The key \`__metadata__\` holds notes about the
file instead of a tensor, and an empty key names nothing. A key cannot end like the indices of a
part, \`[0:4/8]\`.`,
  }),
  "duplicate-key": code<{ readonly key: string; readonly first: string; readonly second: string }>({
    severity: "error",
    message: ({ key, first, second }) =>
      `the weights "${first}" and "${second}" both have the key "${key}" in a checkpoint`,
    hint: () => "give each a different key",
    explain: `Every weight needs its own key in the checkpoint, or saving would write one over the other. If an
entry accepts several keys (\`"a" or "b"\`), a later one may also be the key of another weight.`,
  }),
  "part-index": code<{ readonly found: string; readonly why: string }>({
    severity: "error",
    message: ({ found, why }) => `${found} is no index of a stored tensor: ${why}`,
    hint: () => 'write one index for each axis: a number, `{e}` or a range, as in `"key"[{e}, 0:dim, 1::2]`',
    explain: `In \`names\`, a weight may be a part of a stored tensor. The part has an index for each axis: \`:\` for
the whole axis, \`start:stop\` or \`start:stop:step\`, or one number, which removes the axis. Starts,
stops and steps are numbers from 0 on, made of the model's parameters; \`{e}\` is a segment of the
weight's path that is a number. Axes after the last index are whole.

  names {
    "attn.q.weight" = "c_attn.weight"[:, 0:dim]^T
    "experts.{e}.up.weight" = "experts.gate_up"[{e}, 1::2]
  }`,
  }),
  "part-shape": code<{
    readonly path: string;
    readonly part: string;
    readonly has: string;
    readonly shape: readonly number[];
  }>({
    severity: "error",
    message: ({ path, part, has, shape }) => `the weight "${path}" is [${shape.join(", ")}], but ${part} ${has}`,
    hint: () => "take as many indices of each axis as the weight has; `^T` swaps two axes",
    explain: `The part of a stored tensor that an entry of \`names\` gives to a weight has the weight's shape, or
with \`^T\` the shape of its transpose. A range without an end has as many indices as the weight
needs.`,
  }),
  "partial-key": code<{ readonly key: string; readonly why: string }>({
    severity: "error",
    message: ({ key, why }) => `not every number of the stored tensor "${key}" is read once: ${why}`,
    hint: () => "each number belongs to one weight, so that the tensor can be saved again",
    explain: `If weights are parts of a stored tensor, their parts together are the whole tensor, and no two have
a number in common. Otherwise saving could not write the tensor that was loaded.`,
  }),
  "names-outside-model": code<{ readonly block: string }>({
    severity: "error",
    message: ({ block }) => `\`names\` is in the block \`${block}\`, but only a model has a checkpoint`,
    hint: () => "move it to the model",
    explain: `\`names\` lists the keys of a whole model's weights in a checkpoint, so it belongs among a model's
members.`,
  }),
} as const;
