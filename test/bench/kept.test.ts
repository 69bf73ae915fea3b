// Parts of the bench that were measured on different days make one report.
import { expect, it } from "vitest";
import { joinParts, type Part } from "../../bench/kept.js";

const part = (section: Part["section"], id: string, date: string): Part =>
  ({ section, id, at: { date }, value: null }) as unknown as Part; // joining looks at these alone

it("replaces the parts that are measured again, and reports all in the order of the cases", () => {
  const older = [part("generation", "generate-dense", "old"), part("blocks", "mod-512", "old")];
  const newer = [part("blocks", "mod-512", "new"), part("blocks", "dense-512", "new")];
  expect(joinParts(older, newer).map(({ section, id, at }) => [section, id, at.date])).toEqual([
    ["blocks", "dense-512", "new"],
    ["blocks", "mod-512", "new"],
    ["generation", "generate-dense", "old"],
  ]);
});

it("drops a part whose case no longer exists", () => {
  expect(joinParts([part("blocks", "no-such-block", "old")], [])).toEqual([]);
});
