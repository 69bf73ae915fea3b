// Hints for syntax and habits from other languages, and example values of each kind.

/** An example value of each kind. */
export const EXAMPLES: Readonly<Record<string, string>> = {
  "an int": ", such as `8`",
  "a float": ", such as `0.5`",
  "a ratio": ", such as `12.5%`",
  "a bool": ", `true` or `false`",
  "a string": ", in double quotes",
  "a block": ", such as `Linear(8, 8)`",
};

/** The operand types that each operator accepts, as a hint. */
export const OPERANDS: Readonly<Record<string, string>> = {
  "+": "it adds numbers and joins two lists; strings are not joined",
  and: "it joins two conditions: `a > 0 and b > 0`",
  or: "it joins two conditions: `a > 0 or b > 0`",
  not: "it takes a condition: `not (a > 0)`",
  "==": "compare two values of one kind",
  "!=": "compare two values of one kind",
  "@": "it is the product of two tensors; numbers are multiplied with `*`",
};

/** Hint for PyTorch users: arguments that PyTorch takes by position must be named here. */
export function byName(callee: string, named: readonly string[]): string {
  if (callee === "transpose") return 'it swaps the last two axes; `rearrange(x, "b t d -> t b d")` moves any others';
  if (callee === "concat") return "write the tensors as a list: `concat([a, b], axis: -1)`";
  if (named.includes("axis")) return "give the axis by name: `axis: -1`";
  if (named.includes("like")) return "give a tensor of the wanted shape by name: `like: x`";
  return named.length > 0
    ? `give ${named.map((n) => `\`${n}\``).join(", ")} by name`
    : "leave out the surplus arguments";
}

const SIZES = "name the sizes in the type of the input, `f32[B, T, dim]`, and use those names";
const REARRANGE = 'a tensor has no members: write `rearrange(x, "b t (h d) -> b h t d", h: heads)`';

/** Members of PyTorch's tensors whose function has another name here. */
const TENSOR_MEMBERS: ReadonlyMap<string, string> = new Map([
  ["shape", SIZES],
  ["size", SIZES],
  ["T", "write `transpose(x)`"],
  ["mT", "write `transpose(x)`"],
  ...["reshape", "view", "permute", "flatten", "unflatten", "movedim", "squeeze", "unsqueeze"].map(
    (name) => [name, REARRANGE] as const,
  ),
  ...["chunk", "unbind"].map(
    (name) => [name, "write `split(x, [dim, dim, dim], axis: -1)`, which returns a list"] as const,
  ),
]);

/** Hint for a function that other languages provide as a method or field of a tensor. */
export const ofTensor = (name: string): string =>
  TENSOR_MEMBERS.get(name) ?? `a tensor has no members; functions are built in: \`${name}(x)\``;

/** Names of arguments in other libraries, with those here. */
const ARGUMENTS: ReadonlyMap<string, string> = new Map([
  ...["attn_mask", "attention_mask", "key_padding_mask", "allowed"].map((name) => [name, "mask"] as const),
  ...["softcap", "soft_cap", "logit_cap", "attn_logit_softcapping"].map((name) => [name, "cap"] as const),
  ...["attn_bias", "score_bias", "alibi"].map((name) => [name, "bias"] as const),
  ...["decay", "log_decays", "gate", "g"].map((name) => [name, "log_decay"] as const),
  ...["reset", "start", "begins"].map((name) => [name, "fresh"] as const),
  ["sliding_window", "window"],
  ["keepdim", "keep"],
  ["dim", "axis"],
  ["is_causal", "causal"],
]);

/** The argument that is meant by another library's name, if it is among the names. */
export const argumentMeant = (name: string, names: Iterable<string>): string | null => {
  const meant = ARGUMENTS.get(name);
  return meant !== undefined && [...names].includes(meant) ? meant : null;
};

/** Suggests the known name that is spelled most like the unknown one. */
export const didYouMean = ({ suggestion }: { readonly suggestion: string | null }): string | null =>
  suggestion === null ? null : `did you mean \`${suggestion}\`?`;

/** `` `a` ``, `` `a` and `b` ``, `` `a`, `b` and `c` ``. */
export function listed(names: readonly string[]): string {
  const quoted = names.map((name) => `\`${name}\``);
  const last = quoted.pop() ?? "";
  return quoted.length === 0 ? last : `${quoted.join(", ")} and ${last}`;
}

/** `1 argument`, `2 arguments`. */
export const plural = (n: number, one: string): string => `${n} ${one}${n === 1 ? "" : "s"}`;
