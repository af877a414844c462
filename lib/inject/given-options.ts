/**
 * The options of proxies as flags of `malla inject`: only those that were given count, because they
 * become annotations, or overwrite what the mesh says.
 */

import type { Setting, SettingType } from "../config/mod.ts";
import { DEFAULT_PROXY_CONFIG, type ProxyConfig } from "./proxy-config.ts";
import { PROXY_OPTIONS, type ProxyOption } from "./proxy-options.ts";

type OptionName = keyof typeof PROXY_OPTIONS;

/** Settings whose values are the texts that were given, already checked. */
export const GIVEN_OPTIONS = Object.fromEntries(
  Object.entries(PROXY_OPTIONS).map(([name, option]) => [name, given(option)]),
) as { readonly [K in OptionName]: Setting & { readonly type: SettingType<string> } };

/** The values of such settings. */
export type GivenOptions = { readonly [K in OptionName]: string | undefined };

/** The given texts by the names of their annotations. */
export function givenAnnotations(options: GivenOptions): Readonly<Record<string, string>> {
  return Object.fromEntries(
    givenTexts(options).map(([{ annotation }, text]) => [annotation, text]),
  );
}

/** The configuration of proxies with what was given. */
export function givenConfig(options: GivenOptions): ProxyConfig {
  let config: ProxyConfig = DEFAULT_PROXY_CONFIG;
  for (const [option, text] of givenTexts(options)) {
    const parsed = option.type.parse(text);
    if (parsed.ok) config = { ...config, ...parsed.value };
  }
  return config;
}

function givenTexts(options: GivenOptions): [ProxyOption, string][] {
  return Object.entries(PROXY_OPTIONS).flatMap(([name, option]): [ProxyOption, string][] => {
    const text = options[name as OptionName];
    return text === undefined ? [] : [[option, text]];
  });
}

function given({ flag, help, type }: ProxyOption): Setting {
  return {
    flag,
    help,
    type: {
      ...type,
      parse: (text) => type.parse(text).ok ? { ok: true, value: text.trim() } : { ok: false },
    },
  };
}
