/**
 * Every bound of the program, each with its reason. A peer can make us hold no more than what stands
 * here. Relations between limits are asserted when the module is loaded, so that a change of one that
 * breaks another fails at the first start.
 */

import { assert } from "./assert.ts";

/**
 * Bytes of one HTTP/1 head, start line and blank line included. Servers allow 8 KiB (nginx) to 64 KiB
 * (Go's default is 1 MiB): the mesh must not refuse what the application would have taken.
 */
export const HEADER_BYTES_MAX = 65_536;

/** Header lines of one HTTP/1 head or trailer section; browsers send 20, hyper takes 100. */
export const HEADER_COUNT_MAX = 200;

/** Bytes of an HTTP method; the longest registered one in use is BASELINE-CONTROL. */
export const METHOD_BYTES_MAX = 16;

/** Empty lines tolerated before a request line (RFC 9112 §2.2 asks for "at least one"). */
export const LEADING_CRLF_MAX = 4;

/** Hex digits of a chunk size: 64 bits, which is what implementations pad to. */
export const CHUNK_SIZE_DIGITS_MAX = 16;

/** Extension bytes on one chunk-size line; nobody uses more than a signature of 64 hex digits. */
export const CHUNK_EXTENSION_BYTES_MAX = 256;

/**
 * Extension bytes of one whole message. Chunks of one byte with long extensions cost us work that
 * carries no payload.
 */
export const CHUNK_EXTENSION_TOTAL_BYTES_MAX = 65_536;

/** Bytes of a message's trailer section. gRPC-Web and checksums need a few hundred. */
export const TRAILER_BYTES_MAX = 8_192;

/**
 * Bytes that may be looked at to find the protocol of a connection. A request line that does not
 * reach its version within that is relayed as opaque TCP.
 */
export const DETECT_BYTES_MAX = 8_192;

/** Bytes of a TLS ClientHello, record headers included; with a post-quantum key share it is 1.8 KB. */
export const CLIENT_HELLO_BYTES_MAX = 8_192;

/** Bytes of the protobuf in a transport header: a port, a DNS name (≤ 253) and unknown fields. */
export const TRANSPORT_HEADER_BYTES_MAX = 4_096;

/** Bytes of one pod's metrics that the dashboard reads at a scrape; a busy proxy has some 300 KB. */
export const SCRAPE_BYTES_MAX = 8_388_608;

/** Samples that the dashboard takes from one scrape; the rest of a runaway exposition is left. */
export const SCRAPE_SAMPLES_MAX = 50_000;

/** Labels of one sample; the contract's widest series has some 40. */
export const SAMPLE_LABELS_MAX = 64;

/** Scrapes under way at a time; a pod that hangs must not hold up the others of a large mesh. */
export const SCRAPES_PARALLEL_MAX = 32;

/** Series of history that the dashboard keeps of one pod, after folding labels that it does not show. */
export const HISTORY_SERIES_PER_POD_MAX = 4_000;

/** Samples of history per series: ten minutes, one each second. Unchanged values take no room. */
export const HISTORY_SAMPLES_MAX = 600;

/** Browsers that may follow the live page at a time; each costs a snapshot's text per second. */
export const PAGE_LISTENERS_MAX = 64;

assert(METHOD_BYTES_MAX < DETECT_BYTES_MAX, "a method must fit into what detection looks at");
assert(DETECT_BYTES_MAX <= HEADER_BYTES_MAX, "a detected request line must fit into a head");
assert(TRAILER_BYTES_MAX <= HEADER_BYTES_MAX, "trailers must not be larger than heads may be");
assert(
  CHUNK_EXTENSION_BYTES_MAX <= CHUNK_EXTENSION_TOTAL_BYTES_MAX,
  "one chunk's extension must fit into the sum of all",
);

/**
 * Label sets that a proxy lists in its metrics at once. A listed HTTP series with two statuses takes some
 * 3 KB, so this bounds a proxy that is made to meet ever new addresses to about 30 MB; what comes above
 * is counted under `overflow="true"`.
 */
export const METRIC_SERIES_MAX = 10_000;

/**
 * Inbound ports whose policies a proxy watches at once. A pod listens on a handful; a client that tries
 * all 65535 must not open as many streams. Ports in use are never forgotten for others.
 */
export const SERVER_PORTS_WATCHED_MAX = 1_000;

/** Streams of one connection to the control plane: a proxy holds one per target and one per port. */
export const CONTROL_STREAMS_PER_CONNECTION_MAX = 10_000;

