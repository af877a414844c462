/** Draws what `docs/reliability.md` shows of the simulation: `npm run plots` writes `docs/images/*.svg`. */

import { mkdirSync, writeFileSync } from "node:fs";
import { capacityOf, overload, type OverloadOptions } from "./overload.ts";
import { reliability } from "./reliability.ts";

const WIDTH = 720;
const HEIGHT = 260;
const LEFT = 56;
const RIGHT = 150;
const TOP = 28;
const BOTTOM = 36;
const COLOURS = ["#c0392b", "#2471a3", "#229954"];
const SECONDS = 60;
/** Three replicas that stay well, two that fail and one that hangs, asked as much as ever. */
const BROKEN_SEED = 688;

/** One line of a plot. */
interface Line {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

interface Plot {
  readonly title: string;
  readonly x: string;
  readonly y: string;
  readonly yMax: number;
  readonly lines: readonly Line[];
}

function svg({ title, x, y, yMax, lines }: Plot): string {
  const xMax = Math.max(...lines.flatMap((line) => line.points.map(([at]) => at)));
  const [right, bottom] = [WIDTH - RIGHT, HEIGHT - BOTTOM];
  const across = (value: number) => (LEFT + value / xMax * (right - LEFT)).toFixed(1);
  const up = (value: number) => (bottom - Math.min(value, yMax) / yMax * (bottom - TOP)).toFixed(1);
  const text = (at: string, up: string, anchor: string, words: string) =>
    `<text x="${at}" y="${up}" text-anchor="${anchor}">${words}</text>`;
  const parts = [0, 1, 2, 3, 4].flatMap((part) => {
    const [atX, atY] = [xMax * part / 4, yMax * part / 4];
    return [
      `<path class="grid" d="M${LEFT} ${up(atY)}H${right}"/>`,
      text(String(LEFT - 6), String(Number(up(atY)) + 4), "end", String(Math.round(atY))),
      text(across(atX), String(bottom + 16), "middle", String(Math.round(atX))),
    ];
  });
  const drawn = lines.flatMap(({ name, points }, i) => {
    const colour = COLOURS[i] ?? "#555";
    const path = points.map(([atX, atY]) => `${across(atX)} ${up(atY)}`).join("L");
    return [
      `<path d="M${path}" fill="none" stroke="${colour}" stroke-width="1.6"/>`,
      `<text x="${right + 8}" y="${TOP + 14 + 16 * i}" fill="${colour}">${name}</text>`,
    ];
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" ` +
    'font-family="sans-serif" font-size="11" fill="#333">',
    "<style>.grid{stroke:#ddd;fill:none}</style>",
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    text(String(LEFT), "16", "start", `${title} (${y})`),
    text(String(right), String(HEIGHT - 4), "end", x),
    ...parts,
    ...drawn,
    "</svg>\n",
  ].join("\n");
}

const service = { workers: 8, meanMs: 50, spread: "exponential" } as const;
const twice: Omit<OverloadOptions, "limit"> = {
  seed: 1,
  service,
  rates: [2 * capacityOf(service)],
  timeoutMs: 1_000,
  durationMs: SECONDS * 1_000,
};
const share = (limit: OverloadOptions["limit"]) => {
  const { good } = overload({ ...twice, limit });
  // At the end of each second; behind the last one that had any there are none.
  return Array.from(
    { length: SECONDS },
    (_, second) => [second + 1, 100 * (good[second] ?? 0) / capacityOf(service)] as const,
  );
};

/** Tries a second at one replica of each kind, in spans of so many seconds. */
function triesByKind(seed: number, span: number): Line[] {
  const byPort = new Map<number, { kind: string; tries: number[] }>();
  reliability(seed, (port, mode, nowMs) => {
    let replica = byPort.get(port);
    if (replica === undefined) byPort.set(port, replica = { kind: "well", tries: [] });
    if (mode !== "well") replica.kind = mode;
    const at = Math.floor(nowMs / 1_000 / span);
    replica.tries[at] = (replica.tries[at] ?? 0) + 1;
  });
  const spans = Math.min(...[...byPort.values()].map(({ tries }) => tries.length));
  return [...Map.groupBy(byPort.values(), ({ kind }) => kind)].map(([kind, replicas]) => ({
    name: replicas.length === 1 ? `the one ${kind}` : `each of ${replicas.length} ${kind}`,
    points: Array.from({ length: spans }, (_, at) => {
      const tries = replicas.reduce((sum, each) => sum + (each.tries[at] ?? 0), 0);
      return [at * span, tries / replicas.length / span] as const;
    }),
  }));
}

const changing = overload({
  ...twice,
  change: { atMs: 40_000, service: { ...service, workers: 24 } },
  rates: [2 * 3 * capacityOf(service)],
  timeoutMs: 2_000,
  durationMs: 100_000,
  limit: "adaptive",
});
const folder = new URL("../../docs/images/", import.meta.url).pathname;
mkdirSync(folder, { recursive: true });
writeFileSync(
  `${folder}goodput.svg`,
  svg({
    title: "Answers in time, when twice the capacity is asked",
    x: "seconds",
    y: "% of the capacity",
    yMax: 120,
    lines: [
      { name: "without a limit", points: share("off") },
      { name: "limit of 8", points: share(8) },
      { name: "adaptive", points: share("adaptive") },
    ],
  }),
);
writeFileSync(
  `${folder}limit.svg`,
  svg({
    title: "The limit, when a service gets 24 workers instead of 8",
    x: "seconds",
    y: "requests at a time",
    yMax: 60,
    lines: [{
      name: "adaptive limit",
      points: changing.limits.map((limit, tenth) => [tenth / 10, limit] as const),
    }],
  }),
);
writeFileSync(
  `${folder}accrual.svg`,
  svg({
    title: "Six replicas; from second 20 to 60 two fail and one hangs",
    x: "seconds",
    y: "tries a second at each",
    yMax: 16,
    lines: triesByKind(BROKEN_SEED, 2),
  }),
);
