/**
 * The outbound side of HTTP where the pod is an ingress: a request that names its target in
 * `l5d-dst-override` goes there, wherever its connection was going; any other one goes on as ever. The
 * field itself never leaves the proxy: it is the mesh's, and nobody passes such fields on.
 */

import { asciiBytes } from "../base/bytes.ts";
import { describeError } from "../base/fault.ts";
import { INGRESS_NAMES_MAX } from "../base/limits.ts";
import type { RequestHead } from "../wire/http/mod.ts";
import type { PathContext } from "./context.ts";
import type { OutboundTarget } from "./environment.ts";
import type { Exchange } from "./exchange.ts";
import type { HttpSide, Refusal, SideFacts } from "./http-parts.ts";
import { OutboundHttp } from "./outbound-http.ts";

const OVERRIDE_NAME = "l5d-dst-override";
const OVERRIDE = asciiBytes(OVERRIDE_NAME);
/** A name in DNS, which no address is, and perhaps a port. */
const NAME =
  /^((?:[a-z0-9_-]{1,63}\.)*(?![0-9]+\.?(?::|$))[a-z0-9_-]{1,63})\.?(?::([0-9]{1,5}))?$/i;
const NAME_CHARACTERS_MAX = 253;
const PORT_DEFAULT = "80";
const PORT_MAX = 65_535;

const MISNAMED: Refusal = {
  status: 400,
  kind: "bad request",
  message: `${OVERRIDE_NAME} is no name with a port`,
};

/** The requests of one client connection; those that name no target go to the connection's own. */
export class IngressHttp extends OutboundHttp {
  readonly #context: PathContext;
  readonly #target: OutboundTarget;
  /** By name, the longest unused first. */
  readonly #named = new Map<string, NamedHttp>();

  constructor(context: PathContext, target: OutboundTarget) {
    super(context, target);
    this.#context = context;
    this.#target = target;
  }

  override sideOf(head: RequestHead): HttpSide {
    const i = head.hasMeshHeaders ? head.find(OVERRIDE, head.firstRegular) : -1;
    if (i < 0) return this;
    const name = targetName(head.headerText(i));
    if (name === null) return new MisnamedHttp(this.#context, this.#target);
    const side = this.#named.get(name) ?? new NamedHttp(this.#context, this.#target, name);
    this.#named.delete(name);
    this.#named.set(name, side);
    for (const [oldest, unused] of this.#named) {
      if (this.#named.size <= INGRESS_NAMES_MAX) break;
      this.#named.delete(oldest);
      unused.closed();
    }
    return side;
  }

  override closed(): void {
    for (const side of this.#named.values()) side.closed();
    super.closed();
  }
}

/** Requests whose target nobody can tell: refused, and counted for their connection's. */
class MisnamedHttp extends OutboundHttp {
  override begin(exchange: Exchange): void {
    exchange.context.env.metrics.failed("outbound", "http", MISNAMED.kind);
    exchange.refuse(MISNAMED);
  }
}

/** The requests of one connection to one name; until that is found they count for the connection's target. */
class NamedHttp extends OutboundHttp {
  readonly #context: PathContext;
  readonly #name: string;
  /** Those that wait until it is known what the name stands for. */
  #waiting: Exchange[] = [];
  #isFound = false;
  #isClosed = false;

  constructor(context: PathContext, ofConnection: OutboundTarget, name: string) {
    super(context, ofConnection);
    this.#context = context;
    this.#name = name;
  }

  override describe(): SideFacts {
    return { ...super.describe(), target: this.#name };
  }

  override begin(exchange: Exchange): void {
    if (this.#isFound) return exchange.begin();
    if (this.#waiting.push(exchange) > 1) return;
    this.#context.env.targets.acquire(this.#name, (target, fault) => this.#found(target, fault));
  }

  /** What is under way goes on: a target that nobody holds is remembered for a while. */
  override closed(): void {
    if (this.#isFound && !this.#isClosed) super.closed();
    this.#isClosed = true;
  }

  #found(target: OutboundTarget | null, fault: Error | null): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    if (target === null) return this.#refuse(waiting, fault);
    this.leadTo(target);
    this.#isFound = true;
    for (const exchange of waiting) exchange.begin();
    if (this.#isClosed) super.closed();
  }

  #refuse(waiting: readonly Exchange[], fault: Error | null): void {
    const { metrics } = this.#context.env;
    const message = describeError(fault);
    for (const exchange of waiting) {
      metrics.failed("outbound", "http", "invalid policy");
      exchange.refuse({ status: 503, kind: "invalid policy", message });
    }
  }
}

/** The name in lower case with its port; null for what is none. */
function targetName(text: string): string | null {
  const [, host = "", port = PORT_DEFAULT] = NAME.exec(text) ?? [];
  const isPort = Number(port) >= 1 && Number(port) <= PORT_MAX;
  if (host === "" || host.length > NAME_CHARACTERS_MAX || !isPort) return null;
  return `${host.toLowerCase()}:${Number(port)}`;
}