/** Bytes of one request to the control plane. A token has 1–2 KB, a CSR some 300 bytes, paths less. */
export const CONTROL_REQUEST_BYTES_MAX = 65_536;

/** Bytes of one message from the control plane; 10,000 endpoints with their labels take some 5 MB. */
export const CONTROL_MESSAGE_BYTES_MAX = 33_554_432;

/** Bytes of endpoint changes kept for a proxy that does not read them; then its stream is cut. */
export const CONTROL_BACKLOG_BYTES_MAX = 1_048_576;

/**
 * Outbound addresses that a proxy knows at once, each with two or three streams of the control plane.
 * An application that scans a network holds each for a few seconds only.
 */
export const OUTBOUND_TARGETS_MAX = 10_000;

/**
 * Names that the requests of one connection may have asked for before the longest unused is let go. Ingresses
 * keep connections by where they lead, so few carry requests for more than a handful.
 */
export const INGRESS_NAMES_MAX = 100;

/** Bytes of one manifest file. Kubernetes keeps objects below 1.5 MiB; a file may hold a few dozen. */
export const MANIFEST_FILE_BYTES_MAX = 33_554_432;

/** How often a folder of manifests is looked through although nothing was reported. */
export const FILES_RESYNC_MS = 30_000;

/** Hops that an opaque connection tries to connect; each attempt may cost a whole timeout. */
export const OPAQUE_CONNECTS_MAX = 3;

/** Bytes of a request's body on a proxy's admin port: a log filter is a line. */
export const ADMIN_BODY_BYTES_MAX = 4_096;

/** Bytes of one admission review; etcd takes objects of 1.5 MB, and a review may hold two of them. */
export const ADMISSION_BYTES_MAX = 4_194_304;

/** After which time a changed file is looked at again: many times the window in which events are lost. */
export const FILES_SETTLE_MS = 20;

/** Objects of one page of a cluster's list; the API server's own clients ask for as many. */
export const KUBE_LIST_PAGE = 500;

/** Bytes of one page: objects are below 1.5 MiB, and the largest of all kinds rarely come together. */
export const KUBE_LIST_BYTES_MAX = 268_435_456;

/** Objects that one question to a cluster may find: what is asked whole is counted in hundreds. */
export const KUBE_LIST_OBJECTS_MAX = 100_000;

/** Bytes of one object in a watch, with what the API server adds to it. */
export const KUBE_OBJECT_BYTES_MAX = 8_388_608;

/**
 * How long one watch lasts at most; the next goes on where it ended. A connection that was cut without a word
 * is noticed by the end that does not come, so this is for how long the mesh may follow no change. It costs
 * the API server one request from its cache a kind and replica, however large the cluster is.
 */
export const KUBE_WATCH_SECONDS = 30;

/** The longest pause between questions to a cluster that refuses them. */
export const KUBE_BACKOFF_MAX_MS = 30_000;

/**
 * The longest pause between attempts to reach a cluster that does not answer. An attempt costs next to
 * nothing there, and for as long as it is put off after an outage the mesh follows no change.
 */
export const KUBE_UNREACHABLE_BACKOFF_MAX_MS = 1_000;

/** How long the head of an answer may take: an API server that is alive gives one at once. */
export const KUBE_HEAD_MS = 10_000;

/**
 * Connections between a laptop mesh and its machine at a time; each has two sockets in either process,
 * which usually may have 1 M of them, but 1,024 on old machines.
 */
export const RELAY_CONNECTIONS_MAX = 4_096;

/** Queries that the laptop mesh's DNS answers at a time; more are dropped, and clients ask again. */
export const DNS_QUERIES_MAX = 1_024;

/** TCP connections of the laptop mesh's DNS; each has one client that waits for a long answer. */
export const DNS_CONNECTIONS_MAX = 256;

/** Bytes of queries or answers that wait on one of them: two of the longest messages. */
export const DNS_PENDING_BYTES_MAX = 131_072;

/** Foreign names whose addresses the laptop mesh's DNS keeps; programs use a handful. */
export const DNS_NAMES_KEPT_MAX = 1_000;

/**
 * TLS connections that a pool may be making at a time while it is small; later as many as it has. Eight
 * handshakes hold up the event loop for some 10 ms.
 */
export const CONNECTING_MIN = 8;

/**
 * Streams that a peer may have open on one HTTP/2 connection. Peers' proxies carry all requests to us on
 * one, so it must not be what bounds a busy pod; each open stream holds some 2 KB and its window.
 */
