// Random graph steps on sequences: routes taken and put back, heads, rotations by position, attention.
import { typeOf, type Node } from "../../../src/compiler/ir/graph.js";
import { equalShapes, inputsFor, packedAxis } from "../../../src/compiler/ir/typing.js";
import { rowsSize, type Size } from "../../../src/ground/size/size.js";
import { axisOf, last, operand, routeOf, rowDim, weight, WIDTHS, type Maker, type World } from "./random-world.js";

export const taken: Maker = (world, a, b, c) => {
  const x = operand(world, a, (v) => routeOf(world, v, b) !== null);
  if (!x) return [];
  const { index } = routeOf(world, x, b)!;
  const take = world.emit.node("take", [x, index], { dim: rowDim(x) });
  const other = c % 3 === 0 ? operand(world, c, (v) => v !== x && axisOf(v) === axisOf(x)) : null;
  return [take, other && world.emit.node("take", [other, index], { dim: rowDim(other) })];
};

/** Rows of a route put back into a value that they fit. */
export const put: Maker = (world, a, b, c) => {
  const rows = operand(world, a, (v) => world.routes.some((r) => r.axis === axisOf(v)));
  if (!rows) return [];
  const dim = rowDim(rows);
  const route = world.routes.find((r) => r.axis === axisOf(rows))!;
  const x = operand(world, b, (v) =>
    equalShapes(
      typeOf(v).shape,
      typeOf(rows).shape.map((s, d) => (d === dim ? rowsSize(route.parent) : s)),
    ),
  );
  if (!x) return [];
  return [world.emit.node(c % 2 === 0 ? "put" : "set", [x, route.index, rows], { dim })];
};

/** The whole block of Mixture-of-Depths: rows of x, a product back to their width, and rows put back. */
export const routed: Maker = (world, a, b, c) => {
  const x = operand(
    world,
    a,
    (v) =>
      typeOf(v).shape.length === 2 && rowDim(v) === 0 && routeOf(world, v, b) !== null && typeof last(v) === "number",
  );
  if (!x) return [];
  const { emit } = world;
  const { index } = routeOf(world, x, b)!;
  const rows = emit.node("take", [x, index], { dim: 0 });
  const width = Number(last(x));
  const inner = WIDTHS[c % WIDTHS.length]!;
  const up = emit.node("silu", [emit.node("matmul", [rows, weight(world, [inner, width])], { transposed: true })], {});
  const down = emit.node("matmul", [up, weight(world, [inner, width])], { transposed: false });
  const gated =
    b % 2 === 0
      ? down
      : emit.node("mul", [down, emit.node("sigmoid", [emit.node("sum", [rows], { axes: [1], keep: true })], {})], {});
  const update = c % 2 === 0 ? gated : emit.node("add", [gated, rows], {});
  return [
    emit.node(
      c % 2 === 0 ? "put" : "set",
      [b % 5 === 0 ? emit.node("reshape", [x], { shape: typeOf(x).shape }) : x, index, update],
      { dim: 0 },
    ),
  ];
};

/** [N, H · w] → [N, H, w], [H, N, w], and such heads back. */
export const heads: Maker = (world, a, b, c) => {
  const x = operand(world, a, (v) => rowDim(v) >= 0 && (typeOf(v).shape.length === 2 || typeOf(v).shape.length === 3));
  if (!x) return [];
  const { shape } = typeOf(x);
  const { emit } = world;
  if (shape.length === 3) {
    const rows = rowDim(x);
    const others = [0, 1, 2].filter((d) => d !== rows);
    const turned = emit.node("permute", [x], { order: [rows, ...others] });
    return [
      turned,
      emit.node("reshape", [turned], { shape: [shape[rows]!, Number(shape[others[0]!]) * Number(shape[others[1]!])] }),
    ];
  }
  if (rowDim(x) !== 0) return [];
  const width = Number(last(x));
  const fits = [1, 2, 4, 6, 8, 64, width].filter((w) => width % w === 0);
  const w = fits[b % fits.length]!;
  const split = emit.node("reshape", [x], { shape: [shape[0]!, width / w, w] });
  return c % 3 === 0 ? [split] : [split, emit.node("permute", [split], { order: [1, 0, 2] })];
};

const positionsOf = (world: World, axis: string): Node => {
  const { emit, routes, starts } = world;
  const route = routes.find((r) => r.axis === axis);
  return route
    ? emit.node("take", [positionsOf(world, route.parent), route.index], { dim: 0 })
    : emit.node("positions", [starts.get(axis)!], { axis });
};

export const rope: Maker = (world, a, b) => {
  const x = operand(world, a, (v) => {
    const { shape } = typeOf(v);
    return (
      shape.length >= 2 && rowDim(v) === shape.length - 2 && typeof last(v) === "number" && Number(last(v)) % 2 === 0
    );
  });
  if (!x) return [];
  const { emit } = world;
  const table = emit.node("rope_table", [], {
    positions: 64,
    width: Number(last(x)),
    theta: 100,
    frequencies: null,
    scale: 1,
  });
  const axis = packedAxis(typeOf(x).shape.at(-2)!)!;
  return [b % 3 === 0 ? x : emit.node("tanh", [x], {}), emit.node("rope", [x, positionsOf(world, axis), table], {})];
};

