// hot
/**
 * A parsed head: where its parts stand in the bytes, and what was learned from them. Objects are reused
 * from message to message and make no strings while parsing. HTTP/1 points into the bytes that came,
 * HTTP/2 into those that it decoded; whoever relays a message need not know which.
 *
 * Parsing of HTTP/1 may stop in the middle and go on with more bytes, even at another place or in
 * another array (`resumeAt`): offsets found so far are then shifted.
 */

import { asciiText } from "../../base/bytes.ts";
import { HEADS_KEPT } from "../../base/limits.ts";
import { Spares } from "../../base/spares.ts";
import { FieldLines, RANGES_PER_HEADER } from "./field-lines.ts";
import { FieldName } from "./field-name.ts";
import { Method } from "./method.ts";

/** Which of the `l5d-*` fields go on with a head: nobody outside the mesh may speak for it. */
export const MeshFields = { DROP: 0, KEEP_CANONICAL: 1, KEEP: 2 } as const;

/** One of the choices. */
export type MeshFields = (typeof MeshFields)[keyof typeof MeshFields];

/** What request and response heads have in common: the version and the header lines. */
export class Head extends FieldLines {
  /** First byte of the start line, behind empty lines that were skipped. */
  start = 0;
  /** Behind the blank line. */
  end = 0;
  /** 0 or 1. */
  versionMinor = 0;
  /** It came by HTTP/2; then there is no start line, and `versionMinor` is 1. */
  http2 = false;
  /** Set by whoever took the head: what its sender may say in the mesh's name. */
  meshFields: MeshFields = MeshFields.DROP;
  /** Set by whoever took the head: another `grpc-timeout` goes on than the one that came. */
  replacesTimeout = false;

  /** Content-Length, −1 without one. */
  contentLength = -1;
  /** Transfer-Encoding ends with chunked. */
  chunked = false;
  /** There is a Transfer-Encoding. */
  hasTransferEncoding = false;
  /** It names other codings beside chunked; only a response may have them. */
  hasOtherCodings = false;
  connectionClose = false;
  connectionKeepAlive = false;
  connectionUpgrade = false;
  /** Connection names other headers, which then must not be forwarded. */
  connectionNames = false;
  hasUpgrade = false;
  /** Upgrade offers `h2c`: never forwarded, it would hide the requests behind it from us. */
  upgradeH2c = false;
  /** Expect: 100-continue. */
  expectContinue = false;
  /** Value of the Host header; −1 without one. */
  hostStart = -1;
  hostEnd = -1;
  /** Some header's name begins with `l5d-`. */
  hasMeshHeaders = false;
  /** There is a Connection, Keep-Alive or Proxy-Connection header. */
  hasHopByHop = false;

  /** Bytes from the head's start that the last call saw; pass it back to go on. 0 when complete. */
  scanned = 0;
  /** Where the parser goes on, relative to the start; the start of an unfinished line. */
  resumeAt = 0;
  /** The start that the offsets are true for. */
  base = 0;
  /** The start line has been parsed. */
  inFields = false;
  readonly isRequest: boolean;

  constructor(isRequest: boolean) {
    super();
    this.isRequest = isRequest;
  }

  /** Whether the connection may carry another message after this one (RFC 9112 §9.3). */
  persistent(): boolean {
    return !this.connectionClose && (this.versionMinor === 1 || this.connectionKeepAlive);
  }

  /** Whether another protocol is asked for (request) or taken (response) on this connection. */
  upgrades(): boolean {
    return this.hasUpgrade && this.connectionUpgrade && !this.upgradeH2c &&
      this.versionMinor === 1;
  }

  /** Field `i` was meant for us: it goes no further, as what concerns one connection. */
  endHere(i: number): void {
    this.marks[i] = FieldName.PROXY_CONNECTION;
    this.hasHopByHop = true;
  }

  /** Forgets everything; parsers do it when they begin a head. */
  reset(): void {
    this.resetFields();
    this.start = 0;
    this.end = 0;
    this.versionMinor = 0;
    this.http2 = false;
    this.meshFields = MeshFields.DROP;
    this.replacesTimeout = false;
    this.contentLength = -1;
    this.chunked = false;
    this.hasTransferEncoding = false;
    this.hasOtherCodings = false;
    this.connectionClose = false;
    this.connectionKeepAlive = false;
    this.connectionUpgrade = false;
    this.connectionNames = false;
    this.hasUpgrade = false;
    this.upgradeH2c = false;
    this.expectContinue = false;
    this.hostStart = -1;
    this.hostEnd = -1;
    this.hasMeshHeaders = false;
    this.hasHopByHop = false;
    this.scanned = 0;
    this.resumeAt = 0;
    this.base = 0;
    this.inFields = false;
  }

