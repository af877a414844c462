/** What is started for a container: the words of its command, or why there are none. Pure. */

import { INIT_CONTAINER, PROXY_CONTAINER } from "../inject/mod.ts";
import { expand } from "./environment.ts";
import type { ContainerModel, PodModel } from "./pod-model.ts";

/** The annotation on a pod template that tells what to run for its first container. */
export const COMMAND_ANNOTATION = "malla.dev/command";

/** The command of a container, before `$(NAME)` is replaced. */
export interface CommandChoice {
  readonly words: readonly string[];
  /** The mesh's own program, with the mesh's rights. */
  readonly own: boolean;
}

/** Commands by the name of a workload or of a container (`--exec NAME='CMD'`). */
export type CommandOverrides = ReadonlyMap<string, string>;

/**
 * Chooses the command: the override, else the annotation, else the manifest's command. null: there is
 * none, since the manifest counts on its image.
 */
export function chooseCommand(
  container: ContainerModel,
  pod: PodModel,
  workload: string,
  overrides: CommandOverrides,
): CommandChoice | null {
  const { name } = container;
  if (name === INIT_CONTAINER || name === PROXY_CONTAINER) {
    return { words: container.args, own: true };
  }
  const first = pod.containers.find((other) => other.name !== PROXY_CONTAINER)?.name === name;
  const text = overrides.get(name) ?? (first ? overrides.get(workload) : undefined) ??
    pod.annotations[`${COMMAND_ANNOTATION}.${name}`] ??
    (first ? pod.annotations[COMMAND_ANNOTATION] : undefined);
  // The shell may stay in between: signals go to the whole process group.
  if (text !== undefined) return { words: ["sh", "-c", text], own: false };
  if (container.command.length === 0) return null;
  return { words: [...container.command, ...container.args], own: false };
}

/** Replaces `$(NAME)` in each word. */
export function expandWords(
  words: readonly string[],
  env: Readonly<Record<string, string>>,
): readonly string[] {
  return words.map((word) => expand(word, env));
}

/** What to tell a user whose container has an image and no command. */
export function missingCommand(container: ContainerModel, workload: string): string {
  const image = container.image === "" ? "no command" : `image "${container.image}" but no command`;
  return `container ${container.name} has ${image}: images are not pulled on a laptop; ` +
    `expected command: [...] in the container, the annotation ${COMMAND_ANNOTATION}: "..." on the ` +
    `pod template, or --exec ${workload}='...'`;
}
