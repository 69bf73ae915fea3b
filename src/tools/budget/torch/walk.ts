// Executes a model's bodies as the exported module does, on tensors without data.
import { bug } from "../../../ground/base/invariant.js";
import type { Instance, Model, Value } from "../../../language/check/model.js";
import { nativeOf } from "../../export/native.js";
import { axisMade, axisOfTokens, type Body } from "../../export/outline.js";
import type { Shared } from "../../export/tensor-parallel.js";
import type { NeedsOf, Variant } from "../../export/variants.js";
import type { Sizes } from "../../../ground/size/axes.js";
import { layerNorm, rmsNorm } from "./functions.js";
import { rows, type Axis } from "./helpers.js";
import type { Parameters } from "./parameters.js";
import { endCast, linear } from "./products.js";
import { resultOf, type Scope } from "./rules.js";
import { bytesOf, contiguous, type Tensor, type TorchType } from "./tensor.js";
import type { Torch } from "./torch.js";

export interface Run {
  readonly torch: Torch;
  readonly variant: Variant;
  readonly needs: NeedsOf;
  readonly sizes: Sizes;
  readonly parameters: Parameters;
  /** How each linear layer is divided, by path. */
  readonly shared: (path: string) => Shared["style"] | null;
  readonly recompute: boolean;
}

/** The `parallelize.py` unit that contains a path: a member of the model's lists; empty for other paths. */
export const groupOf = (path: string): string => /^[^.]+\.\d+(?=\.|$)/.exec(path)?.[0] ?? "";

/** The losses of a forward pass. */
export function lossesOf(run: Run): readonly Tensor[] {
  return new Walk(run).losses();
}

class Walk {
  readonly #values = new Map<Value, Tensor | null>();
  readonly #axes = new Map<string, Axis>();
  readonly #kept = new Map<Value, Tensor>();
  readonly #model: Model;
  readonly #instances: ReadonlyMap<string, Instance>;
  readonly #scope: Scope;

