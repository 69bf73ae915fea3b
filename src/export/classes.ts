// Blocks that compute the same by the same text become one class; numbers in which they differ become its parameters.
import type { Instance, ModelWeight } from "../check/model.js";
import { bodyText, numberTexts, type BodyText } from "./body-text.js";
import { numberOf } from "./family.js";
import { filled, Holes, pythonFloat, type Hole } from "./holes.js";
import { merged } from "./merged.js";
import { attribute, Names } from "./names.js";
import { boundOf } from "./outline.js";
import { refuse } from "./refused.js";
import { nativeNames, nativeOf, type Native } from "./native.js";
import type { SourceNotes } from "./source-notes.js";
import type { Needs, Variant } from "./variants.js";

/** One instance of a block, as text with holes; the holes of its inner blocks follow its own. */
export interface Part {
  readonly instance: Pick<Instance, "path" | "block" | "library" | "numbers">;
  readonly kind: Kind;
  readonly holes: readonly Hole[];
  readonly children: readonly Child[];
}

export interface Child {
  readonly attr: string;
  /** Its place in a list, and in those within; empty for a block that is no member of one. */
  readonly index: readonly number[];
  readonly part: Part;
  /** Where its holes begin among those of the block that has it. */
  readonly from: number;
}

/** What will be a class. */
export interface Kind {
  readonly key: string;
  readonly block: string;
  /** The module of PyTorch that it is. */
  readonly native: Native | null;
  /** Lines of `__init__` for weights, of `reset_parameters`, and of `forward`, with marks for the holes. */
  readonly weights: readonly string[];
  readonly resets: readonly string[];
  readonly parameters: readonly string[];
  readonly forward: readonly string[];
  /** What `forward` returns, as a type. */
  readonly result: string;
  /** Of the model, then of the others of its family. */
  readonly parts: Part[];
}

export interface PartsOptions {
  readonly variants: readonly Variant[];
  readonly notes: SourceNotes;
  readonly needs: (path: string) => Needs;
}

export interface Parts {
  readonly root: Part;
  /** The models of the family as parts: of another kind than the root where they have other lists of blocks. */
  readonly relatives: readonly Part[];
  /** The most tokens that a sequence of the model may have, then of the others of its family. */
  readonly bounds: readonly (number | null)[];
  /** In the order in which classes must stand: inner ones first. */
  readonly kinds: readonly Kind[];
}

/** The model and its family as parts. */
export function partsOf(own: PartsOptions, family: () => readonly PartsOptions[]): Parts {
  const kinds = new Map<string, Kind>();
  const partOf = (options: PartsOptions): Part => {
    const { model } = options.variants[0]!;
    const numbers = model.parameters.flatMap(({ name, value }) => {
      const number = numberOf(value);
      return number === null ? [] : [[name, number] as const];
    });
    const instance = { path: "", block: model.name, library: false, numbers: new Map(numbers) };
    return new Builder(options, kinds).part(instance);
  };
  const root = partOf(own);
  const inOrder = [...kinds.values()];
  const others = family();
  const bounds = [own, ...others].map(({ variants }) => boundOf(variants[0]!.model));
  return { root, relatives: others.map(partOf), bounds, kinds: inOrder };
}

class Builder {
  readonly #inner = new Map<string, Instance[]>();
  readonly #weights = new Map<string, ModelWeight[]>();

  constructor(
    private readonly options: PartsOptions,
    private readonly kinds: Map<string, Kind>,
  ) {
    const { model } = options.variants[0]!;
    const paths = new Set(model.instances.map(({ path }) => path));
    const owner = (path: string): string => {
      let at = path;
      do at = at.slice(0, Math.max(0, at.lastIndexOf(".")));
      while (at !== "" && !paths.has(at));
      return at;
    };
    for (const instance of model.instances) push(this.#inner, owner(instance.path), instance);
    for (const weight of model.weights) {
      if (weight.kind === "state") refuse("a state", weight.path);
      push(this.#weights, owner(weight.path), weight);
    }
  }

  part(instance: Part["instance"]): Part {
    const { path, block } = instance;
    const inner = (this.#inner.get(path) ?? []).map((child) => this.#child(child, path));
    const holes = new Holes();
    const weights: string[] = [];
    const resets: string[] = [];
    for (const weight of this.#weights.get(path) ?? []) {
      const name = attribute(weight.path.slice(path === "" ? 0 : path.length + 1));
      if (name.includes(".")) refuse("a list of weights", weight.path);
      const shape = weight.shape.map((size) => holes.add(String(size), "size")).join(", ");
      if (weight.doc !== null) weights.push(...weight.doc.split("\n").map((line) => `# ${line}`));
      weights.push(`self.${name} = nn.Parameter(torch.empty(${shape}))`);
      resets.push(`nn.init.${initialiser(weight, `self.${name}`, holes)}`);
    }
    const { parameters, lines, result } = this.#forward(path, block, holes);
    return this.#unified(instance, { weights, resets, parameters, forward: lines, result }, holes.all, inner);
  }

  #child(child: Instance, path: string): Omit<Child, "from"> {
    const local = child.path.slice(path === "" ? 0 : path.length + 1);
    const [name, ...index] = local.split(".");
    if (!index.every((place) => /^\d+$/.test(place))) refuse("a block between blocks", child.path);
    return { attr: attribute(name!), index: index.map(Number), part: this.part(child) };
  }

  #forward(path: string, block: string, holes: Holes): BodyText {
    const { variants, notes, needs } = this.options;
    const texts = variants.flatMap((variant) => {
      const body = variant.bodies.get(path);
      return body ? [{ variant, text: bodyText(body, { variant, notes, holes, needs, block }) }] : [];
    });
    const [first] = texts;
    if (!first) return { parameters: [], lines: [], result: "None" };
    const at = (hole: number): string => holes.all[hole]!.text;
    const lines = merged(
      texts.map(({ variant, text }) => ({ version: variant, lines: text.lines })),
      (a, b) => filled(a, at) === filled(b, at),
    );
    const signatures = new Set(texts.map(({ text }) => `${text.parameters.join(", ")} -> ${text.result}`));
    if (path !== "" && signatures.size > 1)
      refuse("a block that takes other values in training than in inference", path);
    return { ...first.text, lines };
  }

  /** Numbers its marks anew, in the order of the text; those of its inner blocks follow. */
  #unified(
    instance: Part["instance"],
    text: Omit<Kind, "key" | "block" | "native" | "parts">,
    holes: readonly Hole[],
    inner: readonly Omit<Child, "from">[],
  ): Part {
    const used: Hole[] = [];
    const renumbered = (lines: readonly string[]): readonly string[] =>
      lines.map((line) => filled(line, (hole) => `⟦${used.push(holes[hole]!) - 1}⟧`));
    const anew = {
      weights: renumbered(text.weights),
      resets: renumbered(text.resets),
      parameters: text.parameters,
      forward: renumbered(text.forward),
      result: text.result,
    };
    let from = used.length;
    const children = inner.map((child) => {
      const placed = { ...child, from };
      from += child.part.holes.length;
      return placed;
    });
    const key = JSON.stringify([
      instance.block,
      instance.library,
      anew,
      inner.map(({ attr, index, part }) => [attr, index, part.kind.key]),
    ]);
    const kind = this.kinds.get(key) ?? {
      key,
      block: instance.block,
      native: nativeOf(instance, this.options.needs(instance.path)),
      ...anew,
      parts: [],
    };
    this.kinds.set(key, kind);
    const part = { instance, kind, children, holes: [...used, ...inner.flatMap(({ part }) => part.holes)] };
    kind.parts.push(part);
    return part;
  }
}

