/** Whether connections come back: over the loopback, where addresses stand for redirected ones. */

import { describe, expect, test } from "bun:test";
import { freePorts } from "../../test/support/malla.ts";
import { createBunNet } from "../host/bun-net.ts";
import { formatAddress, type SocketAddress } from "../mesh/address.ts";
import { validateRedirect } from "./validator.ts";

/** Nobody is there. */
const NOWHERE: SocketAddress = { ip: "203.0.113.1", port: 20_001 };

async function validate(
  targets: (listen: SocketAddress) => readonly SocketAddress[],
  hasRoute = (_target: SocketAddress) => true,
): Promise<string> {
  const [port = 0] = await freePorts(1);
  const listen = { ip: "127.0.0.1", port };
  try {
    await validateRedirect({
      net: createBunNet(),
      listen,
      targets: targets(listen),
      hasRoute,
      timeoutMs: 200,
      word: "a word",
    });
    return "";
  } catch (thrown) {
    return String(thrown);
  }
}

describe("connections", () => {
  test("that come back to the listener are redirected", async () => {
    expect(await validate((listen) => [listen, listen])).toBe("");
  });

  test("that another server answers are not", async () => {
    for (const word of ["b word", "a word and more", "a wor"]) {
      const other = Bun.listen({
        hostname: "127.0.0.1",
        port: 0,
        socket: { open: (socket) => void socket.end(word), data() {} },
      });
      const target = { ip: "127.0.0.1", port: other.port };
      expect(await validate((listen) => [listen, target])).toContain("(another server answers)");
      other.stop(true);
    }
  });

  test("that nobody takes are not", async () => {
    const [port = 0] = await freePorts(1);
    const refused = await validate(() => [{ ip: "127.0.0.1", port }]);
    expect(refused).toContain(`Connections to ${formatAddress({ ip: "127.0.0.1", port })} do not`);
    expect(refused).toContain("(refused)");
  });

  test("of an IP version that the pod does not have do not count, unless it has none", async () => {
    const isReal = ({ ip }: SocketAddress) => ip !== NOWHERE.ip;
    expect(await validate((listen) => [NOWHERE, listen], isReal)).toBe("");
    expect(await validate(() => [NOWHERE], isReal)).toContain("(unreachable)");
  });
});
