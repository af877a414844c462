/**
 * Whether a pod's connections are redirected: makes some to addresses where nobody is, and looks whether
 * they come back to a listener on the proxy's port. A word that only this process knows tells the
 * listener apart from any other server.
 */

import { Fault } from "../base/fault.ts";
import type { CloseReason, Conn, ConnHandler, Net } from "../host/net.ts";
import { formatAddress, type SocketAddress } from "../mesh/address.ts";

/** What is looked at. */
export interface ValidatorOptions {
  readonly net: Net;
  /** Where the proxy will listen for outgoing connections. */
  readonly listen: SocketAddress;
  /** Where to connect to. */
  readonly targets: readonly SocketAddress[];
  /** Whether the pod has a network that leads there: a target of another IP version does not count. */
  readonly hasRoute: (target: SocketAddress) => boolean;
  readonly timeoutMs: number;
  /** Known to nobody else. */
  readonly word: string;
}

/** Resolves when connections are redirected. Rejects with `failed_precondition` when they are not. */
export async function validateRedirect(options: ValidatorOptions): Promise<void> {
  const { net, listen, targets, word } = options;
  const bytes = new TextEncoder().encode(word);
  const listener = net.listen(listen, {
    ...SILENT,
    open(conn) {
      conn.write(bytes, 0, bytes.length);
      conn.shutdown();
    },
  }, () => null);
  try {
    const counting = targets.filter(options.hasRoute);
    if (counting.length === 0) throw missing(options, "unreachable");
    const answers = await Promise.all(counting.map((target) => ask(options, target)));
    const wrong = answers.find((answer) => answer !== "redirected");
    if (wrong !== undefined) throw missing(options, wrong);
  } finally {
    listener.stop();
  }
}

/** What became of a connection. */
type Answer = "redirected" | "another server answers" | "no answer" | CloseReason;

function ask({ net, timeoutMs, word }: ValidatorOptions, address: SocketAddress): Promise<Answer> {
  return new Promise((resolve) => {
    let answer = "";
    const decoder = new TextDecoder();
    const finish = (conn: Conn<null>) => conn.destroy();
    net.connect({ address, timeoutMs }, {
      ...SILENT,
      data(conn, chunk) {
        answer += decoder.decode(chunk, { stream: true });
        if (answer.length >= word.length) finish(conn);
      },
      end: finish,
      close(_conn, reason) {
        if (answer === word) resolve("redirected");
        else if (answer !== "") resolve("another server answers");
        else resolve(reason === "none" || reason === "local" ? "no answer" : reason);
      },
    }, null);
  });
}

const SILENT: ConnHandler<null> = {
  open() {},
  secure() {},
  data() {},
  drain() {},
  end() {},
  close() {},
};

function missing({ listen, targets }: ValidatorOptions, answer: Answer): Fault {
  const where = targets.map(formatAddress).join(", ");
  return new Fault(
    "failed_precondition",
    `Connections to ${where} do not come back to port ${listen.port} (${answer}): nothing redirects ` +
      "this pod's connections; its network was set up while the CNI plugin was not on this node " +
      "(malla check --linkerd-cni-enabled)",
  );
}
