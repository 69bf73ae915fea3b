// The world of random graphs: its values, and the choice of operands.
import type { Emit } from "../../../src/compiler/ir/build.js";
import { typeOf, type Node } from "../../../src/compiler/ir/graph.js";
import { packedAxis } from "../../../src/compiler/ir/typing.js";
import type { Size } from "../../../src/ground/size/size.js";

/** Each instruction takes numbers that choose operands and attributes among what is possible. */
export type Instruction = readonly [kind: number, a: number, b: number, c: number];

/** The rows of a parent axis that make another. */
export interface Route {
  readonly axis: string;
  readonly parent: string;
  readonly index: Node;
}

/** What there is to work with. */
export interface World {
  readonly emit: Emit;
  readonly values: Node[];
  readonly starts: ReadonlyMap<string, Node>;
  readonly routes: readonly Route[];
  weights: number;
}

/** Makes nodes, null among them where an operand is missing; the numbers choose. */
export type Maker = (world: World, a: number, b: number, c: number) => readonly (Node | null)[];

/** Of weights and inputs. */
export const WIDTHS = [1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 32, 36, 64, 70] as const;

/** An operand: in nine of ten cases one of the last four values. */
export function operand({ values }: World, n: number, fits: (node: Node) => boolean = () => true): Node | null {
  const found = values.filter((v) => typeOf(v).dtype === "f32" && fits(v));
  if (found.length === 0) return null;
  const back = n % 10 === 0 ? Math.floor(n / 10) % found.length : Math.floor(n / 10) % Math.min(4, found.length);
  return found[found.length - 1 - back]!;
}

export const isMatrixLike = (node: Node): boolean => typeOf(node).shape.length >= 2;
export const last = (node: Node): Size => typeOf(node).shape.at(-1)!;
/** The dimension of a sequence's rows; −1 if no dimension or several have rows. */
export const rowDim = (node: Node): number => {
  const { shape } = typeOf(node);
  const packed = shape.flatMap((s, d) => (packedAxis(s) === null ? [] : [d]));
  return packed.length === 1 ? packed[0]! : -1;
};

/** The axis of its rows; null where it has none. */
export const axisOf = (node: Node): string | null =>
  rowDim(node) < 0 ? null : packedAxis(typeOf(node).shape[rowDim(node)]!);

/** A route over the rows of a node. */
export function routeOf({ routes }: World, node: Node, n: number): Route | null {
  const found = routes.filter((r) => r.parent === axisOf(node));
  return found.length === 0 ? null : found[n % found.length]!;
}

export function weight(world: World, shape: readonly number[]): Node {
  return world.emit.node("weight", [], { path: `w${world.weights++}.${shape.join("x")}`, dtype: "f32", shape });
}

export const constant = ({ emit }: World, value: number): Node =>
  emit.node("constant", [], { value, dtype: "f32", shape: [] });