/** Two values of one, turned. */
export const turned: Maker = (world, a, b, c) => {
  const x = operand(world, a, (v) => typeOf(v).shape.length === 2 && rowDim(v) === 0 && typeof last(v) === "number");
  const width = x ? Number(last(x)) : 0;
  const even = [2, 4, 6, 8, 64].filter((w) => width % w === 0);
  if (!x || even.length === 0) return [];
  const { emit } = world;
  const w = even[b % even.length]!;
  const at = positionsOf(world, packedAxis(typeOf(x).shape[0]!)!);
  const table = emit.node("rope_table", [], { positions: 64, width: w, theta: 100, frequencies: null, scale: 1 });
  const rotated = (of: Node): Node => {
    const heads = emit.node("permute", [emit.node("reshape", [of], { shape: [typeOf(x).shape[0]!, width / w, w] })], {
      order: [1, 0, 2],
    });
    return emit.node("rope", [heads, at, table], {});
  };
  return [
    rotated(c % 2 === 0 ? x : emit.node("sin", [x], {})),
    c % 3 === 0 ? rotated(emit.node("tanh", [x], {})) : null,
  ];
};

/** The rows that a route chooses of one value, put into another, with what both were before. */
export const exchanged: Maker = (world, a, b, c) => {
  const fits = (v: Node): boolean =>
    typeOf(v).shape.length === 2 && rowDim(v) === 0 && routeOf(world, v, c) !== null && typeof last(v) === "number";
  const x = operand(world, a, fits);
  const y = x && operand(world, b, (v) => fits(v) && last(v) === last(x) && axisOf(v) === axisOf(x));
  if (!x || !y) return [];
  const { emit } = world;
  const { index } = routeOf(world, x, c)!;
  const take = (v: Node): Node => emit.node("take", [v, index], { dim: 0 });
  const width = Number(last(x));
  const update = (of: Node): Node =>
    emit.node(
      "add",
      [
        emit.node(
          "mul",
          [emit.node("matmul", [take(of), weight(world, [width, width])], { transposed: c % 2 === 0 }), take(x)],
          {},
        ),
        take(y),
      ],
      {},
    );
  const into = (v: Node, rows: Node): Node => emit.node(b % 2 === 0 ? "put" : "set", [v, index, rows], { dim: 0 });
  return [into(x, update(x)), into(y, update(y))];
};

export const attention: Maker = (world, a, b, c) => {
  const isHeads = (v: Node): boolean => typeOf(v).shape.length === 3 && rowDim(v) === 1;
  const q = operand(world, a, isHeads);
  if (!q) return [];
  const [h, rows, w] = typeOf(q).shape as [number, Size, number];
  const fits = (v: Node): boolean =>
    isHeads(v) && equalShapes([rows], [typeOf(v).shape[1]!]) && h % Number(typeOf(v).shape[0]) === 0;
  const k = operand(world, b, (v) => fits(v) && last(v) === w);
  const v = k && operand(world, c, (n) => fits(n) && typeOf(n).shape[0] === typeOf(k).shape[0]);
  if (!k || !v) return [];
  const axis = packedAxis(rows)!;
  const [starts, at] = [world.starts.get(axis)!, positionsOf(world, axis)];
  return [
    world.emit.node("attention", [q, k, v, starts, starts, at, at], {
      causal: b % 2 === 0,
      window: c % 3 === 0 ? 2 : 0,
      scale: 0.5,
    }),
  ];
};

/** Projections, turned, attended and merged, as a layer has them. */
export const attended: Maker = (world, a, b, c) => {
  const x = operand(world, a, (v) => typeOf(v).shape.length === 2 && rowDim(v) === 0 && typeof last(v) === "number");
  if (!x) return [];
  const { emit } = world;
  const axis = packedAxis(typeOf(x).shape[0]!)!;
  const width = [2, 4, 6, 8, 64][b % 5]!;
  const [h, g] = [
    [2, 1],
    [3, 3],
    [4, 2],
    [1, 1],
  ][c % 4] as [number, number];
  const depth = Number(last(x));
  const columns = [h * width, g * width, g * width];
  const y = emit.node(
    "matmul",
    [
      x,
      emit.node(
        "concat",
        columns.map((n) => weight(world, [n, depth])),
        { axis: 0 },
      ),
    ],
    { transposed: true },
  );
  const table = emit.node("rope_table", [], { positions: 64, width, theta: 100, frequencies: null, scale: 1 });
  const at = positionsOf(world, axis);
  const parts = columns.map((n, i) => {
    const start = columns.slice(0, i).reduce((s, v) => s + v, 0);
    const slice = emit.node("slice", [y], { axis: 1, start, stop: start + n });
    const biased = c % 5 === 0 ? emit.node("add", [slice, weight(world, [n])], {}) : slice;
    const split = emit.node("reshape", [biased], { shape: [typeOf(x).shape[0]!, n / width, width] });
    const turned = emit.node("permute", [split], { order: [1, 0, 2] });
    return i < 2 && b % 3 !== 0 ? emit.node("rope", [turned, at, table], {}) : turned;
  });
  const starts = world.starts.get(axis)!;
  const out = emit.node("attention", inputsFor("attention", [...parts, starts, starts, at, at]), {
    causal: true,
    window: 0,
    scale: 0.5,
  });
  const back = emit.node("permute", [out], { order: [1, 0, 2] });
  return [c % 7 === 0 ? parts[1]! : null, emit.node("reshape", [back], { shape: [typeOf(x).shape[0]!, h * width] })];
};
