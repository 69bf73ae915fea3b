// Merges blocks with equal program text into one class; numbers that differ become parameters of the class.
import type { Instance, ModelWeight } from "../../language/check/model/model.js";
import { numberOf } from "./family.js";
import { filled, numberTexts, pythonFloat, type Hole, type Holes } from "./text.js";
import { Methods, type Method, type MethodsOptions } from "./methods.js";
import { attribute, Names } from "./names.js";
import { buffersOf } from "./tallies.js";
import { refuse } from "./refused.js";
import { nativeNames, nativeOf, type Native } from "./native.js";
import { inputSequences, type InputSequence } from "./sequences.js";
import type { StageText } from "./stage-text.js";

/** One block instance as text with holes. The block's own holes come first, then the holes of inner blocks. */
export interface Part {
  readonly instance: Pick<Instance, "path" | "block" | "library" | "numbers">;
  readonly kind: Kind;
  readonly holes: readonly Hole[];
  readonly children: readonly Child[];
}

export interface Child {
  readonly attr: string;
  /** Position in a list, followed by positions in nested lists; empty if the block is not a list member. */
  readonly index: readonly number[];
  readonly part: Part;
  /** Index of the child's first hole among the holes of the enclosing block. */
  readonly from: number;
}

/** A program text that becomes one class. */
export interface Kind {
  readonly key: string;
  readonly block: string;
  /** Whether the class holds all experts of a list at once. */
  readonly stacked: boolean;
  /** The PyTorch module that the class extends, if any. */
  readonly native: Native | null;
  /** `__init__` statements that create weights, and `reset_parameters` statements. Marks stand for the holes. */
  readonly weights: readonly string[];
  readonly resets: readonly string[];
  /** Method texts with the same marks. */
  readonly methods: readonly Method[];
  /** The model's top-level statements cut into pipeline stages, if requested; with the same marks. */
  readonly stages: StageText | null;
  /** The parts of the model, followed by the parts of the other family members. */
  readonly parts: Part[];
}

export type PartsOptions = MethodsOptions;

export interface Parts {
  readonly root: Part;
  /** Parts for the other family members. Their kind differs from the root's if their block lists differ. */
  readonly relatives: readonly Part[];
  /** The model's input sequences, then each other family member's. */
  readonly sequences: readonly (readonly InputSequence[])[];
  /** Definition order of the classes: inner classes come first. */
  readonly kinds: readonly Kind[];
}

/** Splits the model and its family into parts. */
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
  const sequences = [own, ...others].map(({ variants }) => inputSequences(variants));
  return { root, relatives: others.map(partOf), sequences, kinds: inOrder };
}

class Builder {
  readonly #inner = new Map<string, Instance[]>();
  readonly #weights = new Map<string, ModelWeight[]>();
  readonly #methods: Methods;

