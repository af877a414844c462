/**
 * Answers that are watched. A topic is one question, its answer computed from the index, and those who
 * wait for its changes. While it computes, a topic notes each key that it looks up; a change of the
 * index then marks only the topics that looked there, and each is computed again once, however many
 * changes there were. A topic without subscribers is forgotten.
 *
 *     touch(key) → dirty topics → (end of turn) flush → answer differs? → every subscriber, once
 */

import { equalValues } from "../base/equal.ts";
import type { Unwatch } from "../mesh/discovery.ts";
import { keyOf, type View } from "./index.ts";

/** A question with a key that tells it apart from all others. */
export interface Question<T> {
  readonly key: string;
  /** Pure: looks at nothing but the view. */
  answer(view: View): T;
}

/** Hears each answer that differs from the one before; the first call has no `previous`. */
export type Listener<T> = (answer: T, previous: T | undefined) => void;

interface Topic<T> {
  readonly question: Question<T>;
  readonly listeners: Set<Listener<T>>;
  keys: ReadonlySet<string>;
  answer: T;
}

/** All topics of one index. */
export class Topics {
  readonly #view: View;
  readonly #schedule: (flush: () => void) => void;
  // Topics of different answer types share these maps; a key belongs to one type of question only.
  readonly #topics = new Map<string, Topic<unknown>>();
  readonly #byKey = new Map<string, Set<Topic<unknown>>>();
  readonly #dirty = new Set<Topic<unknown>>();

  /** `schedule` calls back once, later in this turn or after it; asked when something is dirty. */
  constructor(view: View, schedule: (flush: () => void) => void) {
    this.#view = view;
    this.#schedule = schedule;
  }

  /** How many topics there are. */
  get size(): number {
    return this.#topics.size;
  }

  /** How many keys are looked at by some topic. */
  get keys(): number {
    return this.#byKey.size;
  }

  /** Calls `listener` with the present answer at once, and with each new one. */
  subscribe<T>(question: Question<T>, listener: Listener<T>): Unwatch {
    const topic = this.#topic(question);
    if (this.#dirty.has(topic as Topic<unknown>)) this.#refresh(topic as Topic<unknown>);
    topic.listeners.add(listener);
    listener(topic.answer, undefined);
    return () => {
      topic.listeners.delete(listener);
      if (topic.listeners.size === 0) this.#forget(topic as Topic<unknown>);
    };
  }

  /** Marks the topics that looked at the key. */
  touch(key: string): void {
    const topics = this.#byKey.get(key);
    if (topics === undefined) return;
    if (this.#dirty.size === 0) this.#schedule(() => this.flush());
    for (const topic of topics) this.#dirty.add(topic);
  }

  /** Computes what is dirty and tells whoever waits for it. */
  flush(): void {
    for (const topic of [...this.#dirty]) this.#refresh(topic);
  }

  #topic<T>(question: Question<T>): Topic<T> {
    // The key names the question, so that what is stored under it has the question's answer type.
    const known = this.#topics.get(question.key) as Topic<T> | undefined;
    if (known !== undefined) return known;
    const view = new TracingView(this.#view);
    const answer = question.answer(view);
    const topic: Topic<T> = { question, listeners: new Set(), keys: view.keys, answer };
    this.#topics.set(question.key, topic as Topic<unknown>);
    for (const key of view.keys) this.#look(key, topic as Topic<unknown>);
    return topic;
  }

  #refresh(topic: Topic<unknown>): void {
    // A listener may have ended the topic, or refreshed it by subscribing.
    if (!this.#dirty.delete(topic)) return;
    const view = new TracingView(this.#view);
    const next = topic.question.answer(view);
    for (const key of topic.keys) if (!view.keys.has(key)) this.#lookAway(key, topic);
    for (const key of view.keys) if (!topic.keys.has(key)) this.#look(key, topic);
    topic.keys = view.keys;
    const previous = topic.answer;
    if (equalValues(previous, next)) return;
    topic.answer = next;
    for (const listener of [...topic.listeners]) {
      if (topic.listeners.has(listener)) listener(next, previous);
    }
  }

  #forget(topic: Topic<unknown>): void {
    if (this.#topics.get(topic.question.key) !== topic) return;
    this.#topics.delete(topic.question.key);
    this.#dirty.delete(topic);
    for (const key of topic.keys) this.#lookAway(key, topic);
  }

  #look(key: string, topic: Topic<unknown>): void {
    const topics = this.#byKey.get(key);
    if (topics === undefined) this.#byKey.set(key, new Set([topic]));
    else topics.add(topic);
  }

  #lookAway(key: string, topic: Topic<unknown>): void {
    const topics = this.#byKey.get(key);
    topics?.delete(topic);
    if (topics?.size === 0) this.#byKey.delete(key);
  }
}

/** Passes look-ups through and notes their keys, of what is there and of what is not. */
class TracingView implements View {
  readonly keys = new Set<string>();
  readonly #view: View;

  constructor(view: View) {
    this.#view = view;
  }

  namespace(name: string): ReturnType<View["namespace"]> {
    this.keys.add(keyOf.namespace(name));
    return this.#view.namespace(name);
  }

  pod(namespace: string, name: string): ReturnType<View["pod"]> {
    this.keys.add(keyOf.pod(namespace, name));
    return this.#view.pod(namespace, name);
  }

  service(namespace: string, name: string): ReturnType<View["service"]> {
    this.keys.add(keyOf.service(namespace, name));
    return this.#view.service(namespace, name);
  }

  slices(namespace: string, service: string): ReturnType<View["slices"]> {
    this.keys.add(keyOf.slices(namespace, service));
    return this.#view.slices(namespace, service);
  }

  servers(namespace: string): ReturnType<View["servers"]> {
    this.keys.add(keyOf.servers(namespace));
    return this.#view.servers(namespace);
  }

  profile(namespace: string, name: string): ReturnType<View["profile"]> {
    this.keys.add(keyOf.profile(namespace, name));
    return this.#view.profile(namespace, name);
  }

  serviceAt(ip: string): ReturnType<View["serviceAt"]> {
    this.keys.add(keyOf.ip(ip));
    return this.#view.serviceAt(ip);
  }

  podAt(ip: string): ReturnType<View["podAt"]> {
    this.keys.add(keyOf.ip(ip));
    return this.#view.podAt(ip);
  }
}
