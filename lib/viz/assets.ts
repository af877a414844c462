/**
 * The live page: its files, embedded into the executable as text, and the routes that serve them. The
 * page loads nothing from elsewhere, so it works without a network.
 */

import dagre from "@dagrejs/dagre" with { type: "text" };
import type { Hono } from "hono";
import draw from "./page/draw.js" with { type: "text" };
import format from "./page/format.js" with { type: "text" };
import icon from "./page/icon.svg" with { type: "text" };
import index from "./page/index.htm" with { type: "text" };
import layout from "./page/layout.js" with { type: "text" };
import main from "./page/main.js" with { type: "text" };
import style from "./page/style.css" with { type: "text" };
import tables from "./page/tables.js" with { type: "text" };

/** A file of the page. */
export interface Asset {
  readonly type: string;
  readonly text: string;
}

const SCRIPT = "text/javascript; charset=utf-8";

/** The page's files by their paths. */
export const ASSETS: Readonly<Record<string, Asset>> = {
  "/": { type: "text/html; charset=utf-8", text: index },
  "/assets/style.css": { type: "text/css; charset=utf-8", text: style },
  "/assets/icon.svg": { type: "image/svg+xml", text: icon },
  "/assets/main.js": { type: SCRIPT, text: main },
  "/assets/draw.js": { type: SCRIPT, text: draw },
  "/assets/layout.js": { type: SCRIPT, text: layout },
  "/assets/tables.js": { type: SCRIPT, text: tables },
  "/assets/format.js": { type: SCRIPT, text: format },
  // The import gives the package's source text, which its types do not know.
  "/assets/dagre.js": { type: SCRIPT, text: String(dagre) },
};

/** The page may run its own scripts and talk to its own server, and nobody may frame it. */
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
  "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** Adds the page to the API's application. */
export function addPage(app: Hono): void {
  for (const [path, { type, text }] of Object.entries(ASSETS)) {
    app.get(path, (context) => {
      context.header("content-type", type);
      context.header("content-security-policy", POLICY);
      context.header("referrer-policy", "no-referrer");
      return context.body(text);
    });
  }
}
