// Facts of a launch, read from a kernel's WGSL text: invocations of a workgroup, and the type of each binding.
export interface Binding {
  readonly binding: number;
  readonly name: string;
  readonly uniform: boolean;
  readonly writes: boolean;
  /** The element type: `f32`, `vec4f`, `u32`, `Sizes`. */
  readonly type: string;
}

export function bindingsOf(wgsl: string): readonly Binding[] {
  const found = wgsl.matchAll(
    /@group\(0\)\s*@binding\((\d+)\)\s*var(?:<([^>]*)>)?\s*(\w+)\s*:\s*(?:array<((?:[^<>]|<[^<>]*>)*)>|([^;]+));/g,
  );
  return [...found].map(([, binding, space, name, elements, whole]) => ({
    binding: Number(binding),
    name: name!,
    uniform: space === "uniform",
    writes: /read_write|write/.test(space ?? ""),
    type: (elements ?? whole ?? "").split(",")[0]!.trim(),
  }));
}

/** Invocations of a workgroup by dimension, from the attribute `@workgroup_size` and the constants that it names. */
export function threadsOf(wgsl: string): readonly [number, number, number] {
  const sizes = (/@workgroup_size\(([^)]*)\)/.exec(wgsl)?.[1] ?? "1")
    .split(",")
    .map((text) => valueOf(text.trim(), wgsl, 0));
  return [sizes[0] ?? 1, sizes[1] ?? 1, sizes[2] ?? 1];
}

/** Evaluates sums and products of numbers and of the text's constants; NaN for anything else. */
function valueOf(text: string, wgsl: string, depth: number): number {
  const terms = (by: string, join: (a: number, b: number) => number): number =>
    text
      .split(by)
      .map((part) => valueOf(part.trim(), wgsl, depth))
      .reduce(join);
  if (depth > 8) return NaN;
  if (/^\d+u?$/.test(text)) return Number.parseInt(text, 10);
  if (/^[^()]*\+[^()]*$/.test(text)) return terms("+", (a, b) => a + b);
  if (/^[^()]*\*[^()]*$/.test(text)) return terms("*", (a, b) => a * b);
  if (/^[^()]*\/[^()]*$/.test(text)) return terms("/", (a, b) => Math.floor(a / b));
  const constant = new RegExp(`const ${text}(?:\\s*:\\s*u32)?\\s*=\\s*([^;]+);`).exec(wgsl)?.[1];
  return constant === undefined ? NaN : valueOf(constant.trim().replace(/^u32\((.*)\)$/, "$1"), wgsl, depth + 1);
}

export const asksGroups = (wgsl: string): boolean => /@builtin\(num_workgroups\)/.test(wgsl);

/** The dimensions in which a kernel reads its workgroup's number. */
export function numberedBy(wgsl: string): readonly (0 | 1 | 2)[] {
  const name = /@builtin\(workgroup_id\)\s*(\w+)/.exec(wgsl)?.[1];
  const dimensions = ["x", "y", "z"].flatMap((d, i) =>
    name !== undefined && new RegExp(`\\b${name}\\.${d}\\b`).test(wgsl) ? [i as 0 | 1 | 2] : [],
  );
  return dimensions.length > 0 || name === undefined ? dimensions : [0, 1, 2];
}
