// By-products of unrolling, each with its call: losses, observed values and routes.
import type { CallNode } from "./call-tree.js";
import type { Value } from "../model.js";

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

/** A route with the name to which it was first bound. */
export interface FoundRoute {
  readonly node: CallNode;
  readonly name: string;
  readonly axis: string;
}