  constructor(
    private readonly options: PartsOptions,
    private readonly kinds: Map<string, Kind>,
  ) {
    const { model } = options.variants[0]!;
    this.#methods = new Methods(options);
    const paths = new Set(model.instances.map(({ path }) => path));
    const owner = (path: string): string => {
      let at = path;
      do at = at.slice(0, Math.max(0, at.lastIndexOf(".")));
      while (at !== "" && !paths.has(at));
      return at;
    };
    for (const instance of model.instances) push(this.#inner, owner(instance.path), instance);
    for (const weight of model.weights) push(this.#weights, owner(weight.path), weight);
  }

  part(instance: Part["instance"]): Part {
    const { path } = instance;
    const { stacks } = this.options;
    const children = (this.#inner.get(path) ?? []).filter((child) => !stacks.isDropped(child.path));
    const inner = children.map((child) => this.#child(child, path));
    const stack = stacks.of(path);
    const { methods, holes, stages } = this.#methods.of(path);
    const weights: string[] = [];
    const resets: string[] = [];
    for (const weight of this.#weights.get(path) ?? []) {
      const name = attribute(weight.path.slice(path === "" ? 0 : path.length + 1));
      if (name.includes(".")) refuse("a list of weights", weight.path);
      const experts = stack === null ? [] : [holes.add(String(stack.members.length), "num_experts")];
      const sizes = [...experts, ...weight.shape.map((size) => holes.add(String(size), "size"))];
      const shape = sizes.length === 0 ? "()" : sizes.join(", ");
      if (weight.doc !== null) weights.push(...weight.doc.split("\n").map((line) => `# ${line}`));
      weights.push(
        weight.kind === "state"
          ? `self.register_buffer("${name}", torch.empty(${shape}))`
          : `self.${name} = nn.Parameter(torch.empty(${shape}))`,
      );
      const init = (of: string): string => `nn.init.${initialiser(weight, of, holes)}`;
      if (stack !== null && weight.init.kind === "orthogonal")
        resets.push(`for own in self.${name}:`, `    ${init("own")}`);
      else resets.push(init(`self.${name}`));
    }
    weights.push(...this.#tallies(path));
    return this.#unified(instance, { weights, resets, methods, stages }, holes.all, inner);
  }

  /**
   * Statements that create the buffers for sums counted until the next step. Checkpoints do not contain these buffers.
   */
  #tallies(path: string): readonly string[] {
    const updates = this.options.variants.flatMap((variant) => variant.updates.get(path) ?? []);
    const names = updates.flatMap(({ tallies }) => tallies.flatMap(buffersOf));
    if (names.length === 0) return [];
    const buffers = names.map((name) => `self.register_buffer("${name}", None, persistent=False)`);
    return [...buffers, `self.tallies = (${names.map((name) => `"${name}",`).join(" ")})`];
  }

  #child(child: Instance, path: string): Omit<Child, "from"> {
    const { stacks } = this.options;
    const from = stacks.placeOf(path);
    const local = stacks.placeOf(child.path).slice(from === "" ? 0 : from.length + 1);
    const [name, ...index] = local.split(".");
    if (!index.every((place) => /^\d+$/.test(place))) refuse("a block between blocks", child.path);
    return { attr: attribute(name!), index: index.map(Number), part: this.part(child) };
  }

  /** Renumbers the marks in text order; the holes of inner blocks come after them. */
  #unified(
    instance: Part["instance"],
    text: Omit<Kind, "key" | "block" | "stacked" | "native" | "parts">,
    holes: readonly Hole[],
    inner: readonly Omit<Child, "from">[],
  ): Part {
    const used: Hole[] = [];
    const renumbered = (lines: readonly string[]): readonly string[] =>
      lines.map((line) => filled(line, (hole) => `⟦${used.push(holes[hole]!) - 1}⟧`));
    const anew = {
      weights: renumbered(text.weights),
      resets: renumbered(text.resets),
      methods: text.methods.map((method) => ({ ...method, lines: renumbered(method.lines) })),
      stages: text.stages && {
        ...text.stages,
        lines: renumbered(text.stages.lines),
        width: renumbered(text.stages.width),
      },
    };
    let from = used.length;
    const children = inner.map((child) => {
      const placed = { ...child, from };
      from += child.part.holes.length;
      return placed;
    });
    const stacked = this.options.stacks.of(instance.path) !== null;
    const key = JSON.stringify([
      instance.block,
      instance.library,
      stacked,
      anew,
      inner.map(({ attr, index, part }) => [attr, index, part.kind.key]),
    ]);
    const kind = this.kinds.get(key) ?? {
      key,
      block: instance.block,
      stacked,
      native: nativeOf(instance, stacked || this.options.needs.takesMore(instance.path)),
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

/** The parameters of a class, and the holes that each parameter fills. */
export interface Signature {
  readonly names: readonly string[];
  /** The parameter that fills each hole; null if the number is written into the text. */
  readonly of: readonly (string | null)[];
  /** The text of each hole in the exported model. */
  readonly fixed: readonly string[];
}

/**
 * Computes the signatures of all kinds, inner blocks first: a class passes on the parameters that inner classes take.
 */
export function signaturesOf(kinds: readonly Kind[], root: Kind): ReadonlyMap<Kind, Signature> {
  const found = new Map<Kind, Signature>();
  for (const kind of kinds) found.set(kind, signatureOf(kind, found, kind === root));
  return found;
}

/** Hints that do not describe a number's purpose. */
const GENERIC: ReadonlySet<string> = new Set(["size", "value"]);

const weightNames = ({ weights }: Kind): readonly string[] =>
  weights.flatMap((line) => /^self\.(?:register_buffer\(")?(\w+)/.exec(line)?.[1] ?? []);

function signatureOf({ parts, native }: Kind, inner: ReadonlyMap<Kind, Signature>, isRoot: boolean): Signature {
  const [first] = parts;
  const { holes, children } = first!;
  const fixed = holes.map(({ text }) => text);
  if (native) return { names: native.parameters, of: nativeNames(native, holes), fixed };
  const ownHoles = children[0]?.from ?? holes.length;
  const names = new Names();
  // A parameter that methods read becomes an attribute next to the block's weights and inner blocks. A parameter of the
  // model becomes a field of the arguments' dataclass; names of source parameters take precedence there.
  const taken = isRoot
    ? first!.instance.numbers.keys()
    : [...children.map(({ attr }) => attr), ...weightNames(first!.kind)];
  for (const member of new Set(taken)) names.fresh(member);
  const called = new Map<string, string>();
  const keys = holes.map((_, i) => parts.map((part) => part.holes[i]!.text).join(" "));
  // If one use of a number has a hint more specific than "size", all uses take this hint.
  const hints = new Map<string, string>();
  holes.forEach(({ hint }, i) => {
    if (i < ownHoles && !GENERIC.has(hint) && !hints.has(keys[i]!)) hints.set(keys[i]!, hint);
  });
  const of = holes.map((hole, i): string | null => {
    const child = i < ownHoles ? undefined : children.findLast(({ from }) => from <= i);
    const within = child ? inner.get(child.part.kind)!.of[i - child.from] : undefined;
    if (within === null) return null;
    const all = parts.map((part) => part.holes[i]!.text);
    const key = keys[i]!;
    const known = called.get(key);
    if (known !== undefined) return known;
    const declared = [...first!.instance.numbers.keys()].find((name) =>
      parts.every(({ instance }, j) => {
        const number = instance.numbers.get(name);
        return number !== undefined && numberTexts(number).includes(all[j]!);
      }),
    );
    if (declared === undefined && all.every((text) => text === all[0])) return null;
    // Names for an inner block's number if the outer block already has a different number with the same name.
    const outer =
      child && within
        ? [/^d_(in|out)$/.test(within) ? [] : within, child.attr + within.replace(/^d?_?/, "_")].flat()
        : [];
    const hint = GENERIC.has(hole.hint) ? (hints.get(key) ?? hole.hint) : hole.hint;
    const wanted = declared === undefined ? [...outer, hint] : [declared];
    const name = isRoot && declared !== undefined ? declared : names.freshOf(wanted);
    called.set(key, name);
    return name;
  });
  const order = [...first!.instance.numbers.keys()];
  const rank = (name: string): number => (order.includes(name) ? order.indexOf(name) : order.length);
  return { names: [...new Set(of.flatMap((name) => name ?? []))].sort((a, b) => rank(a) - rank(b)), of, fixed };
}
