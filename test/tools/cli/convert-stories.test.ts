// Runs the command that `modc convert --mod` prints, on a small trained model and text that this model wrote. The
// predictors learn to skip.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { noStories, STORIES } from "../../stories.js";
import { modc, temporaryFolder } from "./spawn.js";

const temporary = temporaryFolder();
afterAll(temporary.remove);

const PROMPTS = [
  "Once upon a time",
  "One day",
  "There was a",
  "Lily",
  "Tom",
  "The dog",
  "In the park",
  "A little girl",
];
const CAPACITY = 0.125;
/** The most by which a share of the tokens may differ from the share asked for. */
const WITHIN = 0.2;

interface Validation {
  readonly kind: string;
  readonly step: number;
  readonly best: boolean;
  readonly loss: number;
  readonly rules: Readonly<Record<string, { readonly shares: Readonly<Record<string, number>> }>>;
}

async function written(): Promise<string> {
  const texts: string[] = [];
  for (const seed of [100, 200, 300, 400]) {
    const asked = PROMPTS.flatMap((prompt) => ["--prompt", prompt]);
    const { status, stdout } = await modc(["generate", STORIES!, ...asked, "--seed", `${seed}`, "-n", "500", "--json"]);
    expect(status).toBe(0);
    const { texts: each } = JSON.parse(stdout.trimEnd().split("\n").at(-1)!) as { texts: { text: string }[] };
    texts.push(...each.map(({ text }) => text.trim()));
  }
  return temporary.file("stories.txt", texts.join("\0"));
}

it.skipIf(STORIES === null)(
  `a converted model learns to skip by the command that is printed${noStories}`,
  { tags: "long", timeout: 300_000 },
  async () => {
    const data = await written();
    const folder = join(temporary.path, "routed");
    const converted = await modc(["convert", STORIES!, "-o", folder, "--mod", `capacity=${100 * CAPACITY}%`]);
    const [, line] = /^train the new weights: modc (.*) --data … -o run$/m.exec(converted.stdout)!;
    const validations = async (name: string, more: readonly string[]): Promise<readonly Validation[]> => {
      const output = join(temporary.path, name);
      const sizes = ["--steps", "200", "--length", "128"];
      const { status, stderr } = await modc([...line!.split(" "), "--data", data, "-o", output, ...sizes, ...more]);
      expect(status, stderr).toBe(0);
      const entries = readFileSync(join(output, "log.jsonl"), "utf8").trimEnd().split("\n");
      return entries.map((entry) => JSON.parse(entry) as Validation).filter(({ kind }) => kind === "validation");
    };
    const found = await validations("run", []);
    const fast = await validations("fast", ["--lr", "1e-2"]);
    const share = ({ rules }: Validation): number => {
      const shares = Object.values(rules["causal"]!.shares);
      return shares.reduce((sum, one) => sum + one, 0) / shares.length;
    };
    expect(Math.abs(share(found.at(-1)!) / CAPACITY - 1)).toBeLessThan(WITHIN);
    const bestLoss = (of: readonly Validation[]): number =>
      Math.min(...of.filter(({ best }) => best).map((v) => v.loss));
    expect(found.some(({ best }) => best)).toBe(true);
    expect(bestLoss(found) / bestLoss(fast)).toBeLessThan(1.01);
  },
);
