import {
  type ConfigurationRecord,
  decodeConfigurationRecord,
} from '../statemachine/configuration-record.js';
import { CONFIGURATION_KEY, MACHINE_KEY } from '../statemachine/layout.js';
import {
  decodeMachineRecord,
  EMPTY_MACHINE,
  type MachineRecord,
} from '../statemachine/machine-record.js';

export interface StateFacts extends MachineRecord {
  /** The latest one applied; `null`: none. */
  readonly configuration: ConfigurationRecord | null;
}

/**
 * What a state says of itself, without opening a state machine on it.
 * @throws BalsaError `STATE_CORRUPT`
 */
export function readStateFacts(state: {
  get(key: Uint8Array): Uint8Array | undefined;
}): StateFacts {
  const machine = state.get(MACHINE_KEY);
  const configuration = state.get(CONFIGURATION_KEY);
  return {
    ...(machine === undefined ? EMPTY_MACHINE : decodeMachineRecord(machine)),
    configuration: configuration === undefined ? null : decodeConfigurationRecord(configuration),
  };
}