  /** Moves all offsets after the caller has moved the bytes. */
  rebase(by: number): void {
    this.start += by;
    this.end += by;
    this.fieldsStart += by;
    if (this.hostStart >= 0) {
      this.hostStart += by;
      this.hostEnd += by;
    }
    const used = this.count * RANGES_PER_HEADER;
    for (let i = 0; i < used; i++) this.ranges[i]! += by;
    this.base += by;
  }
}

/** Form of a request target (RFC 9112 §3.2). */
export const TargetForm = { ORIGIN: 1, ABSOLUTE: 2, AUTHORITY: 3, ASTERISK: 4 } as const;

/** One of the forms. */
export type TargetForm = (typeof TargetForm)[keyof typeof TargetForm];

/** The head of a request. */
export class RequestHead extends Head {
  method: Method = Method.OTHER;
  methodStart = 0;
  methodEnd = 0;
  /** `:scheme` of HTTP/2; empty range otherwise. */
  schemeStart = 0;
  schemeEnd = 0;
  targetStart = 0;
  targetEnd = 0;
  targetForm: TargetForm = TargetForm.ORIGIN;
  /** Host and port in the target (absolute and authority form), else the Host header; −1: none. */
  authorityStart = -1;
  authorityEnd = -1;
  /**
   * The minor version of the HTTP/1 request that a peer's proxy has carried over HTTP/2; −1 when it is
   * what it looks like.
   */
  originalVersion = -1;

  constructor() {
    super(true);
  }

  methodText(): string {
    return asciiText(this.bytes, this.methodStart, this.methodEnd);
  }

  targetText(): string {
    return asciiText(this.bytes, this.targetStart, this.targetEnd);
  }

  /** Empty when there is none. */
  authorityText(): string {
    if (this.authorityStart < 0) return "";
    return asciiText(this.bytes, this.authorityStart, this.authorityEnd);
  }

  /** Whether HTTP/2 cannot carry the request: it wants the connection for itself. */
  wantsConnection(): boolean {
    return !this.http2 && (this.upgrades() || this.method === Method.CONNECT);
  }

  override reset(): void {
    super.reset();
    this.method = Method.OTHER;
    this.methodStart = 0;
    this.methodEnd = 0;
    this.schemeStart = 0;
    this.schemeEnd = 0;
    this.originalVersion = -1;
    this.targetStart = 0;
    this.targetEnd = 0;
    this.targetForm = TargetForm.ORIGIN;
    this.authorityStart = -1;
    this.authorityEnd = -1;
  }

  override rebase(by: number): void {
    super.rebase(by);
    this.methodStart += by;
    this.methodEnd += by;
    this.targetStart += by;
    this.targetEnd += by;
    if (this.authorityStart >= 0) {
      this.authorityStart += by;
      this.authorityEnd += by;
    }
  }
}

/** The head of a response. */
export class ResponseHead extends Head {
  /** 100–999. */
  status = 0;

  constructor() {
    super(false);
  }

  /** Copies what HTTP/2 has decoded into a head with arrays of its own. */
  copyTo(target: ResponseHead): void {
    target.reset();
    this.copyFieldsTo(target);
    target.status = this.status;
    target.http2 = this.http2;
    target.versionMinor = this.versionMinor;
    target.meshFields = this.meshFields;
    target.contentLength = this.contentLength;
    target.hasMeshHeaders = this.hasMeshHeaders;
    target.hasHopByHop = this.hasHopByHop;
  }

  /** 1xx except 101: another head follows for the same request. */
  interim(): boolean {
    return this.status < 200 && this.status !== 101;
  }

  override reset(): void {
    super.reset();
    this.status = 0;
  }
}

/** Request heads for those who keep them from a message's beginning to its end. */
export function spareRequestHeads(): Spares<RequestHead> {
  return new Spares(HEADS_KEPT, () => new RequestHead());
}

/** Response heads for those who keep one while its codec reads the next. */
export function spareResponseHeads(): Spares<ResponseHead> {
  return new Spares(HEADS_KEPT, () => new ResponseHead());
}
