// Diagnostics of routing and causality.
import { code } from "./define.js";

export const routingCodes = {
  "non-causal-choice": code<{ /** Whether each entry of an axis chooses tokens. */ readonly entries?: true }>({
    severity: "error",
    message: () => "`top` looks at the whole sequence, so it cannot choose tokens in phase generate",
    hint: ({ entries }) =>
      entries
        ? "let tokens choose: `axis: -1`"
        : "choose by the token alone there: `if generate then above(likely, 0.0, expected: capacity) else " +
          "top(score, k)`",
    explain: `Top-k compares a token with later tokens. While text is generated they do not exist yet, so a model
that routes by \`top\` cannot generate causally. Give the phase generate a rule that looks at one
token at a time: a predictor trained to guess the choice (\`MoD\` in the standard library does so),
or a threshold on the score itself.`,
  }),
  "non-causal-op": code<{
    readonly what: string;
    /**
     * `later`, `reverse`: the value is of `later`, or of a scan from the end. `pairs`: a mask or bias of an attention
     * is a product, or the like. `given`: a value along a given axis reads one that grows. Null: any other value.
     */
    readonly remedy: "causal" | "causal with a mask" | "later" | "reverse" | "pairs" | "given" | null;
  }>({
    severity: "error",
    message: ({ what }) => `${what}: phase generate cannot do this, because later tokens do not exist yet`,
    hint({ remedy }) {
      if (remedy === "causal") return "add `causal: true`";
      if (remedy === "causal with a mask") return "add `causal: true`; the mask then narrows it";
      if (remedy === "later") return "use `earlier(x, n)`, which reads the tokens before";
      if (remedy === "reverse") return "leave out `reverse: true`: a scan from the beginning reads earlier tokens";
      if (remedy === "pairs")
        return "make a mask or bias element by element, as `a[:, :, None] - b[:, None]`, from a value of each token";
      if (remedy === "given") return "compute values along a given axis from given inputs alone";
      return (
        "treat each token by itself, or read earlier ones by `earlier`, `scan`, `linear_attention` or " +
        "`attention(…, causal: true)`"
      );
    },
    explain: `In phase generate a token must not depend on later tokens, or a text would change while it is
written. \`earlier\`, \`scan\` from the beginning, \`linear_attention\`, and \`attention\` and \`mass\`
with \`causal: true\` read earlier tokens. A mask or bias of attention may pair tokens element by
element. Every other operator treats each token by itself. Reductions, products, softmax,
concatenation, indexing along a sequence axis, and its length as a value are refused, and so are
\`later\` and \`reverse: true\`. Losses, and values that only losses read, are exempt: generating does
not compute them.`,
  }),
  "cannot-generate": code<{
    readonly why: string;
    /** What lifts the obstacle; null: nothing that is known. */
    readonly remedy: string | null;
  }>({
    severity: "note",
    message: ({ why }) => `cannot generate: ${why}`,
    hint: ({ remedy }) =>
      `this matters only to \`modc generate\` and \`--phase generate\`${remedy === null ? "" : `: ${remedy}`}`,
    explain: `The model is valid, but it cannot generate text token by token: in phase generate a token must not
depend on later tokens, and nothing gives an input with a value for each token for tokens to come,
unless the caller does. Inputs along other axes are given as a whole before the prompt. \`modc
check\` notes this once for a model of tokens; \`modc check --phase generate\` lists every obstacle.`,
  }),
  "capacity-out-of-range": code<{ readonly found: string; readonly live?: string }>({
    severity: "error",
    message: ({ found, live }) =>
      "capacity must be between 0% and 100%, found " +
      `${found}${live === undefined ? "" : ` (the default of \`${live}\`)`}`,
    hint: () => "an eighth of the tokens is 12.5%",
    explain: `Inside \`top\`, a ratio that multiplies an axis is the share of its tokens to choose: from 0% to
100%.

  top(score, ceil(12.5% * T))                     // an eighth of the tokens, rounded up
  top(score, ceil(1250% * T))                     // refused`,
  }),
  "capacity-rounds-to-zero": code<{
    readonly k: string;
    readonly axis: string;
    /** Null: at every length. */ readonly length: number | null;
  }>({
    severity: "warning",
    message: ({ k, axis, length }) =>
      length === null
        ? `k is ${k} at every ${axis}: nothing is ever chosen`
        : `k = ${k} chooses nothing at ${axis} = ${length}`,
    hint: ({ length }) =>
      length === null
        ? "give a capacity above 0%, or leave the routed block out"
        : "round up with `ceil`, or keep at least one: `max(1, …)`",
    explain: `Rounded down, a small share of a short sequence is 0 tokens, so every token skips the block. This
is a common mistake in routed models, most visible when generating token by token. A literal
\`top(score, 0)\` gets no warning.

  top(score, floor(12.5% * T))                    // nothing for T < 8`,
  }),
  "lost-beginning": code<{ readonly fn: string }>({
    severity: "warning",
    message: ({ fn }) =>
      `\`${fn}\` starts again only at tokens that the route chose: a beginning whose token skips is lost`,
    hint: () =>
      "number the segments before the route, `doc = scan(f32(begins))`, and compare: `fresh: take(doc, chosen) != " +
      "earlier(take(doc, chosen), 1)`",
    explain: `A recurrence on the axis of a route runs over the chosen tokens alone. If the first token of a
document skips, \`take(begins, chosen)\` is true nowhere in this document, and its tokens go on with
the state of the document before. Numbers of documents do not get lost.

  doc = scan(f32(begins))
  own = take(doc, chosen)
  scan(take(x, chosen), fresh: own != earlier(own, 1))`,
  }),
  "unordered-route": code<{
    readonly what: string;
    readonly left: string;
    readonly right: string;
    readonly reason: string;
    /**
     * The objects of different kinds: rows of routes, entries of choices, or scores and the objects of their choice.
     */
    readonly of: "rows" | "entries" | "scores";
  }>({
    severity: "error",
    message: ({ what, left, right, reason }) => `${what} cannot combine ${left} with ${right}: ${reason}`,
    hint: ({ of }) =>
      ({
        scores: "choose by scores on the axis of the rows; for rows that a route took, use `take(score, route)`",
        entries:
          "entries taken by one choice belong to it: take both by the same choice, or put the entries back first",
        rows: "rows chosen by one route belong to it: take both by the same route, or put the rows back first",
      })[of],
    explain: `A route makes its own axis. Two takes by one route share the axis; two routes never do, even if
they choose the same number of tokens, because row 3 of each is a different token.

  a = top(score, 8)
  b = top(other, 8)
  take(x, a) + take(x, b)                         // different tokens side by side
  put(x, a, f(take(x, b)))                        // and put back in the wrong places`,
  }),
  "ragged-axis": code<{ readonly axis: string; readonly how: string; readonly entries?: true }>({
    severity: "error",
    message: ({ axis, how, entries }) =>
      entries
        ? `the entry axis ${axis} cannot be ${how}: tokens may have chosen different numbers of entries`
        : `the sequence axis ${axis} cannot be ${how}: its sequences may differ in length`,
    hint: ({ entries }) =>
      entries
        ? "reduce it, `sum(x, axis: -1)`, or put its entries back, `put(zeros, choice, x)`"
        : "keep the sequence axis as a separate dimension",
    explain: `Each sequence has its own length, so tokens do not form a rectangle that could be cut or joined
with another axis. This holds whether or not a program is run with \`lengths\`. The same holds for
chosen entries, whose number may differ between tokens.

  rearrange(x, "b t d -> b (t d)")                // refused`,
  }),
  "dead-router": code<{
    readonly weight: string;
    /** The number of further weights that reach the same score. */
    readonly others: number;
    /** The function that chooses tokens; null if entries such as experts are chosen. */
    readonly choice: string | null;
    /** Whether a library block chooses. */
    readonly library: boolean;
  }>({
    severity: "warning",
    message({ weight, others, choice }) {
      const what = choice === null ? "which entries are chosen" : `the choice of \`${choice}\``;
      return others === 0
        ? `\`${weight}\` decides ${what} but gets no gradient, so training cannot improve it`
        : `\`${weight}\` and ${others === 1 ? "another weight" : `${others} more weights`} decide ${what} but get no ` +
            "gradient, so training cannot improve them";
    },
    hint: ({ choice, library }) =>
      choice === null && library
        ? 'choose two experts, leave out `renormalize` and `gate: "chosen"`, or give a loss, `balance: 0.01`: the ' +
          "gate of one expert, divided by itself, is 1"
        : choice === null
          ? "multiply the blocks' result by it, `blocks[chosen](x) * take(score, chosen)[..., None]`; the gate of " +
            "one entry, divided by itself, is 1"
          : "multiply the update by it, `y * take(score, route)[..., None]`, or give it a loss, " +
            "`loss aux = bce(score, route.mask)`",
    explain: `Choosing has no derivative. A router learns only if its scores also reach a loss: as a factor of
the chosen tokens' update (equation 1 of Mixture-of-Depths), through \`straight\`, or by a separate
loss. Comparisons, \`top\`, \`argmax\`, masks and \`stop_gradient\` pass no gradient; nor does a gate
that is divided by itself, which is 1.

  chosen = top(score, k)
  put(x, chosen, f(take(x, chosen)))              // the score is never multiplied in`,
  }),
  "doubled-residual": code<{
    /** The call whose result is added to its input; null for an update passed to `put`. */
    readonly call: string | null;
  }>({
    severity: "warning",
    message: ({ call }) =>
      call === null
        ? "the update given to `put` contains the taken rows, so `put` adds them a second time"
        : `the sum adds the input of \`${call}\` to its result, which already contains the input`,
    hint: ({ call }) =>
      call === null
        ? "let the block return its update only, without `x + …`; or subtract the rows: `inner(rows) - rows`"
        : "leave out `x + …` here, or let the block return its update only",
    explain: `\`put(x, route, y)\` adds y to the chosen rows of x: it is the residual connection. A block that
returns x + f(x) makes the chosen rows 2·x + f(x), or (1 + gate)·x with a gate. This is the most
common mistake in Mixture-of-Depths code. For the same reason the result of \`MoD\` or \`Residual\` is
not added to their input again.

  MoD(Residual(Layer(dim, heads)), dim)           // write MoD(Layer(dim, heads), dim)
  x = x + routed(x)                               // write x = routed(x)`,
  }),
  "not-a-sequence": code<{
    readonly what: string;
    readonly found: string;
    readonly where?: string;
    readonly hint?: string;
  }>({
    severity: "error",
    message: ({ what, found, where }) =>
      `${what} needs a sequence axis${where === undefined ? "" : ` ${where}`}, which ${found} does not have`,
    hint: ({ hint }) => hint ?? "name the second axis of the input, with a bound if you like: `f32[B, T <= 196, dim]`",
    explain: `A sequence axis is the second axis of the model's inputs, written as a capitalised name, or an axis
that a route makes from it. Positions, attention and routes follow it; a dimension of fixed size
has no positions.`,
  }),
  "several-sequences": code<{ readonly what: string; readonly found: string }>({
    severity: "error",
    message: ({ what, found }) => `${what} needs one sequence axis, but ${found} has several`,
    hint: () => "apply it to a tensor with one sequence axis",
    explain: `A tensor may have two sequence axes, such as a score for each pair of tokens. An operator that
works along the sequence cannot know which of the two is meant.`,
  }),
  "k-mixes-axes": code<{ readonly k: string; readonly axes: readonly string[] }>({
    severity: "error",
    message: ({ k, axes }) => `k = ${k} mentions the sequence axes ${axes.join(" and ")}`,
    hint: () => "count by one of them",
    explain: `The number of tokens that \`top\` chooses may depend on the length of one sequence axis: the score's,
or the axis from which it was taken.`,
  }),
  "negative-k": code<{ readonly k: string }>({
    severity: "error",
    message: ({ k }) => `\`top\` cannot choose ${k} tokens`,
    hint: () => "use a k of 0 or more",
    explain: `k is the number of tokens that \`top\` chooses of each sequence. It may be 0, and is capped at the
sequence's length.`,
  }),
  "size-of-other-axis": code<{ readonly size: string; readonly axis: string }>({
    severity: "error",
    message: ({ size, axis }) => `the ends of a slice along ${axis} must be sizes over ${axis}, found ${size}`,
    hint: ({ axis }) => `use numbers or sizes over ${axis} only`,
    explain: `If sequences differ in length, each is cut by its own length. So the ends of a slice along a
sequence axis may be numbers, or sizes over this axis.

  x[:, T - 8:T]                                   // the last eight tokens; x[:, -8:] is shorter`,
  }),
  "attention-across": code<{ readonly query: string; readonly key: string; readonly what: string }>({
    severity: "error",
    message: ({ query, key, what }) =>
      `${what} compares positions, but ${query} and ${key} count them from different starts`,
    hint: () => "use tokens of the same sequence, or attention without `causal` and `window`",
    explain: `Causal attention and windows compare the positions of query and key in the model's input. Axes
made from the same sequence by routes share those positions; another input, a slice or a
concatenation counts its own.`,
  }),
} as const;
