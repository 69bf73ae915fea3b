// results.json: every part of the bench as it was last measured, so that parts can be measured on different days.
import { existsSync, readFileSync } from "node:fs";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { cases } from "./cases.js";
import type { FirstTokens } from "./first/measure.js";
import { generateCases } from "./generating/cases.js";
import type { MeasuredGeneration } from "./generating/measure.js";
import type { FirstRuns, Measured } from "./measure.js";
import { replaceFile } from "./replace-file.js";
import { trainCases } from "./training/cases.js";
import type { MeasuredTraining } from "./training/measure.js";

/** The circumstances of a measurement. */
export interface Circumstances {
  /** ISO 8601. */
  readonly date: string;
  readonly minutes: number;
  /** Load averages of the last minute: when the part began and when it ended. */
  readonly load: readonly [before: number, after: number];
  /** The device, by its driver's name for it, and the processor. */
  readonly device: string;
  readonly processor: string;
  /** Multiply-adds in registers, the best of all rounds, GFLOP/s. */
  readonly peak: number;
}

/** The values of each section. */
export interface Sections {
  readonly blocks: Measured;
  readonly first: FirstRuns;
  readonly tokens: FirstTokens;
  readonly training: MeasuredTraining;
  readonly generation: MeasuredGeneration;
}
export type SectionName = keyof Sections;

export type Part = {
  [S in SectionName]: {
    readonly section: S;
    /** The id of the case; every part of a section has a different id. */
    readonly id: string;
    readonly at: Circumstances;
    readonly value: Sections[S];
  };
}[SectionName];

/** The order in which parts are reported. */
const ORDER: Readonly<Record<SectionName, readonly string[]>> = {
  blocks: cases.map((c) => c.id),
  first: cases.map((c) => c.id),
  tokens: ["tokens"],
  training: trainCases.map((c) => c.id),
  generation: generateCases.map((c) => c.id),
};

/** The newer parts, and of the older ones those that are not measured again; cases that no longer exist are dropped. */
export function joinParts(older: readonly Part[], newer: readonly Part[]): readonly Part[] {
  const keyOf = ({ section, id }: Part): string => `${section} ${id}`;
  const parts = new Map([...older, ...newer].map((part) => [keyOf(part), part]));
  return Object.entries(ORDER).flatMap(([section, ids]) => ids.flatMap((id) => parts.get(`${section} ${id}`) ?? []));
}

/** The values of a section. */
export const valuesOf = <S extends SectionName>(parts: readonly Part[], section: S): readonly Sections[S][] =>
  // `section` names the type of `value`
  parts.flatMap((part) => (part.section === section ? [part.value as Sections[S]] : []));

const FILE = "results.json";

/** The parts that results.json keeps; none if there is no such file. */
export function readParts(): readonly Part[] {
  const path = fileURLToPath(new URL(FILE, import.meta.url));
  // the bench's own file
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8"), withMaps) as readonly Part[]) : [];
}

export const writeParts = (parts: readonly Part[]): void =>
  replaceFile(FILE, `${JSON.stringify(parts, withoutMaps, 1)}\n`);

/** A map as `{ map: [[key, value], …] }`. */
const withoutMaps = (_: string, value: unknown): unknown => (value instanceof Map ? { map: [...value] } : value);

const withMaps = (_: string, value: unknown): unknown =>
  typeof value === "object" && value !== null && Object.hasOwn(value, "map") // an array inherits its `map`
    ? new Map((value as { readonly map: readonly [unknown, unknown][] }).map)
    : value;

export const processorName = (): string => `${cpus().length} cores of ${cpus()[0]?.model.trim() ?? "an unknown one"}`;