function push<T>(map: Map<string, T[]>, key: string, value: T): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}

function initialiser({ init, shape }: ModelWeight, name: string, holes: Holes): string {
  const last = shape.at(-1) ?? 1;
  const hole = (value: number, hint: string): string => holes.add(pythonFloat(value), hint);
  if (init.kind === "normal" && Math.abs(init.std * Math.sqrt(last) - 1) < 1e-12)
    return `normal_(${name}, std=${name}.shape[-1] ** -0.5)`;
  if (init.kind === "normal") return `normal_(${name}, std=${hole(init.std, "std")})`;
  if (init.kind === "orthogonal") return `orthogonal_(${name}, gain=${hole(init.gain, "gain")})`;
  if (init.kind === "uniform") return `uniform_(${name}, ${hole(init.low, "low")}, ${hole(init.high, "high")})`;
  return `${init.kind}_(${name})`; // zeros or ones
}

/** The parameters of a class: which of its holes each fills. */
export interface Signature {
  readonly names: readonly string[];
  /** The parameter of each hole; null where the number stands in the text. */
  readonly of: readonly (string | null)[];
}

/** Signatures of all kinds; those of inner blocks first, since a class passes on what they take. */
export function signaturesOf(kinds: readonly Kind[], root: Kind): ReadonlyMap<Kind, Signature> {
  const found = new Map<Kind, Signature>();
  for (const kind of kinds) found.set(kind, signatureOf(kind, found, kind === root));
  return found;
}

const weightNames = ({ weights }: Kind): readonly string[] =>
  weights.flatMap((line) => /^self\.(\w+) = /.exec(line)?.[1] ?? []);

function signatureOf({ parts, native }: Kind, inner: ReadonlyMap<Kind, Signature>, isRoot: boolean): Signature {
  const [first] = parts;
  const { holes, children } = first!;
  if (native) return { names: native.parameters, of: nativeNames(native, holes) };
  const own = children[0]?.from ?? holes.length;
  const names = new Names();
  // A parameter that methods read is an attribute beside the block's weights and inner blocks; those of the model are
  // fields of its arguments, which the source's own parameters name first.
  const taken = isRoot
    ? first!.instance.numbers.keys()
    : [...children.map(({ attr }) => attr), ...weightNames(first!.kind)];
  for (const member of new Set(taken)) names.fresh(member);
  const called = new Map<string, string>();
  const of = holes.map((hole, i): string | null => {
    const child = i < own ? undefined : children.findLast(({ from }) => from <= i);
    const within = child ? inner.get(child.part.kind)!.of[i - child.from] : undefined;
    if (within === null) return null;
    const all = parts.map((part) => part.holes[i]!.text);
    const key = all.join(" ");
    const known = called.get(key);
    if (known !== undefined) return known;
    const declared = [...first!.instance.numbers.keys()].find((name) =>
      parts.every(({ instance }, j) => {
        const number = instance.numbers.get(name);
        return number !== undefined && numberTexts(number).includes(all[j]!);
      }),
    );
    if (declared === undefined && all.every((text) => text === all[0])) return null;
    // A number of one inner block, where the block has another of that name.
    const outer =
      child && within
        ? [/^d_(in|out)$/.test(within) ? [] : within, child.attr + within.replace(/^d?_?/, "_")].flat()
        : [];
    const wanted = declared === undefined ? [...outer, hole.hint] : [declared];
    const name = isRoot && declared !== undefined ? declared : names.freshOf(wanted);
    called.set(key, name);
    return name;
  });
  const order = [...first!.instance.numbers.keys()];
  const rank = (name: string): number => (order.includes(name) ? order.indexOf(name) : order.length);
  return { names: [...new Set(of.flatMap((name) => name ?? []))].sort((a, b) => rank(a) - rank(b)), of };
}
