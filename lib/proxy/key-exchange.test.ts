/** What two proxies agree on when they meet, read from the bytes between them. */

import { expect, test } from "bun:test";
import { connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { meshed, until } from "../../test/support/paths.ts";
import { pathTests } from "../../test/support/path-tests.ts";
import { RawClient, RawServer, respond } from "../../test/support/raw-http.ts";
import { TLS_GROUPS, TLS_VERSIONS } from "../host/bun-tls.ts";

const { lab, cleanups } = pathTests();

/** The registry's numbers (IANA, TLS Supported Groups). */
const GROUPS: Readonly<Record<number, string>> = {
  0x11ec: "X25519MLKEM768",
  0x001d: "X25519",
  0x0017: "P-256",
  0x0018: "P-384",
};
const VERSIONS: Readonly<Record<number, string>> = { 0x0304: "TLSv1.3", 0x0303: "TLSv1.2" };

const SUPPORTED_GROUPS = 10;
const SUPPORTED_VERSIONS = 43;
const KEY_SHARE = 51;

/** The extensions of the hello that these bytes begin with, whichever side's it is. */
function extensionsOf(bytes: Buffer): Map<number, Buffer> {
  // A record's header, a message's, version and random.
  let at = 5 + 4 + 2 + 32;
  const isClient = bytes[5] === 1;
  at += 1 + bytes.readUInt8(at);
  at += isClient ? 2 + bytes.readUInt16BE(at) : 2;
  at += isClient ? 1 + bytes.readUInt8(at) : 1;
  const end = at + 2 + bytes.readUInt16BE(at);
  const found = new Map<number, Buffer>();
  for (at += 2; at < end;) {
    const length = bytes.readUInt16BE(at + 2);
    found.set(bytes.readUInt16BE(at), bytes.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return found;
}

function numbersOf(bytes: Buffer): number[] {
  return Array.from({ length: bytes.length / 2 }, (_, i) => bytes.readUInt16BE(2 * i));
}

test("the post-quantum group is preferred and agreed on", async () => {
  const app = await new RawServer((socket) => socket.write(respond("yes"))).listen();
  cleanups.push(() => app.stop());
  const client = lab.proxy("shop");
  const server = lab.proxy("web");
  const hellos = { client: Buffer.alloc(0), server: Buffer.alloc(0) };
  const relay = createServer((near) => {
    const far = connect(server.inbound.port, "127.0.0.1");
    for (const socket of [near, far]) socket.on("error", () => {});
    near.on("data", (bytes: Buffer) => hellos.client = Buffer.concat([hellos.client, bytes]));
    far.on("data", (bytes: Buffer) => hellos.server = Buffer.concat([hellos.server, bytes]));
    near.pipe(far).pipe(near);
    cleanups.push(() => [near, far].forEach((socket) => socket.destroy()));
  });
  await new Promise<void>((done) => relay.listen(0, "127.0.0.1", done));
  cleanups.push(() => relay.close());
  const transportPort = (relay.address() as AddressInfo).port;
  client.target().endpoints({ ...meshed(server, app.port), transportPort });
  const shop = new RawClient(client.outbound.port);
  cleanups.push(() => shop.stop());
  shop.send("GET / HTTP/1.1\r\nhost: web\r\n\r\n");
  await until("answer", () => shop.text === respond("yes"));

  const offered = extensionsOf(hellos.client);
  const groups = numbersOf(offered.get(SUPPORTED_GROUPS)!.subarray(2)).map((id) => GROUPS[id]);
  expect(groups).toEqual([...TLS_GROUPS]);
  // It sends its share of the preferred one at once: agreeing costs no further round trip.
  expect(GROUPS[offered.get(KEY_SHARE)!.readUInt16BE(2)]).toBe(TLS_GROUPS[0]!);
  const versions = numbersOf(offered.get(SUPPORTED_VERSIONS)!.subarray(1));
  expect(versions.map((id) => VERSIONS[id])).toEqual([...TLS_VERSIONS]);
  const agreed = extensionsOf(hellos.server);
  expect(GROUPS[agreed.get(KEY_SHARE)!.readUInt16BE(0)]).toBe("X25519MLKEM768");
  expect(VERSIONS[agreed.get(SUPPORTED_VERSIONS)!.readUInt16BE(0)]).toBe("TLSv1.3");
});