  constructor(private readonly run: Run) {
    this.#model = run.variant.model;
    this.#instances = new Map(this.#model.instances.map((instance) => [instance.path, instance]));
    this.#scope = {
      torch: run.torch,
      model: this.#model,
      tokens: (axis) => run.sizes.sequence(axis).longest,
      axis: (name) => this.#axes.get(name) ?? bug(`the sequence ${name} is not there`),
      chosen: (route) => ({
        index: this.#values.get(route) ?? bug("a route is not there"),
        valid: this.#axes.get(axisMade(route)[0]!)!.valid,
      }),
      make: (name, positions, valid) => {
        const { tape } = run.torch;
        this.#axes.set(name, { positions: tape.name(positions), valid: valid && tape.name(valid) });
      },
    };
  }

  losses(): readonly Tensor[] {
    const { torch, variant, parameters, sizes } = this.run;
    const { tape } = torch;
    parameters.forward("");
    for (const { value, type } of this.#model.inputs) {
      const shape = type.shape.map((size) => sizes.number(size));
      const own: TorchType = type.dtype === "f32" ? "f32" : type.dtype === "bool" ? "bool" : "i64";
      const storage = tape.allocate(bytesOf(shape, own), "states");
      this.#values.set(value, { storage, shape, strides: contiguous(shape), type: own, sink: null, temporary: false });
    }
    const sequence = this.#model.axes.find((axis) => axis.role === "sequence" && axis.count.kind === "input");
    if (sequence)
      this.#scope.make(sequence.name, rows(torch, sizes.batch, sizes.sequence(sequence.name).longest), null);
    this.#body(variant.bodies.get("")!);
    endCast(torch);
    parameters.left("");
    tape.hook(() => parameters.backward(""));
    return this.#model.losses.map(({ value }) => this.#kept.get(value) ?? bug("a loss is not there"));
  }

  /** Computes a body; the results are temporaries of the caller. */
  #body(body: Body): readonly Tensor[] {
    const { tape } = this.run.torch;
    const uses = usesIn(body);
    const losses = this.#model.losses.map(({ value }) => value);
    const inputs = body.ins.flatMap((value) => this.#values.get(value) ?? []);
    return tape.call(inputs, () => {
      for (const item of body.items) {
        if (item.value?.op === "input") continue;
        const made = item.value ? [item.value] : item.body.outs;
        const results = item.value ? [this.#value(item.value)] : this.#child(item.body);
        made.forEach((value, i) => {
          const result = results[i]!;
          if (result && losses.includes(value)) {
            this.#kept.set(value, { ...tape.alias(result), temporary: false });
            if ((uses.get(value) ?? 0) === 0) tape.drop(result);
          }
          if (result && (uses.get(value) !== 1 || isRoute(value))) tape.name(result);
          this.#values.set(value, result);
        });
        for (const more of results.slice(made.length)) if (more) tape.name(more);
      }
      // A returned route also returns its token axis.
      const axes = body.outs.filter(isRoute).flatMap((value) => this.#axes.get(axisOf(value)) ?? []);
      return [
        ...body.outs.flatMap((value) => this.#values.get(value) ?? []),
        ...axes.flatMap(({ positions, valid }) => (valid ? [positions, valid] : [positions])),
      ];
    });
  }

  #value(value: Value): Tensor | null {
    const inputs = value.inputs.map((input) => this.#operand(input));
    return resultOf(this.#scope, value, inputs);
  }

  #operand(value: Value): Tensor | null {
    if (value.op === "number" || value.op === "live") return null;
    if (isWeight(value)) return this.run.parameters.tensor(value.attrs.path);
    const found = this.#values.get(value);
    return found === undefined ? bug(`what ${value.op} gives is not there`) : found;
  }

  #child(body: Body): readonly (Tensor | null)[] {
    const { torch, parameters, recompute } = this.run;
    const group = groupOf(body.path);
    if (group !== body.path) return this.#called(body);
    const { tape } = torch;
    parameters.forward(group);
    tape.hook(() => parameters.done(group));
    const inputs = body.ins.flatMap((value) => this.#values.get(value) ?? []);
    const called = (): readonly Tensor[] => this.#called(body);
    const end = (): void => endCast(torch);
    const results = recompute ? tape.call(inputs, () => tape.checkpoint(inputs, called, end)) : called();
    parameters.left(group);
    tape.hook(() => parameters.backward(group));
    return results;
  }

  #called(body: Body): readonly Tensor[] {
    const { torch, needs, parameters, shared } = this.run;
    const instance = this.#instances.get(body.path);
    const native = instance && nativeOf(instance, needs.takesMore(body.path));
    if (!native) return this.#body(body);
    const x = this.#operand(body.ins[0]!)!;
    const [weight, bias] = ["weight", "bias"].map((name) => parameters.tensor(`${body.path}.${name}`));
    return torch.tape.call([x], () => {
      if (native.base === "nn.Linear") return [linear(torch, x, weight!, bias ?? null, shared(body.path))] as const;
      if (native.base === "nn.RMSNorm") return [rmsNorm(torch, x, weight!)] as const;
      return [layerNorm(torch, x, weight!, bias ?? null)] as const;
    });
  }
}

const isWeight = (value: Value): value is Value<"weight"> => value.op === "weight";

const isRoute = (value: Value): boolean => axisMade(value).length > 0 || axisOfTokens(value) !== null;

const axisOf = (value: Value): string => axisMade(value)[0] ?? axisOfTokens(value) ?? bug("no axis is made here");

/** The number of times a body reads or returns each value. */
function usesIn(body: Body): ReadonlyMap<Value, number> {
  const uses = new Map<Value, number>();
  const read = body.items.flatMap((item) => (item.value ? item.value.inputs : item.body.ins));
  for (const value of [...read, ...body.outs]) uses.set(value, (uses.get(value) ?? 0) + 1);
  return uses;
}
