// By-products of unrolling, each with its call: losses, observed values, updates and routes.
import type { Span } from "../../diagnostics/span.js";
import type { Trace } from "../checker.js";
import type { WeightRecord } from "../names/bindings.js";
import type { CallNode } from "./call-tree.js";
import type { ModelMixture, Value } from "../model.js";

export interface FoundLoss {
  readonly node: CallNode;
  readonly name: string;
  readonly value: Value;
  readonly own: boolean;
}

export interface FoundObserve {
  readonly node: CallNode;
  readonly name: string;
  readonly value: Value;
}

export interface FoundUpdate {
  readonly node: CallNode;
  /** The calls that led to the update. */
  readonly trace: Trace | null;
  readonly state: WeightRecord;
  readonly value: Value;
  /** The name in the statement. */
  readonly span: Span;
}

export interface FoundMixture extends Omit<ModelMixture, "path"> {
  readonly node: CallNode;
}

/** A route with the name to which it was first bound. */
export interface FoundRoute {
  readonly node: CallNode;
  readonly name: string;
  readonly axis: string;
}
