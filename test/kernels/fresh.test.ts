// Recurrences that start again with each document: infinities and NaN of one document reach no other document, in
// values and gradients, in the reference and on a device, row by row.
import { describe, expect, it } from "vitest";
import { compiled, onDevice, randomWeights, reference, sessionOf } from "../end-to-end/model.js";
import { expectClose } from "../close.js";
import { testDevice } from "../device.js";

const TOKENS = 70;
/** The first rows of documents: within a tile, within a chunk, and where a tile or a chunk begins. */
const BEGINS = [0, 9, 37, 48, 64];
const isOneOf = (rows: readonly number[]): string => rows.map((row) => `p == ${row}`).join(" or ");

interface Form {
  /** Columns of v: fewer than 16, which are computed row by row. */
  readonly columns: number;
  readonly decays: "none" | "heads" | "dimensions";
  readonly forgets: boolean;
}

const WIDTH = 24;
const ATTENTION: readonly Form[] = [8].flatMap((columns) =>
  (["none", "heads", "dimensions"] as const).flatMap((decays) =>
    [false, true].map((forgets) => ({ columns, decays, forgets })),
  ),
);

/** Each row of the weights is of a token, as if it were an input. */
const modelOf = (weights: Readonly<Record<string, number>>, columns: number, body: string): string => {
  const widths = Object.entries(weights);
  return `model M() {
${widths.map(([name, width]) => `  weight ${name}: f32[${TOKENS}, ${width}]`).join("\n")}
  forward(z: f32[B, ${TOKENS}]) -> f32[B, N, ${columns}] {
    all = sequence(z[:, :, None] + concat([${widths.map(([name]) => name).join(", ")}], axis: 1))
    parts = split(all, [${widths.map(([, n]) => n).join(", ")}], axis: -1)
${widths.map(([name], i) => `    ${name}s = parts[${i}]`).join("\n")}
    p = position(all)
${body}
  }
  objective(z: f32[B, ${TOKENS}]) { loss all = sum(sin(forward(z))) }
}`;
};

function attention({ columns, decays, forgets }: Form): string {
  const heads = (name: string): string => `rearrange(${name}s, "b t (h d) -> b h t d", h: 2)`;
  const decay = { none: "", heads: "rates", dimensions: "rates" }[decays];
  const each = decays === "heads" ? 2 : 2 * WIDTH;
  const rates = decays === "heads" ? `rearrange(ds, "b t h -> b h t")` : heads("d");
  const named = [
    ...(decay === "" ? [] : [`log_decay: -softplus(${rates})`]),
    ...(forgets ? [`forget: 0.3 * ${heads("f")}`, `at: ${heads("a")}`] : []),
    `fresh: ${isOneOf(BEGINS.slice(1))}`,
  ];
  const weights = {
    q: 2 * WIDTH,
    k: 2 * WIDTH,
    v: 2 * columns,
    ...(decay === "" ? {} : { d: each }),
    ...(forgets ? { f: 2 * WIDTH, a: 2 * WIDTH } : {}),
  };
  const call = `linear_attention(${heads("q")}, ${heads("k")}, ${heads("v")}, ${named.join(", ")})`;
  return modelOf(weights, 2 * columns, `    rearrange(${call}, "b h t d -> b t (h d)")`);
}

/** In reverse, a document ends where the scan begins anew. */
const scan = (decays: boolean, reverse: boolean): string =>
  modelOf(
    { x: 6, ...(decays ? { d: 6 } : {}) },
    6,
    `    scan(xs${decays ? ", log_decay: -softplus(ds)" : ""}, fresh: ${isOneOf(
      reverse ? BEGINS.slice(1).map((row) => row - 1) : BEGINS.slice(1),
    )}${reverse ? ", reverse: true" : ""})`,
  );

/** Expects the rows of other documents to be as `before`, and some number of this one to be infinite or none. */
function expectKept(document: number, found: Rows, before: Rows, what: string): void {
  const [first, end] = [BEGINS[document]!, BEGINS[document + 1] ?? TOKENS];
  let wild = 0;
  for (const [name, values] of before) {
    const own = found.get(name)!;
    const each = values.length / TOKENS;
    const largest = values.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    for (const [from, to] of [
      [0, first],
      [end, TOKENS],
    ] as const)
      expectClose(
        own.slice(from * each, to * each),
        values.slice(from * each, to * each),
        () => 1e-6 * largest,
        `${what}, ${name} from row ${from}`,
      );
    wild += own.slice(first * each, end * each).filter((x) => !Number.isFinite(x)).length;
  }
  expect(wild, what).toBeGreaterThan(0);
}

type Rows = ReadonlyMap<string, readonly number[]>;

/** Runs with inputs that are 0 but in one document, where they are infinite or no numbers. */
async function expectApart(source: string): Promise<void> {
  const device = await testDevice("default");
  for (const options of [{ phase: "infer" }, { phase: "train", gradients: true }] as const) {
    const { program, graph } = compiled(source, { ...options, target: device.target });
    const weights = randomWeights(program, 5, 1.5);
    const session = await sessionOf(program, device, weights, { B: 1 });
    const onBoth = async (first: number, end: number, value: number): Promise<readonly Rows[]> => {
      const data = new Float32Array(TOKENS).fill(value, first, end);
      const given = { inputs: { z: { shape: [1, TOKENS], data } } };
      const found = await onDevice(session, given);
      const expected = reference(graph, weights, given).outputs;
      const rows = [...expected.keys()].filter((name) => name === "output" || name.startsWith("grad."));
      expect(rows).toHaveLength(options.phase === "infer" ? 1 : weights.size);
      return [expected, new Map(Object.entries(found))].map(
        (results) => new Map(rows.map((name) => [name, [...results.get(name)!.data]])),
      );
    };
    try {
      const before = await onBoth(0, 0, 0);
      for (const [document, first] of BEGINS.entries())
        for (const [value, spared] of [
          [NaN, 0],
          [Infinity, 2],
        ] as const) {
          const after = await onBoth(first + spared, (BEGINS[document + 1] ?? TOKENS) - spared, value);
          for (const [i, where] of ["the reference", "the device"].entries())
            expectKept(document, after[i]!, before[i]!, `${value} in document ${document}, ${where}`);
        }
    } finally {
      session.dispose();
    }
  }
}

describe("a document keeps to itself what is no finite number", { tags: "long", timeout: 300_000 }, () => {
  it.each(ATTENTION)("linear attention, $columns columns, decays: $decays, forgets: $forgets", (form) =>
    expectApart(attention(form)),
  );
  it.each([
    [false, false],
    [false, true],
    [true, false],
    [true, true],
  ])("scan, decays: %s, reverse: %s", (decays, reverse) => expectApart(scan(decays, reverse)));
});
