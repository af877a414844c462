/**
 * Serves the control API for a `Discovery` and a `Certifier`: checks each request's form, hands it on
 * in domain types, and writes what comes back. Knows nothing of indexes, tokens or keys.
 */

import { Fault } from "../base/fault.ts";
import { CONTROL_REQUEST_BYTES_MAX } from "../base/limits.ts";
import { type H2Server, type H2ServerStream, serveH2 } from "../host/h2-server.ts";
import type { TlsMaterial } from "../host/net.ts";
import type { SocketAddress } from "../mesh/address.ts";
import type { Certifier } from "../mesh/certifier.ts";
import type { Discovery, Sink, Unwatch } from "../mesh/discovery.ts";
import { addressFromWire } from "./address.ts";
import { certificateRequestFromWire, issuedCertificateToWire } from "./certify.ts";
import { clientPolicyToWire } from "./client-policy.ts";
import { endpointUpdateToWire } from "./endpoint.ts";
import type { PortSpec } from "./gen/inbound.ts";
import type { TrafficSpec } from "./gen/outbound.ts";
import { frameOf, onlyMessage } from "./grpc-frame.ts";
import {
  CERTIFY,
  type Codec,
  decodeMessage,
  encodeMessage,
  GET_CLIENT_POLICY,
  GET_ENDPOINTS,
  GET_PROFILE,
  GET_SERVER_POLICY,
  type Method,
  WATCH_CLIENT_POLICY,
  WATCH_SERVER_POLICY,
} from "./methods.ts";
import { profileToWire } from "./profile.ts";
import { serverPolicyToWire } from "./server-policy.ts";
import { answerOnce, finishWith, firstValue, WatchOutlet } from "./watch-outlet.ts";

/** What is served; a part that is absent answers `unimplemented`. */
export interface ControlServices {
  readonly discovery?: Discovery;
  readonly certifier?: Certifier;
}

/** How to serve the control API. */
export interface ControlServerOptions extends ControlServices {
  readonly address: SocketAddress;
  /** Absent: plain HTTP/2, for loopback only. */
  readonly tls?: TlsMaterial;
  /** Whether clients must show a certificate of the mesh. Default: false. */
  readonly demandClientCertificate?: boolean;
}

/** A running control API. */
export interface ControlServer {
  readonly address: SocketAddress;
  /** Shows this certificate to connections from now on. */
  setTls(tls: TlsMaterial): void;
  /** Calls and watches under way. */
  openCalls(): number;
  /** Stops accepting and tells clients to connect elsewhere; watches under way go on. */
  drain(): void;
  close(): Promise<void>;
}

/** Answers one call: the request's message in, everything else through the stream. */
type Handler = (message: Uint8Array, stream: H2ServerStream) => Promise<void> | void;

/** Listens. Rejects with `unavailable` when the address is taken. */
export async function serveControl(options: ControlServerOptions): Promise<ControlServer> {
  const handlers = handlersOf(options);
  const demand = options.demandClientCertificate ?? false;
  let open = 0;
  const server: H2Server = await serveH2({
    address: options.address,
    ...(options.tls === undefined ? {} : { tls: options.tls }),
    stream(stream) {
      open++;
      stream.onClose(() => open--);
      void serve(handlers, demand, stream);
    },
  });
  return {
    address: server.address,
    setTls: (tls) => server.setTls(tls),
    openCalls: () => open,
    drain: () => server.drain(),
    close: () => server.close(),
  };
}

async function serve(
  handlers: ReadonlyMap<string, Handler>,
  demand: boolean,
  stream: H2ServerStream,
): Promise<void> {
  if (stream.method !== "POST" || !isGrpc(stream.headers["content-type"])) {
    stream.respond({ ":status": 415 }, true);
    return;
  }
  let message: Uint8Array;
  const handler = handlers.get(stream.path);
  try {
    if (handler === undefined) {
      throw new Fault("unimplemented", `Cannot serve "${stream.path}": no such method here`);
    }
    if (demand && stream.clientCertificate === null) {
      // Proxies connect before they have a certificate, and would keep that connection for good.
      stream.retireConnection();
      throw new Fault("unauthenticated", "Cannot serve a client without certificate of this mesh");
    }
    message = onlyMessage(await stream.body(CONTROL_REQUEST_BYTES_MAX), CONTROL_REQUEST_BYTES_MAX);
    await handler(message, stream);
  } catch (thrown) {
    finishWith(stream, true, thrown);
  }
}

