// Turns the functions of each block into class methods; calls with equal text share one method.
import type { Value } from "../../language/check/model/model.js";
import { bodyText, type BodyText } from "./body-text.js";
import type { Stacks } from "./experts.js";
import { filled, Holes } from "./text.js";
import { merged } from "./merged.js";
import { attribute, Names } from "./names.js";
import { Naming, usesIn } from "./statements.js";
import type { Body } from "./outline.js";
import { refuse } from "./refused.js";
import { inputSequences, type InputSequence } from "./sequences.js";
import type { SourceNotes } from "./source-notes.js";
import { stageText, type StageText } from "./stage-text.js";
import { RUN, type NeedsOf, type Variant } from "./variants.js";

export interface Method extends BodyText {
  readonly name: string;
}

export interface MethodsOptions {
  readonly variants: readonly Variant[];
  readonly notes: SourceNotes;
  readonly needs: NeedsOf;
  readonly stacks: Stacks;
  /** Whether the model is also cut into pipeline stages. */
  readonly staged?: boolean;
}

/** The methods of one block, and the numbers in their texts. */
interface Made {
  readonly methods: readonly Method[];
  readonly holes: Holes;
  /** Method names by version and call path. */
  readonly names: ReadonlyMap<Variant, ReadonlyMap<string, string>>;
  /** Only for the model itself, if stages are requested. */
  readonly stages: StageText | null;
}

/** One method: a text for each version that has the function. */
interface Group {
  readonly fn: string;
  readonly texts: Map<Variant, BodyText>;
}

export class Methods {
  readonly #methods = new Map<string, Made | null>();
  readonly #blocks: ReadonlyMap<string, string>;
  readonly #sequences: readonly InputSequence[];

  constructor(private readonly options: MethodsOptions) {
    const { model } = options.variants[0]!;
    this.#sequences = inputSequences(options.variants);
    this.#blocks = new Map([["", model.name], ...model.instances.map((i) => [i.path, i.block] as const)]);
  }

  of(instance: string): Made {
    const known = this.#methods.get(instance);
    if (known) return known;
    if (known === null) refuse("a block that is called by what it calls", instance);
    this.#methods.set(instance, null);
    const made = this.#make(instance);
    this.#methods.set(instance, made);
    return made;
  }

  #make(instance: string): Made {
    const { variants } = this.options;
    const holes = new Holes();
    const groups = new Map<string, Group>();
    const keys = new Map<Variant, Map<string, string>>();
    const naming = this.#naming(instance);
    const written = (text: string): string => filled(text, (hole) => holes.all[hole]!.text);
    for (const variant of variants) {
      const calls = new Map<string, string>();
      keys.set(variant, calls);
      const alike = new Map<string, string[]>();
      for (const body of variant.bodies.values()) {
        if (body.instance !== instance) continue;
        const text = this.#text(body, variant, holes, { naming: naming.get(body.path)! });
        const signature = instance === "" ? "" : `${body.fn}(${text.parameters.join(", ")}) -> ${text.result}`;
        const texts = at(alike, signature, () => []);
        const own = written(text.lines.join("\n"));
        if (!texts.includes(own)) texts.push(own);
        const key = `${signature} ${texts.indexOf(own)}`;
        calls.set(body.path, key);
        at(groups, key, () => ({ fn: body.fn, texts: new Map<Variant, BodyText>() })).texts.set(variant, text);
      }
    }
    // If the class has a single method, it must be `forward`, because hooks and wrappers look for `forward`.
    const names = new Names();
    const named = new Map<string, string>();
    const methods = [...groups].map(([key, { fn, texts }]): Method => {
      const name = groups.size === 1 ? "forward" : names.fresh(fn === "forward" ? fn : attribute(fn));
      named.set(key, name);
      const all = [...texts].map(([version, { lines }]) => ({ version, lines }));
      const [first] = texts.values();
      // Without the run, all versions compute the same; their lines may be broken at different places.
      const isOne = instance !== "" && !first!.parameters.includes(RUN);
      return { ...first!, name, lines: isOne ? first!.lines : merged(all, (a, b) => written(a) === written(b)) };
    });
    const moved = this.#moved(instance, holes);
    const methodOf = (variant: Variant, call: string): string => this.nameOf(variant, call);
    const isStaged = this.options.staged === true && instance === "" && variants.some((v) => v.entry === "objective");
    const block = this.#blocks.get(instance)!;
    const stages = isStaged
      ? stageText({ ...this.options, sequences: this.#sequences, holes, block, methodOf, written })
      : null;
    const ofCalls = (calls: ReadonlyMap<string, string>): ReadonlyMap<string, string> =>
      new Map([...calls].map(([call, key]) => [call, named.get(key)!]));
    return {
      methods: moved ? [...methods, moved] : methods,
      holes,
      stages,
      names: new Map([...keys].map(([variant, calls]) => [variant, ofCalls(calls)])),
    };
  }

  /** Shared names across all versions, by the call paths of an instance. */
  #naming(instance: string): ReadonlyMap<string, Naming> {
    const bodies = new Map<string, { readonly body: Body; readonly uses: ReadonlyMap<Value, number> }[]>();
    for (const variant of this.options.variants)
      for (const body of variant.bodies.values())
        if (body.instance === instance) at(bodies, body.path, () => []).push({ body, uses: usesIn(body, variant) });
    return new Map([...bodies].map(([path, all]) => [path, new Naming(all)]));
  }

  /** The method that computes a block's states after a training step; null if training moves no state of the block. */
  #moved(instance: string, holes: Holes): Method | null {
    for (const variant of this.options.variants) {
      const updates = variant.updates.get(instance);
      if (!updates) continue;
      const { behind, states } = updates;
      const path = updates.tallies[0]?.value.path ?? behind[0]?.path ?? instance;
      const items = behind.map((value) => ({ value }));
      const outs = states.map(({ value }) => value);
      const body = { path, instance, fn: "moved_states", items, ins: [], outs, axes: [], foreign: [] };
      const { lines } = this.#text(body, variant, holes, { updates });
      return { name: "moved_states", parameters: [], result: "dict[str, Tensor]", lines };
    }
    return null;
  }

  #text(
    body: Body,
    variant: Variant,
    holes: Holes,
    own: Pick<Parameters<typeof bodyText>[1], "naming" | "updates">,
  ): BodyText {
    const { notes, needs, stacks } = this.options;
    const methodOf = (call: string): string => this.nameOf(variant, call);
    const block = this.#blocks.get(body.instance)!;
    return bodyText(body, {
      variant,
      notes,
      holes,
      needs,
      stacks,
      sequences: this.#sequences,
      block,
      methodOf,
      ...own,
    });
  }

  /** The method name for a call. */
  nameOf(variant: Variant, call: string): string {
    return this.of(variant.bodies.get(call)!.instance).names.get(variant)!.get(call)!;
  }
}

function at<K, V>(map: Map<K, V>, key: K, fresh: () => V): V {
  let value = map.get(key);
  if (value === undefined) map.set(key, (value = fresh()));
  return value;
}