export const STREAMS_PER_CONNECTION_MAX = 1_000;

/** TLS handshakes that are begun in one turn of the event loop: each takes up to a millisecond of it. */
export const HANDSHAKES_PER_TURN = 4;

/** Streams that we open on a connection before its peer has told its own bound (RFC 9113 §6.5.2). */
export const STREAMS_UNTIL_TOLD_MAX = 100;

/** Bytes that a stream's sender may be ahead of its receiver; a veth's round trip takes far less. */
export const STREAM_WINDOW_BYTES = 262_144;

/** The same for all streams of a connection together, given back as soon as bytes come … */
export const CONNECTION_WINDOW_BYTES = 1_048_576;

/** … unless this many of them wait for slow readers: then the connection waits with them. */
export const CONNECTION_HELD_BYTES_MAX = 4_194_304;

/** Fields that proxies of the mesh add to a head on its way. */
export const HEADERS_ADDED_MAX = 8;

/**
 * Bytes of one HTTP/2 head as HTTP/2 counts: 32 more for each field (RFC 9113 §6.5.2). A head of HTTP/1
 * that is as large as it may be must pass between proxies, with what they add to it.
 */
export const HEADER_LIST_BYTES_MAX = 81_920;

assert(
  HEADER_LIST_BYTES_MAX >=
    HEADER_BYTES_MAX + 32 * (HEADER_COUNT_MAX + HEADERS_ADDED_MAX) + HEADERS_ADDED_MAX * 512,
  "HTTP/2 must take the heads that HTTP/1 takes",
);

/**
 * Bytes of one header block with its continuations. Fields take no more as literals than as HTTP/2
 * counts them; a block above ends the connection, so there is room for a head that is only refused.
 */
export const HEADER_BLOCK_BYTES_MAX = 131_072;

assert(HEADER_LIST_BYTES_MAX < HEADER_BLOCK_BYTES_MAX, "a list must fit into its block");

/** CONTINUATION frames of one block: a block of the largest size in usual frames needs four. */
export const CONTINUATIONS_MAX = 16;

/**
 * Payload of one frame that a peer's proxy may send us, and that we send where the peer takes it. A large
 * body costs 7 % less CPU than in frames of 16 KiB, with which HTTP/2 begins; others wait for one 0.2 ms.
 */
export const FRAME_BYTES_MAX = 65_536;

/**
 * Bytes of frames that wait for the socket before streams are told to wait too. With a stream's window
 * what a turn brings of one body leaves in the same turn.
 */
export const SEND_BUFFER_BYTES_HIGH = 262_144;

/**
 * The same with what cannot wait (heads, answers to pings and settings): a head of 4 KB for each stream
 * that may be open. Beyond it a peer does not read.
 */
export const SEND_BUFFER_BYTES_MAX = 4_194_304;

/** A large send buffer: what makes streams wait, the last frame that was let in, and some heads. */
export const SEND_BUFFER_BYTES = 393_216;

assert(
  SEND_BUFFER_BYTES_HIGH + FRAME_BYTES_MAX < SEND_BUFFER_BYTES,
  "bodies do not make a large send buffer grow",
);

/** Send buffers of that size that lie ready; a connection has one only while a body waits in it. */
export const SEND_BUFFERS_KEPT = 2;

/**
 * Frames a second that cost us work and bring nothing (streams reset before their answer, empty DATA,
 * settings, pings), and how many may come at once. Busy clients that cancel stay far below.
 */
export const NUISANCES_PER_SECOND = 2_000;
export const NUISANCES_BURST = 10_000;

/** Streams that we have reset and whose late frames are let pass: all that a peer had open. */
export const RESET_STREAMS_REMEMBERED = 1_000;

assert(
  RESET_STREAMS_REMEMBERED >= STREAMS_PER_CONNECTION_MAX,
  "frames of every stream that was open may be late",
);

assert(STREAM_WINDOW_BYTES <= CONNECTION_WINDOW_BYTES, "one stream may use its connection alone");
assert(
  CONNECTION_WINDOW_BYTES <= CONNECTION_HELD_BYTES_MAX,
  "a connection's window must fit into what may be held",
);
assert(STREAM_WINDOW_BYTES <= SEND_BUFFER_BYTES_HIGH, "a window's bytes have room");
assert(SEND_BUFFER_BYTES_HIGH < SEND_BUFFER_BYTES_MAX, "streams wait before a connection is ended");

