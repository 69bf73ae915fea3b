// What `npm run soak` writes: a section for each kind of trial, which keeps its last result when other sections are
// run.

const HEAD = `# Soak

The random trials of \`npm test\`, many times as long and from new seeds. \`npm run soak\` runs all sections,
\`npm run soak -- training\` one of them; each section tells when it was last run.
\`SOAK=<times> SOAK_SEED=<seed> npx vitest run <file>\` repeats a trial.
`;

/** The sections of a report by name, each with its text, in the order they stand in. */
export function sectionsOf(report) {
  return new Map(
    report
      .split(/^## /m)
      .slice(1)
      .map((part) => {
        const end = part.indexOf("\n");
        return [part.slice(0, end).trim(), part.slice(end + 1).trim()];
      }),
  );
}

/** One section's text: when, with what, and a line for each trial. */
export function sectionText({ date, command, node, processor, seed, rows }) {
  return [
    `${date}, \`${command}\`, Node ${node}, ${processor}, seed offset ${seed}.`,
    "",
    "| trial | cases | result | time |",
    "|---|---|---|---|",
    ...rows.map(({ what, cases, result, seconds }) => `| ${what} | ${cases} | ${result} | ${seconds} s |`),
  ].join("\n");
}

/**
 * The report with new texts of some sections; all others stay. `order` names the report's sections: sections that it
 * does not name are dropped.
 */
export function withSections(report, fresh, order) {
  const old = sectionsOf(report);
  const parts = order.flatMap((name) => {
    const text = fresh.get(name) ?? old.get(name);
    return text === undefined ? [] : [`\n## ${name}\n\n${text}\n`];
  });
  return HEAD + parts.join("");
}
