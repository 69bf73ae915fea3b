// The cost of opening a page of the site: requests, bytes and the time until something is seen, with budgets.
import { readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { gzipSync } from "node:zlib";

/**
 * What any page may cost, with what it shows at once: requests, compressed bytes, milliseconds until its first content
 * is painted.
 */
export const BUDGET = { requests: 8, bytes: 150_000, paintMs: 1000 };
/** The playground before its compiler comes, which has a limit of its own in the playground's tests. */
export const PLAYGROUND_BUDGET = { requests: 8, bytes: 200_000, paintMs: 2500 };

/** The files that a page requests while it opens: pictures, pages within it, styles and scripts. */
const ASKS = /<(?:img|iframe|script)\b[^>]*\ssrc="([^"#?]+)"|<link\b[^>]*\srel="stylesheet"[^>]*\shref="([^"#?]+)"/g;

/**
 * Requests and compressed bytes of a page of the folder, with all that it shows at once. Files that are asked for twice
 * count once. Throws for a page that asks another host.
 */
export function weightOf(folder, page) {
  const found = new Map();
  const add = (file) => {
    if (found.has(file)) return;
    const content = readFileSync(join(folder, file));
    found.set(file, gzipSync(content).length);
    if (!file.endsWith(".html")) return;
    for (const [, source, style] of content.toString("utf8").matchAll(ASKS)) {
      const asked = source ?? style;
      if (/^(?:https?:)?\/\//.test(asked)) throw new Error(`${file} asks for ${asked}, which is elsewhere`);
      if (!/^(?:data|blob):/.test(asked)) add(posix.join(posix.dirname(file), asked));
    }
  };
  add(page);
  return { page, requests: found.size, bytes: [...found.values()].reduce((a, b) => a + b, 0) };
}

/** The page with the largest share of its budget. */
export const heaviest = (folder, pages) => {
  const part = ({ requests, bytes }) => Math.max(requests / BUDGET.requests, bytes / BUDGET.bytes);
  return pages.map((page) => weightOf(folder, page)).reduce((most, own) => (part(own) > part(most) ? own : most));
};

export const isWithin = ({ requests, bytes }, budget) => requests <= budget.requests && bytes <= budget.bytes;

/** `docs/serving.html: 10 kB in 2 requests, of 150 kB in 8` */
export const toldWeight = ({ page, requests, bytes }, budget) =>
  `${page}: ${Math.ceil(bytes / 1000)} kB in ${requests} requests, of ${budget.bytes / 1000} kB in ${budget.requests}`;
