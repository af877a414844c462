/** What the tests of a file need that send bytes through proxies over real sockets. */

import { afterEach } from "bun:test";
import { PathLab } from "./paths.ts";
import { RawClient } from "./raw-http.ts";

/** A laboratory, what else is to be ended behind each test, and connections to its proxies. */
export interface PathTests {
  readonly lab: PathLab;
  readonly cleanups: (() => unknown)[];
  dial(to: { readonly port: number }): RawClient;
}

/** To be called once, at the top of the file. `shop` is the client's proxy, `web` the server's. */
export function pathTests(): PathTests {
  const lab = new PathLab(["shop", "web"]);
  const cleanups: (() => unknown)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) cleanup();
    await lab.stop();
  });
  return {
    lab,
    cleanups,
    dial(to) {
      const client = new RawClient(to.port);
      cleanups.push(() => client.stop());
      return client;
    },
  };
}
