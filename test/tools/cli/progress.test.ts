// Progress without a terminal: each line once, and only what is done.
import { afterEach, expect, it, vi } from "vitest";
import { withIo } from "../../../src/tools/cli/terminal/io.js";
import { showLoading, Progress } from "../../../src/tools/cli/terminal/terminal.js";

afterEach(() => vi.useRealTimers());

/** What is said from a second on. */
function said(body: (progress: Progress) => void): string {
  let text = "";
  vi.useFakeTimers();
  withIo({ stderr: { write: (more: string) => (text += more) } }, () => {
    const progress = new Progress();
    vi.advanceTimersByTime(2000);
    body(progress);
  });
  return text;
}

it("a stage that comes again is not told again", () => {
  const stages = ["opening the device", "compiling", "evaluating", "opening the device", "compiling", "evaluating"];
  expect(said((progress) => stages.forEach((stage) => progress.report(stage, "1%")))).toBe(
    "opening the device …\ncompiling …\nevaluating …\n",
  );
});

it("weights are loaded where there are some, else their starting values are made", () => {
  const told = (given: boolean): string =>
    said((progress) => showLoading({ kind: "weights", done: 1, total: 2 }, progress, { given }));
  expect([told(true), told(false)]).toEqual(["loading weights …\n", "making starting weights …\n"]);
});
