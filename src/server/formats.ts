import { SNAPSHOT_FORMAT } from '../base/snapshot-codec.js';
import type { FormatVersions } from '../rpc/peer-protocol.js';
import { COMMAND_VERSION_MAX } from '../statemachine/command.js';

/**
 * The newest formats that this replica can read.
 * @param pretended `command=1,snapshot=1`: what an older Balsa would know, for tests of rolling upgrades
 */
export function ownFormats(pretended: string): FormatVersions {
  const stated = new Map(
    pretended.split(',').map((part): [string, number] => {
      const [name = '', version = ''] = part.split('=');
      return [name.trim(), Number(version)];
    }),
  );
  const atMost = (name: string, newest: number): number => {
    const version = stated.get(name) ?? newest;
    return version >= 1 && version <= newest ? version : newest;
  };
  return {
    command: atMost('command', COMMAND_VERSION_MAX),
    snapshot: atMost('snapshot', SNAPSHOT_FORMAT),
  };
}