function isGrpc(contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/grpc(\+proto)?(;|$)/.test(contentType);
}

function handlersOf({ discovery, certifier }: ControlServices): Map<string, Handler> {
  const handlers = new Map<string, Handler>();
  if (certifier !== undefined) addCertifier(handlers, certifier);
  if (discovery !== undefined) addDiscovery(handlers, discovery);
  return handlers;
}

function addCertifier(handlers: Map<string, Handler>, certifier: Certifier): void {
  handlers.set(CERTIFY.path, async (bytes, stream) => {
    const request = certificateRequestFromWire(readRequest(CERTIFY, bytes));
    const issued = await certifier.certify(request);
    const message = encodeMessage(CERTIFY.output, issuedCertificateToWire(issued));
    answerOnce(stream, frameOf(message));
  });
}

function addDiscovery(handlers: Map<string, Handler>, discovery: Discovery): void {
  const endpointFrame = encoder(GET_ENDPOINTS, endpointUpdateToWire);
  const profileFrame = encoder(GET_PROFILE, profileToWire);
  const clientFrame = encoder(WATCH_CLIENT_POLICY, clientPolicyToWire);
  const serverFrame = encoder(WATCH_SERVER_POLICY, serverPolicyToWire);

  handlers.set(GET_ENDPOINTS.path, (bytes, stream) => {
    const { path, contextToken } = readRequest(GET_ENDPOINTS, bytes);
    const asker = { context: contextToken, workload: "" };
    new WatchOutlet(stream, "changes", endpointFrame)
      .start((sink) => discovery.watchEndpoints(asker, path, sink));
  });
  handlers.set(GET_PROFILE.path, (bytes, stream) => {
    const { path, contextToken } = readRequest(GET_PROFILE, bytes);
    const asker = { context: contextToken, workload: "" };
    new WatchOutlet(stream, "states", profileFrame)
      .start((sink) => discovery.watchProfile(asker, path, sink));
  });
  addStates(handlers, WATCH_CLIENT_POLICY, GET_CLIENT_POLICY, clientFrame, (spec) => {
    const target = targetOf(spec);
    const asker = { context: "", workload: spec.sourceWorkload };
    return (sink) => discovery.watchClientPolicy(asker, target, sink);
  });
  addStates(handlers, WATCH_SERVER_POLICY, GET_SERVER_POLICY, serverFrame, (spec) => {
    const port = portOf(spec);
    const asker = { context: "", workload: spec.workload };
    return (sink) => discovery.watchServerPolicy(asker, port, sink);
  });
}

/** A pair of methods that ask the same: one for all states from now on, one for that of now. */
function addStates<I, O, T extends object>(
  handlers: Map<string, Handler>,
  watch: Method<I, O>,
  get: Method<I, O>,
  frame: (value: T) => Uint8Array,
  start: (request: I) => (sink: Sink<T>) => Unwatch,
): void {
  handlers.set(watch.path, (bytes, stream) => {
    new WatchOutlet(stream, "states", frame).start(start(readRequest(watch, bytes)));
  });
  handlers.set(get.path, async (bytes, stream) => {
    const value = await firstValue(stream, start(readRequest(get, bytes)));
    answerOnce(stream, frame(value));
  });
}

function readRequest<I>({ input, path }: Method<I, unknown>, bytes: Uint8Array): I {
  return decodeMessage(input, bytes, path);
}

/** Encodes each object once, however many streams it goes to; forgotten with the object. */
function encoder<T extends object, O>(
  method: { readonly output: Codec<O> },
  convert: (value: T) => O,
): (value: T) => Uint8Array {
  const frames = new WeakMap<T, Uint8Array>();
  return (value) => {
    let frame = frames.get(value);
    if (frame === undefined) {
      frame = frameOf(encodeMessage(method.output, convert(value)));
      frames.set(value, frame);
    }
    return frame;
  };
}

function targetOf(spec: TrafficSpec): SocketAddress | string {
  const { target } = spec;
  const address = target?.$case === "addr" ? addressFromWire(target.value) : target?.value;
  if (address === undefined || address === "") {
    throw new Fault("invalid_argument", "Cannot read the target: expected an address or authority");
  }
  return address;
}

function portOf(spec: PortSpec): number {
  if (spec.port >= 1 && spec.port <= 65_535) return spec.port;
  throw new Fault("invalid_argument", `Cannot use port ${spec.port}: expected 1–65535`);
}
