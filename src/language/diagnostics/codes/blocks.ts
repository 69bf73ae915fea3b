// Diagnostics of blocks, their members and weights.
import { code } from "./define.js";
import { didYouMean, listed, ofTensor } from "./hints.js";

export const blockCodes = {
  // --- blocks and members
  "instance-in-function": code<{ readonly block: string; readonly where: string }>({
    severity: "error",
    message: ({ block, where }) => `\`${block}(…)\` makes an instance with weights, which ${where} cannot do`,
    hint: () => "make it a member, and use the member's name",
    explain: `Weights belong to members, whose names are their keys in a checkpoint. So a member makes the
instance, and functions call it.

  forward(x: f32[B, 8]) -> f32[B, 8] { Linear(8, 8)(x) }   // make it a member`,
  }),
  "not-a-block": code<{ readonly name: string; readonly found: string }>({
    severity: "error",
    message: ({ name, found }) => `the member \`${name}\` must be a block or a list of blocks, found ${found}`,
    hint: () => "name a number with `const`, or as a parameter with a default",
    explain: `\`name: expr\` among the members makes sub-blocks: an instance, or a list of instances that may
nest.`,
  }),
  "unknown-member": code<{
    readonly object: string;
    readonly name: string;
    readonly suggestion: string | null;
    /** Whether the name is a parameter of the object's block. */
    readonly parameter?: boolean;
    /** The object's members. */
    readonly members?: readonly string[];
  }>({
    severity: "error",
    message: ({ object, name, parameter }) =>
      `${object} has no member \`${name}\`${parameter ? ", only a parameter of this name" : ""}`,
    hint: (d) =>
      (d.parameter
        ? "use the value that was given for it: parameters can be read only inside their block"
        : didYouMean(d)) ??
      (d.object.startsWith("a tensor")
        ? ofTensor(d.name)
        : d.members && d.members.length > 0 && d.members.length <= 12
          ? `it has ${listed(d.members)}`
          : "name a member that it declares; a member inside an `if` exists only if its branch is taken"),
    explain: `\`a.b\` reads a weight, a sub-block or a function of the instance a, or one named result of a
function. A member inside an \`if\` exists only if its branch was taken. Parameters are not members,
but a block passed as an argument has the parameter's name in the paths of weights.`,
  }),
  "no-function": code<{ readonly block: string; readonly name: string }>({
    severity: "error",
    message: ({ block, name }) => `\`${block}\` has no \`${name}\``,
    hint: ({ name }) => `write \`${name}(…) { … }\` among its members`,
    explain: `Calling an instance runs its \`forward\`; a model is entered by \`forward\`, or by \`objective\`
when training.`,
  }),
  "path-taken": code<{ readonly path: string }>({
    severity: "error",
    message: ({ path }) => `two members have the path "${path}"`,
    hint: () => "rename one: an instance made in an argument is named by the parameter that receives it",
    explain: `The path of a weight is its key in a checkpoint, so no two may be equal. A block passed as an
argument takes the name of the parameter, \`wrap.inner\`; a member of that block called
\`inner\` would have the same path.`,
  }),

  // --- weights
  "unread-weight": code<{ readonly kind: "weight" | "state" | "sub-block"; readonly name: string }>({
    severity: "warning",
    message: ({ kind, name }) =>
      kind === "sub-block" ? `nothing calls or reads \`${name}\`` : `nothing reads the ${kind} \`${name}\``,
    hint: ({ kind }) => `${kind === "sub-block" ? "call" : "use"} it in a function of the block, or remove it`,
    explain: `A weight that no function mentions, in any phase, is loaded, stored and saved without use, and no
training changes it; the same holds for the weights of a sub-block that nothing calls. Usually a
line is missing.

  weight scale: f32[dim]
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] { x }`,
  }),
  "unknown-initialiser": code<{ readonly kind: "weight" | "state"; readonly found: string }>({
    severity: "error",
    message: ({ kind, found }) => `a ${kind} cannot start as ${found}`,
    hint: () => "use zeros, ones, normal(std), uniform(lo, hi) or orthogonal(gain)",
    explain: `After \`=\` comes the initial value of a weight: \`zeros\`, \`ones\`, \`normal(std)\`,
\`uniform(lo, hi)\`, \`orthogonal(gain)\`, or an \`if … then … else …\` between them. The default is
normal(1/√n) with n the size of the last axis, and zeros for a single axis.`,
  }),
  "bad-initialiser": code<{ readonly reason: string }>({
    severity: "error",
    message: ({ reason }) => reason,
    hint: () => "the initialisers are `zeros`, `ones`, `normal(deviation)`, `uniform(low, high)` and `orthogonal`",
    explain: `A deviation is not negative, \`uniform(lo, hi)\` has lo ≤ hi, \`orthogonal\` needs at least two
axes, and weights of whole numbers start as \`zeros\` or \`ones\`.`,
  }),
  "weight-type": code<{ readonly kind: "weight" | "state"; readonly reason: string }>({
    severity: "error",
    message: ({ kind, reason }) => `a ${kind} ${reason}`,
    hint: ({ kind }) =>
      kind === "weight"
        ? "write `weight w: f32[8, 4]`: a dtype of numbers, and dimensions known when compiling"
        : "write `state s: f32[8]`: f32, and dimensions known when compiling",
    explain: `A weight is a tensor of f32, f16, u32 or i32 whose dimensions are all known when compiling: it
exists once, before any input. A state is always f32.`,
  }),
} as const;