/**
 * Bytes of an HPACK dynamic table in RFC 7541's way of counting, on either side: what HTTP/2 begins
 * with. A larger one would not hold many more of the fields that repeat, and thousands of connections
 * pay for it.
 */
export const HPACK_TABLE_BYTES_MAX = 4_096;

/** Continuation bytes of an HPACK integer: 28 bits, more than any length or index can be. */
export const HPACK_INTEGER_CONTINUATIONS_MAX = 4;

/**
 * Bytes that decoded header fields keep for the next block. Nearly all heads are below; what a larger
 * one took is given back.
 */
export const FIELD_LINES_KEPT_BYTES = 16_384;

assert(FIELD_LINES_KEPT_BYTES <= HEADER_BYTES_MAX, "no more is kept than a head may have");

/**
 * Bytes of a request's body that are kept so that it can be sent again; the contract's bound for
 * retries. A longer one is sent once.
 */
export const REPLAY_BYTES_MAX = 65_536;

/** Chunks that bytes which wait may keep alive: what a turn brings, and one that came before. */
export const ARRAYS_HELD_MAX = 2;

/** Writes up to this size are put together with others; larger ones are worth a system call. */
export const GATHER_BYTES_MAX = 16_384;

/** Buffers of that size that a proxy keeps for the next turn; a burst's others are given back. */
export const GATHER_BUFFERS_KEPT = 32;

/** How long an HTTP/2 connection to an endpoint is kept without a request; a handshake costs 1 ms. */
export const UPSTREAM_IDLE_MS = 90_000;

/**
 * Heads of HTTP/2 that a proxy keeps for the next requests, and for the next responses that wait, some 1 KB
 * each: as many as come in one turn of a busy proxy.
 */
export const HEADS_KEPT = 256;

/** Tries of one request beside the first one that configuration may ask for. */
export const RETRIES_MAX = 10;

/** Events for users that wait to be written; more are not worth delaying anything for. */
export const EVENTS_PENDING_MAX = 64;

/** Events that are remembered so that they are not said twice; one for each workload and reason. */
export const EVENTS_REMEMBERED_MAX = 4_096;

/**
 * Text of access log lines that wait for whoever reads the log; more is dropped, and counted. A reader
 * that lags by a second at 5,000 lines a second loses none.
 */
export const ACCESS_LOG_PENDING_CHARS_MAX = 1_048_576;

/** Characters of a header or path in an access log line: a usual line stays below what a pipe takes whole. */
export const ACCESS_LOG_FIELD_CHARS_MAX = 512;

/**
 * Spans that wait for the collector; what comes above is dropped, and counted. Some 2 MB at most, or two
 * seconds of a busy proxy whose every request is sampled.
 */
export const TRACE_SPANS_PENDING_MAX = 4_096;

/** Spans of one call to the collector: some 200 KB, far below what collectors take at once (4 MB). */
export const TRACE_SPANS_PER_EXPORT_MAX = 512;

/** Characters of a pattern in a manifest, such as a route's path; those of API descriptions have some 100. */
export const PATTERN_CHARS_MAX = 1_000;

/** Bytes that a pattern reads, repetitions written out: bounds the work of compiling it. */
export const PATTERN_POSITIONS_MAX = 1_000;

/** States of a compiled pattern, up to 512 bytes each; a path of ten segments needs some 100. */
export const PATTERN_STATES_MAX = 1_000;

/** Routes of one ServiceProfile: a large API description has some hundred operations. */
export const PROFILE_ROUTES_MAX = 1_000;

/** Conditions within one condition of a route or a class of responses. */
export const PROFILE_CONDITIONS_MAX = 100;

/** Requests that an adaptive limit lets an application have at a time; what is above, no limit helps. */
export const CONCURRENCY_MAX = 10_000;

/** Requests of one pod under way at a time in each direction; the contract's default. Some 4 KB each. */
export const IN_FLIGHT_MAX = 100_000;

/** Requests that wait for an application, an endpoint or a connection, unless set; the contract's default. */
export const QUEUE_MAX = 10_000;

/** As many may wait however low a limit is, so that a few callers have their turns. */
export const QUEUE_LEAST = 8;

assert(QUEUE_LEAST <= QUEUE_MAX && QUEUE_MAX <= IN_FLIGHT_MAX, "who waits is under way as well");

/** Ports whose application's limit a proxy remembers; a pod listens on a handful. */
export const APPLICATION_GATES_KEPT = 1_000;
/** TLS sessions kept for the next handshake with a peer, some 2 KB each; beyond, handshakes are whole. */
export const TLS_SESSIONS_MAX = 256;
