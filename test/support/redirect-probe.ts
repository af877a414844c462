/**
 * Stands in for a proxy behind a redirect: listens where it is told, and answers each connection with
 * the address that the kernel says it was going to. Words: `ip:port` …
 */

import { createBunNet } from "../../lib/host/bun-net.ts";
import { formatAddress, parseAddress } from "../../lib/mesh/address.ts";

const net = createBunNet();
for (const word of process.argv.slice(2)) {
  const address = parseAddress(word);
  net.listen(address, {
    open(conn) {
      const original = conn.originalDestination();
      const text = `${address.port} ${original === null ? "none" : formatAddress(original)}\n`;
      conn.write(new TextEncoder().encode(text), 0, text.length);
      conn.shutdown();
    },
    secure() {},
    data() {},
    drain() {},
    end: (conn) => conn.destroy(),
    close() {},
  }, () => null);
}
process.stdout.write("ready\n");
