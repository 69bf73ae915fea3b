// What runs next, as tables: sequences and runs in flight in, a plan out.
import { describe, expect, it } from "vitest";
import { DRAFTS } from "../../../src/generation/engine/draft-rules.js";
import { leastUrgent } from "../../../src/generation/engine/room.js";
import {
  nextPlan,
  type Flight,
  type Rules,
  type Scheduled,
} from "../../../src/generation/engine/sequences/scheduler.js";

type Named = Scheduled & { readonly name: string };
type Given = readonly [name: string, given: Partial<Scheduled>];

/** Sequences in the order in which they came. */
const sequences = (given: readonly Given[]): readonly Named[] =>
  given.map(([name, own], began) => ({
    name,
    began,
    kind: "",
    phase: "stepping",
    over: false,
    length: 10,
    generated: 1,
    submitted: 10,
    inFlight: 0,
    choosing: 0,
    wanted: 5,
    waitsForTokens: false,
    mayGuess: true,
    ...own,
  }));
const read = (length: number, submitted = 0): Partial<Scheduled> => ({
  phase: "reading",
  length,
  submitted,
  generated: 0,
});

const RULES: Rules = { together: false, drafts: null, whole: false, pace: { ahead: () => 2, chunk: () => 8 } };
const TOGETHER = { ...RULES, together: true };
const NONE: Flight = { steps: 0, prompts: 0, tried: new Set() };

/** `step: a 1, b 1 | c 1`: two runs. */
function planOf(given: readonly Given[], flight: Partial<Flight> = {}, rules = RULES, waiting = 0): string {
  const plan = nextPlan(sequences(given), waiting, { ...NONE, ...flight }, rules);
  if (!plan) return "nothing";
  const runs = plan.runs.map((run) => run.map(({ sequence, tokens }) => `${sequence.name} ${tokens}`).join(", "));
  return `${plan.action}: ${runs.join(" | ")}`;
}

type Row = readonly [what: string, sequences: readonly Given[], flight: Partial<Flight>, rules: Rules, plan: string];

