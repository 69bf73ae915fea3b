// What unrolling finds beside operations, each with the call it was found in: losses, observed values and routes.
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

/** A route, by the name it was first bound to. */
export interface FoundRoute {
  readonly node: CallNode;
  readonly name: string;
  readonly axis: string;
}
