/**
 * Threads of this program: each runs the program anew, with an event loop, a heap and arguments of its
 * own, and exchanges messages with the thread that started it. Values are copied; what holds functions
 * or loses its class by that (errors) is no message.
 */

/** A thread, as the one that started it sees it. */
export interface WorkerThread<In> {
  post(message: In): void;
  /** Ends it at once; nothing of it is told any more. */
  stop(): void;
}

/** What a thread tells the one that started it. */
export interface WorkerEvents<Out> {
  message(message: Out): void;
  /** It has ended, by an error or otherwise, without having been stopped. Called once. */
  ended(reason: string): void;
}

/** The thread that started this one, as this one sees it. */
export interface ParentThread<In, Out> {
  post(message: Out): void;
  /** Calls with each message, those that came before included. */
  take(message: (message: In) => void): void;
}

/** What a thread posts when it takes messages; whatever was posted to it before would be lost. */
const TAKING = "malla: taking messages";

/** Starts this program in a thread; `words` stand in place of the words of its command line. */
export function startWorker<In, Out>(
  words: readonly string[],
  events: WorkerEvents<Out>,
): WorkerThread<In> {
  const worker = new Worker(Bun.main, { argv: [...words] });
  let waiting: In[] | null = [];
  let isOver = false;
  const end = (reason: string) => {
    if (isOver) return;
    isOver = true;
    events.ended(reason);
  };
  worker.onmessage = ({ data }) => {
    if (isOver) return;
    if (data !== TAKING) return events.message(data as Out);
    for (const message of waiting ?? []) worker.postMessage(message);
    waiting = null;
  };
  worker.onerror = ({ message }) => end(errorOf(message));
  worker.addEventListener("close", (event) => end(`exit code ${(event as CloseEvent).code}`));
  return {
    post(message) {
      if (waiting !== null) waiting.push(message);
      else worker.postMessage(message);
    },
    stop() {
      isOver = true;
      worker.terminate();
    },
  };
}

/** Inside of a thread that was started so. */
export function parentThread<In, Out>(): ParentThread<In, Out> {
  return {
    post: (message) => postMessage(message),
    take(message) {
      addEventListener("message", (event) => message((event as MessageEvent).data as In));
      postMessage(TAKING);
    },
  };
}

/** Bun tells of an error with the source around it; here the error's own line will do. */
function errorOf(message: string): string {
  return /^error: (.*)$/m.exec(message)?.[1] ?? message;
}
