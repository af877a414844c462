/** The config library: one schema per mode, read from defaults, a file, the environment and flags. */

export {
  inboundPolicySettings,
  logSettings,
  meshSettings,
  networkSettings,
  type SourcePlace,
  sourceSettings,
} from "./common.ts";
export {
  defineSettings,
  type Definition,
  type Schema,
  type Setting,
  type Settings,
  type ValueOf,
} from "./definition.ts";
export { ConfigFault, EXIT_USAGE, exitCodeOf } from "./fault.ts";
export { helpText, wantsHelp } from "./help.ts";
export { readTrustAnchors, trustAnchorSettings } from "./trust-anchors.ts";
export { referencePage } from "./reference.ts";
export { type Environment, loadSettings, type SettingSources } from "./load.ts";
export { type HostPort, hostPort, networks, port, ports, socketAddress } from "./net-type.ts";
export {
  boolean,
  duration,
  filePath,
  integer,
  jsonObject,
  list,
  nonEmpty,
  oneOf,
  type ParsedSetting,
  pattern,
  pemText,
  reading,
  type SettingType,
  string,
  typeOf,
  type TypeTraits,
} from "./type.ts";
export { valuesTable } from "./value-reference.ts";
export { readSets, type SetMode, setPath } from "./value-set.ts";
export {
  isMap,
  isValue,
  readValues,
  type Value,
  type ValueLayer,
  type Values,
  valuesOf,
  type ValueTree,
  type Yaml,
  type YamlMap,
} from "./value-tree.ts";