describe("what runs next", () => {
  it.each<Row>([
    ["nothing without sequences", [], {}, RULES, "nothing"],
    [
      "a step of all that step",
      [
        ["a", {}],
        ["b", {}],
      ],
      {},
      RULES,
      "step: a 1, b 1",
    ],
    [
      "a run for each kind",
      [
        ["a", {}],
        ["b", { kind: "x" }],
        ["c", {}],
      ],
      {},
      RULES,
      "step: a 1, c 1 | b 1",
    ],
    [
      "no step of those that have ended",
      [
        ["a", { over: true }],
        ["b", {}],
      ],
      {},
      RULES,
      "step: b 1",
    ],
    [
      "no step beyond what is asked for",
      [
        ["a", { wanted: 0 }],
        ["b", {}],
      ],
      {},
      RULES,
      "step: b 1",
    ],
    ["none ahead of enough steps", [["a", {}]], { steps: 2 }, RULES, "nothing"],
    ["none that needs the token before", [["a", { waitsForTokens: true, choosing: 1 }]], {}, RULES, "nothing"],
    [
      "steps before prompts",
      [
        ["a", read(9)],
        ["b", {}],
      ],
      {},
      RULES,
      "step: b 1",
    ],
    [
      "a prompt once enough steps are in flight",
      [
        ["a", read(9)],
        ["b", {}],
      ],
      { steps: 2 },
      RULES,
      "prompt: a 8",
    ],
    ["one prompt at a time", [["a", read(9)]], { prompts: 1 }, RULES, "nothing"],
    ["the rest of a prompt", [["a", read(9, 8)]], {}, RULES, "prompt: a 1"],
    [
      "prompts that share a chunk",
      [
        ["a", read(5)],
        ["b", read(9)],
        ["c", read(9)],
      ],
      {},
      RULES,
      "prompt: a 5, b 3",
    ],
    [
      "prompts of one kind",
      [
        ["a", { ...read(5), kind: "x" }],
        ["b", read(9)],
      ],
      {},
      RULES,
      "prompt: a 5",
    ],
    [
      "nothing that had no room",
      [
        ["a", read(9)],
        ["b", {}],
      ],
      { tried: new Set(["step", "prompt"]) },
      RULES,
      "nothing",
    ],
    [
      "a prompt if steps have no room",
      [
        ["a", read(9)],
        ["b", {}],
      ],
      { tried: new Set(["step"]) },
      RULES,
      "prompt: a 8",
    ],
  ])("%s", (_what, given, flight, rules, plan) => expect(planOf(given, flight, rules)).toBe(plan));

  it.each<Row>([
    [
      "a chunk of each prompt",
      [
        ["a", read(5)],
        ["b", read(9)],
      ],
      {},
      TOGETHER,
      "prompt: a 5, b 8",
    ],
    [
      "no step while one is read",
      [
        ["a", read(9, 8)],
        ["b", {}],
      ],
      {},
      TOGETHER,
      "prompt: a 1",
    ],
    [
      "then steps of all",
      [
        ["a", {}],
        ["b", {}],
      ],
      {},
      TOGETHER,
      "step: a 1, b 1",
    ],
    ["not the last token with others again", [["a", { ...read(9), generated: 3 }]], {}, TOGETHER, "prompt: a 8"],
    ["but by itself", [["a", { ...read(9, 8), generated: 3 }]], {}, TOGETHER, "prompt: a 1"],
    ["a whole prompt", [["a", read(99)]], {}, { ...TOGETHER, whole: true }, "prompt: a 99"],
    [
      "no generated token with it",
      [["a", { ...read(99), generated: 3 }]],
      {},
      { ...TOGETHER, whole: true },
      "prompt: a 96",
    ],
    ["each by itself", [["a", { ...read(99, 97), generated: 3 }]], {}, { ...TOGETHER, whole: true }, "prompt: a 1"],
  ])("of sequences that are together: %s", (_what, given, flight, rules, plan) =>
    expect(planOf(given, flight, rules)).toBe(plan),
  );

  const GUESSING = { ...RULES, drafts: DRAFTS };
  it.each<Row>([
    ["four tokens and the one before", [["a", { wanted: 9 }]], {}, GUESSING, "draft: a 5"],
    [
      "fewer near the end of one",
      [
        ["a", { wanted: 9 }],
        ["b", { wanted: 3 }],
      ],
      {},
      GUESSING,
      "draft: a 3, b 3",
    ],
    ["none for the last token", [["a", { wanted: 1 }]], {}, GUESSING, "step: a 1"],
    [
      "none with penalties",
      [
        ["a", { mayGuess: false }],
        ["b", {}],
      ],
      {},
      GUESSING,
      "draft: b 5",
    ],
    [
      "then a step of the others",
      [
        ["a", { mayGuess: false }],
        ["b", {}],
      ],
      { tried: new Set(["draft "]) },
      GUESSING,
      "step: a 1",
    ],
    ["none while a run reads its tokens", [["a", { inFlight: 1, choosing: 1 }]], {}, GUESSING, "nothing"],
    [
      "a kind at a time",
      [
        ["a", {}],
        ["b", { kind: "x" }],
      ],
      { tried: new Set(["draft "]) },
      GUESSING,
      "draft: b 5",
    ],
    [
      "before prompts are read",
      [
        ["a", read(9)],
        ["b", {}],
      ],
      {},
      GUESSING,
      "draft: b 5",
    ],
  ])("of guesses: %s", (_what, given, flight, rules, plan) => expect(planOf(given, flight, rules)).toBe(plan));

  it("asks for fewer steps ahead, and shorter chunks, if others wait", () => {
    const asked: (readonly [string, boolean])[] = [];
    const rules = {
      ...RULES,
      pace: {
        ahead: (hurry: boolean) => (asked.push(["ahead", hurry]), 0),
        chunk: (others: boolean) => (asked.push(["chunk", others]), 3),
      },
    };
    expect(planOf([["a", {}]], {}, rules)).toBe("nothing");
    expect(planOf([["a", {}]], {}, rules, 1)).toBe("nothing");
    expect(
      planOf(
        [
          ["a", {}],
          ["b", read(9)],
        ],
        {},
        rules,
      ),
    ).toBe("prompt: b 3");
    expect(planOf([["b", read(9)]], {}, rules)).toBe("prompt: b 3");
    expect(asked).toEqual([
      ["ahead", false],
      ["ahead", true],
      ["ahead", true],
      ["chunk", true],
      ["ahead", true],
      ["chunk", false],
    ]);
  });

  it("the sequence that came last gives up its memory", () => {
    expect(
      leastUrgent(
        sequences([
          ["a", { began: 3 }],
          ["b", { began: 7 }],
          ["c", { began: 5 }],
        ]),
      ).name,
    ).toBe("b");
  });
});
