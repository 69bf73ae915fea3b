// Sizes of a run are evaluated once, and again if they were forgotten.
import { expect, it } from "vitest";
import { Resolver, type Resolved } from "../../../src/runtime/run/setting.js";
import { SizeTable } from "../../../src/runtime/steps/sizes.js";
import type { RunSizes } from "../../../src/ground/size/axes.js";

const table = new SizeTable();
table.index("4*B");
const resolver = new Resolver([{ role: "batch", name: "B", bound: null }], table, new Map());
const runOf = (batch: number): RunSizes => ({ extents: new Map([["B", batch]]), lengths: new Map(), live: new Map() });
const resolved = (batch: number): Resolved => resolver.resolve(runOf(batch));

it("gives the same object for equal sizes", () => {
  const two = resolved(2);
  expect([...two.values]).toEqual([8]);
  expect([...resolved(3).values]).toEqual([12]);
  expect(resolved(2)).toBe(two);
});

it("forgets sizes if there are many, and evaluates them again", () => {
  const first = resolved(100);
  for (let batch = 101; batch < 200; batch++) expect([...resolved(batch).values]).toEqual([4 * batch]);
  expect(resolved(100)).not.toBe(first);
  expect(resolved(100).values).toEqual(first.values);
});

it("evaluates the largest sizes apart, before the table has all sizes", () => {
  expect([...resolver.most(new Map([["B", 7]]), () => true).values]).toEqual([28]);
  table.index("8*B");
  expect([...resolved(7).values]).toEqual([28, 56]);
});
